//! What can be made to go wrong, by name, for which requests and how often. Set from the library or over the control port.

mod effect;
mod flood;

pub(crate) use effect::Effect;
pub use flood::Flood;

use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

/// One thing that goes wrong. As JSON: `{"fault": "throttle", "retry_after": "30"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The connection is reset without an answer; nothing is done.
    Reset,
    /// Everything is done, then the connection is reset: the client cannot know.
    ResetAfter,
    /// No answer, ever; nothing is done.
    Hang,
    /// The right answer comes late.
    Delay {
        /// How late, in milliseconds.
        millis: u64,
    },
    /// The right answer's body comes in sixteen pieces.
    SlowBody {
        /// Over this time, in milliseconds.
        millis: u64,
    },
    /// Half of the right answer's body comes, then the connection ends.
    Truncate,
    /// The right status and type, a body that is no JSON.
    Garbage,
    /// Far more than anybody asked for.
    Flood {
        /// Of what.
        of: Flood,
    },
    /// Any status, with an HTML body as a gateway writes it; nothing is done.
    Status {
        /// The status.
        status: u16,
    },
    /// 429 and TF400733, or AADSTS90055; nothing is done.
    Throttle {
        /// `Retry-After`: seconds or an HTTP date; absent: no such header.
        retry_after: Option<String>,
    },
    /// The right answer, with `Retry-After` (Azure DevOps does that before it throttles).
    RetryAfterOnSuccess {
        /// Seconds.
        seconds: u64,
    },
    /// A proxy's own page with status 200; nothing is done.
    ProxyPage,
    /// Azure DevOps: 203 with the sign-in page, as for an unusable token.
    SignInPage,
    /// Azure DevOps: 302 to the sign-in page.
    SignInRedirect,
    /// A redirect elsewhere, to see whether a client carries its token there.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: String,
    },
    /// Azure DevOps: 401 with its challenges, as for a token that has expired or was revoked.
    Unauthorized,
    /// Azure DevOps: 401 TF401444, as for an identity that is not a user of the organization.
    IdentityUnknown,
    /// Azure DevOps: 403 `AccessDeniedException`.
    AccessDenied,
    /// Azure DevOps: the list of pools is empty (missing or not visible).
    PoolMissing,
    /// Azure DevOps: 409 `TaskAgentExistsException` on adding an agent, as after a race.
    AgentExists,
    /// Azure DevOps: 400 `TaskAgentJobStillRunningException` on deleting an agent.
    JobStillRunning,
    /// Azure DevOps: agents come without `authorization`, so that a real agent would save the admin's token.
    WithoutAuthorization,
    /// Azure DevOps: entitlements answer 200 with `isSuccess: false`.
    EntitlementRefused,
    /// Entra: this AADSTS code, with the status and the `error` that go with it.
    Aadsts {
        /// The code.
        code: u32,
    },
    /// Graph: 409, as for two federated credentials written at once.
    ConcurrentWrite,
}

/// A fault with its scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
    /// For which requests, `METHOD PATH`: the path without the organization, `*` for one segment, `**` at the end for any
    /// rest; a lone `**` (the default) for every request. `DELETE /_apis/distributedtask/pools/*/agents/*`.
    #[serde(default = "everything")]
    pub route: String,
    /// How many requests are let through first.
    #[serde(default)]
    pub after: u32,
    /// For how many requests; absent: until cleared.
    #[serde(default)]
    pub count: Option<u32>,
}

fn everything() -> String {
    "**".to_owned()
}

impl Rule {
    /// The fault for every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            route: everything(),
            after: 0,
            count: None,
        }
    }

    /// For these requests only (see [`Self::route`]).
    pub fn on(mut self, route: &str) -> Self {
        self.route = route.to_owned();
        self
    }

    /// For this many requests only.
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Not for the first so many requests.
    pub fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }
}

/// The rules that are in force, and how often each has struck. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<Active>>>,
}

/// A rule in force.
#[derive(Debug, Clone, Serialize)]
pub struct Active {
    /// The rule as it stands now: `after` and `count` count down.
    #[serde(flatten)]
    pub rule: Rule,
    /// How many requests it has struck.
    pub struck: u32,
}

impl Faults {
    /// Adds a rule. Of several that match a request, the oldest that still counts applies.
    pub fn add(&self, rule: Rule) {
        self.lock().push(Active { rule, struck: 0 });
    }

    /// Adds the fault for these requests until cleared.
    pub fn always(&self, route: &str, fault: Fault) {
        self.add(Rule::new(fault).on(route));
    }

    /// Adds the fault for the next such request.
    pub fn once(&self, route: &str, fault: Fault) {
        self.add(Rule::new(fault).on(route).times(1));
    }

    /// Everything works again.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The rules in force and those that have run out.
    pub fn list(&self) -> Vec<Active> {
        self.lock().clone()
    }

    /// How many requests were struck by any rule.
    pub fn struck(&self) -> u32 {
        self.lock().iter().map(|active| active.struck).sum()
    }

    /// The fault for this request, counted.
    pub(crate) fn strike(&self, method: &str, segments: &[String]) -> Option<Fault> {
        for active in self.lock().iter_mut() {
            if active.rule.count == Some(0) || !matches(&active.rule.route, method, segments) {
                continue;
            }
            if active.rule.after > 0 {
                active.rule.after -= 1;
                continue;
            }
            active.rule.count = active.rule.count.map(|count| count - 1);
            active.struck += 1;
            return Some(active.rule.fault.clone());
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Active>> {
        self.rules.lock().expect("no rule panics")
    }
}

fn matches(route: &str, method: &str, segments: &[String]) -> bool {
    let (wanted, path) = match route.split_once(' ') {
        Some((wanted, path)) => (wanted, path),
        None => ("*", route),
    };
    if wanted != "*" && !wanted.eq_ignore_ascii_case(method) {
        return false;
    }
    let mut segments = segments.iter();
    for pattern in path.split('/').filter(|pattern| !pattern.is_empty()) {
        if pattern == "**" {
            return true;
        }
        match segments.next() {
            Some(segment) if pattern == "*" || segment.eq_ignore_ascii_case(pattern) => {}
            Some(_) | None => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<String> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn routes_match_by_segment_and_without_regard_to_case() {
        let path = segments("_apis/distributedtask/Pools/7/agents/3");
        for route in ["**", "delete /_apis/distributedtask/pools/*/agents/*", "* /_apis/**"] {
            assert!(matches(route, "DELETE", &path), "{route}");
        }
        for route in ["GET **", "DELETE /_apis/distributedtask/pools/*/agents", "/_apis"] {
            assert!(!matches(route, "DELETE", &path), "{route}");
        }
    }

    #[test]
    fn a_rule_lets_through_strikes_and_runs_out() {
        let faults = Faults::default();
        faults.add(Rule::new(Fault::Hang).after(1).times(2));
        let strikes: Vec<bool> = (0..4).map(|_| faults.strike("GET", &[]).is_some()).collect();
        assert_eq!(strikes, [false, true, true, false]);
        assert_eq!(faults.struck(), 2);
    }

    #[test]
    fn a_rule_is_read_from_json() {
        let rule: Rule =
            serde_json::from_str(r#"{"fault": "aadsts", "code": 700213, "route": "POST **", "count": 2}"#).unwrap();
        assert_eq!(rule, Rule::new(Fault::Aadsts { code: 700_213 }).on("POST **").times(2));
    }
}

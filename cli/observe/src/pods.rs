//! What a pod's status and the kubelet's Events say about its agent, and what of that is news.

use contract::{AdoReason, EntraReason, OutcomeReason, Reason, RefusalReason, StateReason};
use std::collections::BTreeMap;
use std::time::Duration;

/// The same problem of the same pod is news again after this time.
const AGAIN: Duration = Duration::from_secs(600);

/// What the kubelet puts before a startup probe's output.
const STARTUP: &str = "Startup probe failed: ";

/// What is read of a pod that the webhook changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// UID.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether it has the condition `Ready`.
    pub ready: bool,
    /// The sidecar's state.
    pub sidecar: Container,
}

/// State of the sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Whether its startup probe has succeeded: the agent may start.
    pub started: bool,
    /// The termination message, where it has ended.
    pub ended: Option<String>,
    /// The termination message of its run before this one.
    pub ended_before: Option<String>,
}

/// What happened to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Its agent is online, or as near to that as the pod can tell.
    Ready,
    /// Its sidecar cannot do its work.
    Problem {
        /// Why.
        reason: Reason,
        /// The sidecar's sentence, which says what to do.
        sentence: String,
    },
    /// Its sidecar has ended.
    Ended {
        /// What became of the agent.
        outcome: OutcomeReason,
        /// The sidecar's sentence.
        sentence: String,
    },
}

/// What was seen of each pod.
#[derive(Debug, Default)]
pub struct Pods {
    pods: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    namespace: String,
    ready: bool,
    started: bool,
    ended: bool,
    problem: Option<Problem>,
}

#[derive(Debug)]
struct Problem {
    reason: Reason,
    said: Duration,
}

impl Pods {
    /// The pod is there, or changed. `now` is the time since any fixed moment. What a pod was when it was first seen is no
    /// news, so that a restart tells and counts nothing twice; a problem is, as long as it lasts.
    pub fn changed(&mut self, now: Duration, pod: &Pod) -> Vec<Happening> {
        let outcome = pod.sidecar.ended.as_deref().and_then(ended);
        let is_new = !self.pods.contains_key(&pod.uid);
        let seen = self.pods.entry(pod.uid.clone()).or_insert_with(|| Seen {
            namespace: pod.namespace.clone(),
            ready: pod.ready,
            started: false,
            ended: outcome.is_some(),
            problem: None,
        });
        let mut happenings = Vec::new();
        if pod.ready && !seen.ready {
            happenings.push(Happening::Ready);
        }
        seen.ready = pod.ready;
        let has_started = pod.sidecar.started && !seen.started;
        seen.started = pod.sidecar.started;
        if has_started || pod.ready || outcome.is_some() {
            seen.problem = None;
        }
        if let Some((outcome, sentence)) = outcome {
            if !seen.ended && !is_new {
                let sentence = sentence.to_owned();
                happenings.push(Happening::Ended { outcome, sentence });
            }
            seen.ended = true;
        }
        // Of a sidecar that ended with a problem, or did so before it was started again.
        let last = [&pod.sidecar.ended, &pod.sidecar.ended_before];
        let last = last.into_iter().flatten().next();
        if !pod.sidecar.started
            && outcome.is_none()
            && let Some((reason, sentence)) = last.and_then(|message| problem(message))
        {
            happenings.extend(seen.problem(now, reason, sentence));
        }
        happenings
    }

    /// The kubelet says that a probe of the pod's sidecar failed (Event `Unhealthy`).
    pub fn unhealthy(&mut self, now: Duration, uid: &str, message: &str) -> Option<Happening> {
        let seen = self.pods.get_mut(uid).filter(|seen| !seen.ended)?;
        // Events may come late, and with a new watch those of the last minutes come again.
        if seen.started && message.starts_with(STARTUP) {
            return None;
        }
        let (reason, sentence) = problem(message)?;
        seen.problem(now, reason, sentence)
    }

    /// The pod is gone.
    pub fn gone(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// Pods with a problem, by namespace and reason.
    pub fn problems(&self) -> BTreeMap<(String, Reason), usize> {
        let mut problems = BTreeMap::new();
        for seen in self.pods.values() {
            if let Some(Problem { reason, .. }) = seen.problem {
                *problems.entry((seen.namespace.clone(), reason)).or_default() += 1;
            }
        }
        problems
    }
}

impl Seen {
    fn problem(&mut self, now: Duration, reason: Reason, sentence: &str) -> Option<Happening> {
        let known = self.problem.as_ref();
        let is_news = known.is_none_or(|known| known.reason != reason || now.saturating_sub(known.said) >= AGAIN);
        is_news.then(|| {
            self.problem = Some(Problem { reason, said: now });
            let sentence = sentence.to_owned();
            Happening::Problem { reason, sentence }
        })
    }
}

/// Reads the sidecar's line `reason: sentence`, also behind what the kubelet puts before a probe's output.
pub fn diagnosis(text: &str) -> Option<(Reason, &str)> {
    const PREFIXES: [&str; 3] = [STARTUP, "Readiness probe failed: ", "Liveness probe failed: "];
    let text = text.trim();
    let line = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
    let (word, sentence) = line.unwrap_or(text).split_once(": ")?;
    Some((Reason::parse(word)?, sentence.trim()))
}

fn ended(message: &str) -> Option<(OutcomeReason, &str)> {
    let (reason, sentence) = diagnosis(message)?;
    let outcome = OutcomeReason::ALL
        .iter()
        .find(|outcome| Reason::from(**outcome) == reason);
    outcome.map(|outcome| (*outcome, sentence))
}

fn problem(message: &str) -> Option<(Reason, &str)> {
    diagnosis(message).filter(|(reason, _)| is_problem(*reason))
}

/// Whether a sidecar that says so needs somebody's help.
fn is_problem(reason: Reason) -> bool {
    const STATES: [StateReason; 3] = [
        StateReason::TokenFileFailed,
        StateReason::GatewayFailed,
        StateReason::NotSeen,
    ];
    RefusalReason::ALL.iter().any(|known| Reason::from(*known) == reason)
        || EntraReason::ALL.iter().any(|known| Reason::from(*known) == reason)
        || AdoReason::ALL.iter().any(|known| Reason::from(*known) == reason)
        || STATES.iter().any(|known| Reason::from(*known) == reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pod(ready: bool, sidecar: Container) -> Pod {
        Pod {
            uid: "u".into(),
            namespace: "agents".into(),
            name: "agent-0".into(),
            ready,
            sidecar,
        }
    }

    fn starting() -> Container {
        Container::default()
    }

    fn started() -> Container {
        Container {
            started: true,
            ..starting()
        }
    }

    fn ended_with(message: &str) -> Container {
        Container {
            ended: Some(message.into()),
            ..starting()
        }
    }

    #[test]
    fn a_life_is_told_in_order_and_once() {
        let mut pods = Pods::default();
        assert_eq!(pods.changed(SECOND, &pod(false, starting())), []);
        let said = "Startup probe failed: pool-missing: There is no pool \"linx\".";
        assert_eq!(
            pods.unhealthy(SECOND, "u", said),
            Some(Happening::Problem {
                reason: Reason::PoolMissing,
                sentence: "There is no pool \"linx\".".into()
            })
        );
        assert_eq!(pods.unhealthy(2 * SECOND, "u", said), None);
        assert_eq!(pods.problems()[&("agents".to_owned(), Reason::PoolMissing)], 1);
        assert!(pods.unhealthy(AGAIN + 2 * SECOND, "u", said).is_some());
        assert_eq!(pods.changed(SECOND, &pod(false, started())), []);
        assert!(pods.problems().is_empty());
        assert_eq!(
            pods.unhealthy(3 * AGAIN, "u", said),
            None,
            "the kubelet's Event came late"
        );
        let later = "Readiness probe failed: not-seen: No agent was seen.";
        assert!(pods.unhealthy(SECOND, "u", later).is_some());
        assert_eq!(pods.changed(SECOND, &pod(false, started())), []);
        assert_eq!(pods.problems().len(), 1, "not ready yet");
        assert_eq!(pods.changed(SECOND, &pod(true, started())), [Happening::Ready]);
        assert!(pods.problems().is_empty());
        assert_eq!(pods.changed(SECOND, &pod(true, started())), []);
        let end = ended_with("removed: The agent was removed.");
        assert_eq!(
            pods.changed(SECOND, &pod(false, end.clone())),
            [Happening::Ended {
                outcome: OutcomeReason::Removed,
                sentence: "The agent was removed.".into()
            }]
        );
        assert_eq!(pods.changed(SECOND, &pod(false, end)), []);
        assert_eq!(pods.unhealthy(SECOND, "u", said), None, "the kubelet's Event came late");
    }

    #[test]
    fn what_was_so_before_is_no_news_but_a_problem_is() {
        let mut pods = Pods::default();
        assert_eq!(pods.changed(SECOND, &pod(true, started())), []);
        pods.gone("u");
        assert_eq!(pods.changed(SECOND, &pod(false, ended_with("removed: Gone."))), []);
        pods.gone("u");
        let refused = pod(false, ended_with("bad-configuration: AZP_URL is missing."));
        assert_eq!(pods.changed(SECOND, &refused).len(), 1);
        assert_eq!(pods.problems().len(), 1);
        pods.gone("u");
        assert!(pods.problems().is_empty());
    }

    #[test]
    fn states_that_pass_are_no_problems() {
        let mut pods = Pods::default();
        pods.changed(SECOND, &pod(false, starting()));
        for word in ["starting", "ready", "online", "offline", "used", "draining"] {
            let said = format!("Readiness probe failed: {word}: It is so.");
            assert_eq!(pods.unhealthy(SECOND, "u", &said), None, "{word}");
        }
        assert_eq!(pods.unhealthy(SECOND, "u", "Startup probe failed: timeout"), None);
        assert_eq!(pods.unhealthy(SECOND, "other", "pool-missing: No."), None);
    }
}

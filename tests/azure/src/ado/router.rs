//! From a request to the right function: organization from host or path, faults, identity, limits, route, record.

use super::auth::{Caller, Seen, no_organization, sign_in_page, sign_in_redirect, unauthorized};
use super::call::{Call, list};
use super::errors::Refusal;
use super::hosts::{Service, Target};
use super::names::name;
use super::{Ado, DOWNLOAD_HOSTS, locations, versions};
use crate::clock::Timestamp;
use crate::faults::{Effect, Fault};
use crate::guid;
use crate::http::{Answer, Handler, Reply, Request};
use crate::recording::{Authorization, Record};
use serde_json::Value;

/// A reply, its route's name, and who asked.
struct Served {
    answer: Answer,
    route: &'static str,
    seen: Seen,
    identity: Option<String>,
}

impl Served {
    fn nobody(answer: impl Into<Answer>, route: &'static str) -> Self {
        Self {
            answer: answer.into(),
            route,
            seen: Seen {
                scheme: Authorization::None,
                token: None,
                token_age: None,
            },
            identity: None,
        }
    }
}

impl Handler for Ado {
    async fn answer(&self, request: Request) -> Answer {
        let now = self.clock().now();
        let mut fault = None;
        let mut served = match Target::of(&request) {
            _ if request.segments.first().is_some_and(|first| first == "_signin") => {
                Served::nobody(sign_in_page(""), "sign-in page")
            }
            None => Served::nobody(no_organization(), "unknown"),
            Some(target) => {
                fault = self.faults().strike(&request.method, &target.rest);
                self.serve(&request, &target, fault.as_ref(), now).await
            }
        };
        if let Some(fault) = &fault {
            served.answer = fault.change(served.answer).await;
        }
        let mut status = 0;
        if let Answer::Reply(reply) = &mut served.answer {
            status = reply.status;
            reply.compress_for(&request);
            let activity = guid::random();
            reply.headers.extend([
                ("date", self.clock().now().http_date()),
                ("activityid", activity.clone()),
                ("x-vss-e2eid", activity),
                ("x-tfs-processid", "00000000-0000-4000-8000-000000000000".to_owned()),
                ("cache-control", "no-cache, no-store, must-revalidate".to_owned()),
            ]);
        }
        self.inner.recording.add(Record {
            time: now,
            host: request.host(),
            route: served.route,
            status,
            authorization: served.seen.scheme,
            identity: served.identity,
            token: served.seen.token,
            token_age: served.seen.token_age,
            user_agent: request.header("user-agent").map(str::to_owned),
            fault,
            method: request.method,
            path: request.path,
            query: request.query,
        });
        served.answer
    }
}

impl Ado {
    async fn serve(&self, request: &Request, target: &Target, fault: Option<&Fault>, now: Timestamp) -> Served {
        let lower: Vec<String> = target.rest.iter().map(|part| part.to_ascii_lowercase()).collect();
        let path: Vec<&str> = lower.iter().map(String::as_str).collect();
        let (seen, caller) = self.authenticate(request, &target.organization, now);
        let identity = caller.as_ref().ok().map(Caller::name);
        let route = name(&request.method, &path);
        let served = |answer| Served {
            answer,
            route,
            seen,
            identity,
        };
        match fault.map(Fault::effect) {
            Some(Effect::Instead(answer)) => return served(answer),
            Some(Effect::Service) if fault != Some(&Fault::WithoutAuthorization) => {
                let reply = self.struck(fault, request, target, &path, caller.as_ref().ok());
                return served(reply.into());
            }
            Some(Effect::Service | Effect::Afterwards) | None => {}
        }
        if let Some(reply) = self.without_identity(request, target, &path, now) {
            return served(reply.into());
        }
        let caller = match caller {
            Ok(caller) => caller,
            Err(reply) => return served(reply.into()),
        };
        let budget = self.inner.limits.spend(&caller.name(), now);
        if let Some(delay) = budget.and_then(|budget| budget.delay()) {
            tokio::time::sleep(delay).await;
        }
        let mut reply = if budget.is_some_and(|budget| budget.is_exceeded()) {
            Refusal::throttled().reply()
        } else {
            let call = Call {
                request,
                organization: &target.organization,
                base: &target.base,
                target,
                caller,
                now,
            };
            self.resource(&call, &path, &target.rest).await
        };
        if let Some(budget) = budget {
            budget.decorate(&mut reply, now);
        }
        if fault == Some(&Fault::WithoutAuthorization) {
            reply = without_authorization(reply);
        }
        self.touch();
        served(reply.into())
    }

    /// Routes that need no identity.
    fn without_identity(&self, request: &Request, target: &Target, path: &[&str], now: Timestamp) -> Option<Reply> {
        match (request.method.as_str(), path) {
            ("POST", ["_apis", "oauth2", "token"]) => Some(self.agent_token(request, &target.organization, now)),
            ("GET", ["_emulator", "agent-package", ..]) => Some(self.download()),
            ("GET", [.., file]) if DOWNLOAD_HOSTS.contains(&&*request.host()) && file.ends_with(".tar.gz") => {
                Some(self.download())
            }
            _ => None,
        }
    }

    /// The answer of a resource, if this host has it and the request is made as the service wants requests.
    async fn resource(&self, call: &Call<'_>, path: &[&str], rest: &[String]) -> Reply {
        let (request, host) = (call.request, call.target.service);
        let location = locations::find(path);
        let here = match location {
            Some(location) => location.is_at(host),
            None => host.is_at(Service::Main),
        };
        if request.method == "OPTIONS" && path.first() == Some(&"_apis") {
            return list(&locations::of(host));
        }
        if !here {
            return Refusal::no_such_route(&request.method, &request.path).reply();
        }
        let version = match location.map(|location| versions::check(request, location)).transpose() {
            Ok(version) => version,
            Err(refusal) => return refusal.reply(),
        };
        let result = self.route(call, path, rest).await;
        let mut reply = result.unwrap_or_else(|refusal| refusal.reply());
        if let Some(version) = version {
            versions::decorate(&mut reply, &version);
        }
        reply
    }

    async fn route(&self, call: &Call<'_>, path: &[&str], rest: &[String]) -> Result<Reply, Refusal> {
        let method = call.request.method.as_str();
        match (method, path) {
            ("GET", ["_apis", "connectiondata"]) => self.connection_data(call),
            ("GET", ["_apis", "resourceareas", area @ ..]) => self.resource_areas(call, area),
            ("GET", ["_apis", "featureavailability", "featureflags", _]) => Ok(self.feature_flag(&rest[3])),
            ("POST", [.., "customerintelligence"] | [_, "customerintelligence", ..]) => Ok(Reply::empty(204)),
            ("POST", [_, "_apis", "distributedtask", "hubs", _, "plans", plan, "events"]) => self.job_event(call, plan),
            ("GET", ["_apis", "memberentitlements"]) => self.member_entitlements(call),
            ("POST", ["_apis", "serviceprincipalentitlements"]) => self.add_entitlement(call),
            (_, ["_apis", "serviceprincipalentitlements", id]) => self.entitlement(call, id),
            ("GET", ["_apis", "securityroles", "scopes", scope, "roledefinitions"]) => self.role_definitions(scope),
            (
                _,
                [
                    "_apis",
                    "securityroles",
                    "scopes",
                    scope,
                    "roleassignments",
                    "resources",
                    resource @ ..,
                ],
            ) => self.role_assignments(call, scope, resource),
            ("GET", ["_apis", "distributedtask", "packages", "agent", query @ ..]) => self.packages(call, query),
            ("GET", ["_apis", "distributedtask", "pools"]) => self.pools(call),
            ("POST", ["_apis", "distributedtask", "pools"]) => self.create_pool(call),
            (_, ["_apis", "distributedtask", "pools", pool, below @ ..]) => self.pool_route(call, pool, below).await,
            _ => Err(Refusal::no_such_route(method, &call.request.path)),
        }
    }

    async fn pool_route(&self, call: &Call<'_>, pool: &str, below: &[&str]) -> Result<Reply, Refusal> {
        let method = call.request.method.as_str();
        let nowhere = || Refusal::no_such_route(method, &call.request.path);
        let pool: i64 = pool.parse().map_err(|_| nowhere())?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| nowhere());
        match (method, below) {
            ("GET", []) => self.get_pool(call, pool),
            ("PATCH", []) => self.change_pool(call, pool),
            ("DELETE", []) => self.delete_pool(call, pool),
            ("GET", ["permissions", bits]) => self.has_permissions(call, pool, number(bits)?),
            ("GET", ["agents"]) => self.list_agents(call, pool),
            ("POST", ["agents"]) => self.add_agent(call, pool),
            ("GET", ["agents", agent]) => self.get_agent(call, pool, number(agent)?),
            ("PUT", ["agents", agent]) => self.replace_agent(call, pool, number(agent)?),
            ("PATCH", ["agents", agent]) => self.change_agent(call, pool, number(agent)?),
            ("DELETE", ["agents", agent]) => self.delete_agent(call, pool, number(agent)?),
            ("PUT", ["agents", agent, "updates"]) => self.update_state(call, pool, number(agent)?),
            ("PUT", ["agents", agent, "usercapabilities"]) => self.user_capabilities(call, pool, number(agent)?),
            ("POST", ["sessions"]) => self.open_session(call, pool),
            ("DELETE", ["sessions", session]) => self.close_session(call, pool, session),
            ("GET", ["messages"]) => self.next_message(call, pool).await,
            ("DELETE", ["messages", message]) => self.delete_message(call, pool, number(message)?),
            ("GET", ["jobrequests"]) => self.list_requests(call, pool),
            ("GET", ["jobrequests", request]) => self.get_request(call, pool, number(request)?),
            ("PATCH", ["jobrequests", request]) => self.renew_or_finish(call, pool, number(request)?),
            _ => Err(nowhere()),
        }
    }

    /// The answers of faults that only Azure DevOps can word.
    fn struck(
        &self,
        fault: Option<&Fault>,
        request: &Request,
        target: &Target,
        path: &[&str],
        caller: Option<&Caller>,
    ) -> Reply {
        let tenant = self
            .lock()
            .organization(&target.organization)
            .map(|organization| organization.tenant.clone())
            .unwrap_or_default();
        let who = caller.map_or_else(|| "somebody".to_owned(), Caller::name);
        let pool = path.get(3).copied().unwrap_or("0");
        match fault {
            Some(Fault::Throttle { retry_after }) => {
                let reply = Refusal::throttled().reply();
                match retry_after {
                    Some(time) => reply.with("retry-after", time.clone()),
                    None => reply,
                }
            }
            Some(Fault::SignInPage) => sign_in_page(&tenant),
            Some(Fault::SignInRedirect) => sign_in_redirect(request, &tenant),
            Some(Fault::Unauthorized) => unauthorized(request, &tenant),
            Some(Fault::IdentityUnknown) => {
                let object_id = match caller {
                    Some(Caller::Member { object_id, .. }) => object_id.as_str(),
                    Some(Caller::Agent(_) | Caller::Job { .. }) | None => "00000000-0000-0000-0000-000000000000",
                };
                let reply = Refusal::identity_unknown(&tenant, object_id).reply();
                reply.with("x-vss-resourcetenant", tenant)
            }
            Some(Fault::AccessDenied) => Refusal::access_denied(&who, "Manage", pool).reply(),
            Some(Fault::PoolMissing) => list(&[]),
            Some(Fault::AgentExists) => Refusal::agent_exists(pool.parse().unwrap_or(0), "agent").reply(),
            Some(Fault::JobStillRunning) => Refusal::job_still_running(pool, path.get(5).unwrap_or(&"agent")).reply(),
            Some(Fault::EntitlementRefused) => Self::entitlement_refused("VS403283: Could not add user at this time."),
            // A fault of Entra, put upon the wrong emulator: say so where a test will see it.
            _ => Reply::text(500, "this fault is not one of Azure DevOps'"),
        }
    }
}

fn without_authorization(mut reply: Reply) -> Reply {
    if let Ok(mut body) = serde_json::from_slice::<Value>(&reply.body) {
        if let Some(agent) = body.as_object_mut() {
            agent.remove("authorization");
        }
        reply.body = body.to_string().into();
    }
    reply
}

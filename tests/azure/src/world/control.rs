//! The control port: everything that a test does through the library, for people and other programs, as plain HTTP.

mod bodies;

use super::World;
use crate::ado::{JobSpec, License, Timing};
use crate::cluster_issuer::Mint;
use crate::entra::{AZURE_DEVOPS, FederatedCredential, Identity, Kind};
use crate::faults::{Faults, Rule};
use crate::http::{Answer, Handler, Reply, Request, Server};
use bodies::{
    AssertionBody, ChangeBody, ClockBody, CredentialBody, FinishBody, IdentityBody, JobBody, MemberBody, TimingBody,
    TokenBody,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const HELP: &str = "\
Control port of the emulators. Bodies are JSON.

GET    /state                       pools, agents, jobs; exchanges
GET    /requests/ado  /entra        every request so far
DELETE /requests                    forget them
GET    /faults/ado    /entra        what goes wrong
POST   /faults/ado    /entra        {\"fault\": \"throttle\", \"retry_after\": \"5\", \"route\": \"GET /_apis/**\", \"after\": 0, \"count\": 1}
DELETE /faults/ado    /entra        everything works again
POST   /clock                       {\"service\": \"ado\" | \"entra\" | \"issuer\", \"skew_seconds\": 3600}; no service: all
GET    /behavior                    where the real Azure DevOps may behave either way
POST   /behavior                    {\"replace_ends_session\": true, \"plan_version\": 7}: members that are left out stay
POST   /rate-limit                  {\"requests\": 100, \"window_seconds\": 300, \"delayed\": 20, \"delay_millis\": 2000}
DELETE /rate-limit
POST   /timing                      {\"lock_seconds\": 600, \"session_seconds\": 300, \"poll_seconds\": 50}
POST   /jobs                        {\"pool\": \"linux\", \"name\": \"build\", \"demands\": [], \"script\": \"sleep 3\"}
POST   /jobs/ID/finish              {\"result\": \"succeeded\"}
GET    /identities
POST   /identities                  {\"name\": \"team-b\", \"kind\": \"application\" | \"managed-identity\" | \"user\"}
POST   /identities/NAME             {\"disabled\": false, \"blocked\": 53003, \"token_lifetime_seconds\": 60}
POST   /federated-credentials/NAME  {\"name\": \"x\", \"issuer\": \"https://…\", \"subject\": \"…\", \"audiences\": [\"…\"]}
POST   /members/NAME                {\"role\": \"Reader\"}
POST   /tokens/NAME                 {\"lifetime_seconds\": 3600, \"resource\": \"…\"}: an access token, as text
POST   /assertions                  {\"namespace\": \"agents\", \"account\": \"azp-agent\", \"lifetime_seconds\": 3600}: as text
POST   /issuers                     {\"issuer\": \"https://…\", \"keys\": [...]}: use this key set, ask nobody
PUT    /agent-package/4.255.0       the archive that start scripts download
GET    /ca.pem
";

pub(super) async fn start(world: &World, address: SocketAddr) -> io::Result<Server> {
    Server::start(address, None, Arc::new(Control { world: world.clone() })).await
}

struct Control {
    world: World,
}

/// A reply, or a sentence about what is wrong with the request.
type Result<T> = std::result::Result<T, (u16, String)>;

impl Handler for Control {
    async fn answer(&self, request: Request) -> Answer {
        let reply = self.route(&request);
        reply
            .unwrap_or_else(|(status, sentence)| Reply::text(status, sentence + "\n"))
            .into()
    }
}

impl Control {
    fn route(&self, request: &Request) -> Result<Reply> {
        let World { ado, entra, .. } = &self.world;
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let done = || Reply::empty(204);
        Ok(match (request.method.as_str(), segments.as_slice()) {
            ("GET", []) => Reply::text(200, HELP),
            ("GET", ["state"]) => Reply::json(
                200,
                &json!({ "pools": ado.view().pools, "exchanges": entra.view().exchanges }),
            ),
            ("GET", ["requests", "ado"]) => Reply::json(200, &json!(ado.view().requests)),
            ("GET", ["requests", "entra"]) => Reply::json(200, &json!(entra.view().requests)),
            ("DELETE", ["requests"]) => {
                ado.forget_requests();
                entra.forget_requests();
                done()
            }
            (_, ["faults", service]) => self.faults(request, service)?,
            ("POST", ["clock"]) => self.clock(&body(request)?)?,
            ("POST", ["timing"]) => {
                let wanted: TimingBody = body(request)?;
                ado.set_timing(Timing {
                    lock: Duration::from_secs(wanted.lock_seconds),
                    session: Duration::from_secs(wanted.session_seconds),
                    poll: Duration::from_secs(wanted.poll_seconds),
                    ..Timing::default()
                });
                done()
            }
            ("POST", ["rate-limit"]) => {
                ado.set_rate_limit(Some(body(request)?));
                done()
            }
            ("DELETE", ["rate-limit"]) => {
                ado.set_rate_limit(None);
                done()
            }
            ("GET", ["behavior"]) => Reply::json(200, &json!(ado.behavior())),
            ("POST", ["behavior"]) => {
                ado.set_behavior(changed(&ado.behavior(), body(request)?)?);
                done()
            }
            ("POST", ["jobs"]) => self.queue(body(request)?)?,
            ("POST", ["jobs", id, "finish"]) => self.finish(id, &body(request)?)?,
            ("GET", ["identities"]) => Reply::json(200, &json!(entra.identities())),
            ("POST", ["identities"]) => self.add_identity(&body(request)?)?,
            ("POST", ["identities", name]) => self.change_identity(name, &body(request)?)?,
            ("POST", ["federated-credentials", name]) => self.trust(name, body(request)?)?,
            ("POST", ["members", name]) => self.add_member(name, &body(request)?)?,
            ("POST", ["tokens", name]) => self.token(name, &body(request)?)?,
            ("POST", ["assertions"]) => self.assertion(&body(request)?),
            ("POST", ["issuers"]) => {
                let key_set: Value = body(request)?;
                let issuer = key_set.get("issuer").and_then(Value::as_str);
                entra.pin_issuer(issuer.ok_or_else(|| (400, "issuer is missing".to_owned()))?, &key_set);
                done()
            }
            ("PUT", ["agent-package", version]) => {
                let version: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
                let version = version
                    .try_into()
                    .map_err(|_| (400, "the version is MAJOR.MINOR.PATCH".to_owned()))?;
                ado.set_agent_package(version, request.body.to_vec());
                done()
            }
            ("GET", ["ca.pem"]) => Reply::content(200, "application/x-pem-file", self.world.authority.pem().to_owned()),
            _ => {
                return Err((
                    404,
                    format!("there is no {} {}\n\n{HELP}", request.method, request.path),
                ));
            }
        })
    }

    fn faults(&self, request: &Request, service: &str) -> Result<Reply> {
        let faults: &Faults = match service {
            "ado" => self.world.ado.faults(),
            "entra" => self.world.entra.faults(),
            _ => return Err((404, format!("there is no service '{service}': use ado or entra"))),
        };
        match request.method.as_str() {
            "GET" => return Ok(Reply::json(200, &json!(faults.list()))),
            "POST" => faults.add(body::<Rule>(request)?),
            "DELETE" => faults.clear(),
            other => return Err((405, format!("{other} is not possible here"))),
        }
        Ok(Reply::empty(204))
    }

    fn clock(&self, wanted: &ClockBody) -> Result<Reply> {
        let clock = match wanted.service.as_deref() {
            None => &self.world.clock,
            Some("ado") => self.world.ado.clock(),
            Some("entra") => self.world.entra.clock(),
            Some("issuer") => self.world.issuer.clock(),
            Some(other) => return Err((404, format!("there is no service '{other}': use ado, entra or issuer"))),
        };
        clock.set_skew_millis(wanted.skew_seconds * 1000);
        Ok(Reply::json(200, &json!({ "now": clock.now().iso() })))
    }

    fn queue(&self, wanted: JobBody) -> Result<Reply> {
        let spec: JobSpec = serde_json::from_value(Value::Object(wanted.rest)).map_err(|error| bad(&error))?;
        let World { ado, settings, .. } = &self.world;
        let pool = wanted.pool.as_ref().unwrap_or(&settings.pool);
        match ado.queue_job(&settings.organization, pool, spec) {
            Ok(id) => Ok(Reply::json(200, &json!({ "id": id }))),
            Err(refused) => Err((409, refused.to_string())),
        }
    }

    fn finish(&self, id: &str, wanted: &FinishBody) -> Result<Reply> {
        let none = || (404, format!("there is no job '{id}'"));
        let id: u64 = id.parse().map_err(|_| none())?;
        let view = self.world.ado.view();
        let has_job = |pool: &&crate::ado::PoolView| pool.jobs.iter().any(|job| job.id == id);
        let name = &view.pools.iter().find(has_job).ok_or_else(none)?.name;
        let pool = self
            .world
            .ado
            .pool(&self.world.settings.organization, name)
            .ok_or_else(none)?;
        pool.finish_job(id, &wanted.result);
        Ok(Reply::empty(204))
    }

    fn add_identity(&self, wanted: &IdentityBody) -> Result<Reply> {
        let kind = match wanted.kind.as_str() {
            "application" => Kind::Application,
            "managed-identity" => Kind::ManagedIdentity,
            "user" => Kind::User,
            other => return Err((400, format!("there is no kind '{other}'"))),
        };
        let tenant = &self.world.settings.tenant;
        Ok(Reply::json(
            201,
            &json!(self.world.entra.add_identity(tenant, kind, &wanted.name)),
        ))
    }

    fn change_identity(&self, name: &str, wanted: &ChangeBody) -> Result<Reply> {
        let (entra, who) = (&self.world.entra, self.identity(name)?);
        if let Some(disabled) = wanted.disabled {
            entra.set_disabled(&who.client_id, disabled);
        }
        entra.set_blocked(&who.client_id, wanted.blocked);
        let lifetime = wanted.token_lifetime_seconds.map(Duration::from_secs);
        entra.set_token_lifetime(&who.client_id, lifetime);
        Ok(Reply::empty(204))
    }

    fn trust(&self, name: &str, wanted: CredentialBody) -> Result<Reply> {
        let who = self.identity(name)?;
        let credential = FederatedCredential {
            name: wanted.name,
            issuer: wanted.issuer,
            subject: wanted.subject,
            audiences: wanted.audiences,
        };
        let added = self.world.entra.add_federated_credential(&who.client_id, credential);
        added.map_err(|refused| (409, format!("{refused:?}")))?;
        Ok(Reply::empty(204))
    }

    fn add_member(&self, name: &str, wanted: &MemberBody) -> Result<Reply> {
        let who = self.identity(name)?;
        let World { ado, settings, .. } = &self.world;
        let id = ado.add_member(&settings.organization, &who, License::Basic);
        self.world.pool.set_role(&who, wanted.role);
        Ok(Reply::json(200, &json!({ "id": id })))
    }

    fn token(&self, name: &str, wanted: &TokenBody) -> Result<Reply> {
        let who = self.identity(name)?;
        let resource = wanted.resource.as_deref().unwrap_or(AZURE_DEVOPS);
        let lifetime = Duration::from_secs(wanted.lifetime_seconds.unwrap_or(3600));
        Ok(Reply::text(
            200,
            self.world.entra.mint_token_for(&who, resource, lifetime),
        ))
    }

    fn assertion(&self, wanted: &AssertionBody) -> Reply {
        let lifetime = Duration::from_secs(wanted.lifetime_seconds.unwrap_or(3600));
        let mint = Mint::new(&wanted.namespace, &wanted.account).lifetime(lifetime);
        Reply::text(200, self.world.issuer.mint(&mint))
    }

    fn identity(&self, name: &str) -> Result<Identity> {
        let mut found = self.world.entra.identities().into_iter();
        found
            .find(|who| who.name == name)
            .ok_or_else(|| (404, format!("there is no identity '{name}'")))
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T> {
    serde_json::from_slice(&request.body).map_err(|error| bad(&error))
}

/// A value with some of its members replaced.
fn changed<T: Serialize + DeserializeOwned>(value: &T, members: Map<String, Value>) -> Result<T> {
    let mut all = serde_json::to_value(value).map_err(|error| bad(&error))?;
    if let Some(all) = all.as_object_mut() {
        all.extend(members);
    }
    serde_json::from_value(all).map_err(|error| bad(&error))
}

fn bad(error: &serde_json::Error) -> (u16, String) {
    (400, format!("the body does not fit: {error}"))
}

//! The emulators themselves, over real TLS sockets: what they allow, and what they refuse with which body.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod access;
mod ado;
mod agent;
mod control;
mod discovery;
mod documentation;
mod entra;
mod faults;
mod federation;
mod hosted;
mod jobs;
mod program;
mod provisioning;
mod sessions;
mod versions;

use azure_emulators::world::World;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Somebody with a token who asks Azure DevOps.
pub(crate) struct Asker {
    pub(crate) client: Client,
    pub(crate) base: String,
    pub(crate) token: String,
}

impl Asker {
    pub(crate) fn new(world: &World, token: String) -> Self {
        Self {
            client: world.client(),
            base: world.organization_url(),
            token,
        }
    }

    /// The agents' identity.
    pub(crate) fn agents(world: &World) -> Self {
        Self::new(world, world.access_token())
    }

    /// A request below the organization, with the token and as API clients send it.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/_apis/{path}", self.base))
            .bearer_auth(&self.token)
            // Every resource has this version, released or not.
            .header("Accept", "application/json;api-version=7.2-preview")
            .header("X-TFS-FedAuthRedirect", "Suppress")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(method, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }
}

/// Status, headers and body of an answer; a body that is no JSON is a JSON string.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.expect("the emulator answers")).await
    }

    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the body comes to its end");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// The body of a good answer.
    pub(crate) fn ok(self) -> Value {
        assert!(
            StatusCode::from_u16(self.status).unwrap().is_success() && self.status != 203,
            "{} {}",
            self.status,
            self.body
        );
        self.body
    }

    /// Status and `typeKey` of a refusal.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["typeKey"].as_str().unwrap_or_default())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The path of the world's pool, with something behind it.
pub(crate) fn pool(world: &World, below: &str) -> String {
    format!("distributedtask/pools/{}{below}", world.pool.id())
}

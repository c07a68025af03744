//! A pod whose sidecar is a gateway, and clients of it.

use crate::pod::{NAME, Pod, SOON, Sidecar};
use azure_emulators::ado::AdoView;
use azure_emulators::world::World;
use contract::{Handoff, Reason, TICKET};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use tests::lone_sidecar;

/// Where this pod's sidecar listens.
pub(crate) struct Stage {
    pub(crate) pod: Pod,
    pub(crate) port: u16,
    http: reqwest::Client,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The message of an error, with everything by which a client knows it.
    pub(crate) fn error(&self, key: &str) -> String {
        let body = self.json();
        assert_eq!(body["typeKey"], key, "{body}");
        let name = body["typeName"].as_str().expect("a name");
        assert!(
            name.contains(&format!(".{key}, ")),
            "{name}: without its assembly nobody knows the class"
        );
        body["message"].as_str().expect("a message").to_owned()
    }
}

impl Stage {
    /// A pod with the gateway, in which everything is as it should be.
    pub(crate) fn new(world: &World) -> Self {
        let port = free_port();
        let pod = Pod::new(world)
            .set(contract::HANDOFF_VARIABLE, Handoff::Gateway.as_str())
            .set(contract::GATEWAY_PORT_VARIABLE, port.to_string());
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(120))
            .build()
            .expect("a client");
        Self { pod, port, http }
    }

    /// The same with a variable of the sidecar's.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.pod = self.pod.set(name, value);
        self
    }

    /// Starts the sidecar and waits until an agent may start.
    pub(crate) async fn start(&self) -> Sidecar<'_> {
        let mut sidecar = self.pod.start();
        sidecar.says(Reason::Ready).await;
        sidecar
    }

    /// The organization's address for the agent.
    pub(crate) fn url(&self) -> String {
        contract::gateway_url(self.port)
    }

    /// A request with the ticket, below the organization.
    pub(crate) fn ticket(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).basic_auth("VstsAgent", Some(TICKET))
    }

    /// A request without any credential.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/{path}", self.url()));
        // As the library: without a version at connection data and locations.
        if path.contains("distributedtask") {
            return request.header("accept", "application/json; api-version=7.1");
        }
        request
    }

    /// Registers an agent as `config.sh` does it.
    pub(crate) async fn register(&self, world: &World, name: &str) -> Answer {
        let lookup = agents(world, &format!("?agentName={name}&includeCapabilities=False"));
        let found = send(self.ticket(Method::GET, &lookup)).await;
        assert_eq!(found.status, 200, "{found:?}");
        send(self.ticket(Method::POST, &agents(world, "")).json(&registration(name))).await
    }

    /// The registered agent's id.
    pub(crate) async fn registered(&self, world: &World) -> i64 {
        let answer = self.register(world, NAME).await;
        assert_eq!(answer.status, 200, "{answer:?}\n{}", self.pod.log());
        answer.json()["id"].as_i64().expect("an id")
    }

    /// Sends bytes as they are; what comes back until the connection ends or nothing more comes.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The gateway may close before everything is written.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            answer.extend_from_slice(&piece[..length]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .expect("a timeout");
        stream
    }
}

/// A path of the pool's agents.
pub(crate) fn agents(world: &World, rest: &str) -> String {
    format!("_apis/distributedtask/pools/{}/agents{rest}", world.pool.id())
}

/// What an agent says of itself.
pub(crate) fn registration(name: &str) -> Value {
    json!({
        "id": 0, "name": name, "version": "4.255.0", "osDescription": "Linux", "maxParallelism": 1,
        "systemCapabilities": {
            "Agent.Name": name,
            "PATH": "/usr/bin",
            contract::OWNER_VARIABLE: lone_sidecar::owner(NAME),
        },
        "authorization": { "publicKey": { "exponent": "AQAB", "modulus": format!("{}=", "A".repeat(343)) } },
    })
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await.expect("a body");
    Answer { status, headers, body }
}

/// Waits for something in Azure DevOps.
pub(crate) async fn until(world: &World, what: &str, stage: &Stage, holds: impl Fn(&AdoView) -> bool) {
    let seen = world.ado.wait_until(what, SOON, holds).await;
    if let Err(late) = seen {
        panic!("{late}\n{}", stage.pod.log());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

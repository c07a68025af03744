//! An agent's own life: registered with a key, its OAuth client, sessions and the long poll.

use crate::{Answer, Asker, SOON, pool};
use azure_emulators::ado::{JobSpec, Timing};
use azure_emulators::jwt::{INSECURE_CLUSTER_KEY_2, INSECURE_STRANGER_KEY, SigningKey};
use azure_emulators::world::World;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// A registered agent that speaks for itself.
pub(crate) struct Agent {
    pub(crate) id: i64,
    pub(crate) name: String,
    key: SigningKey,
    client_id: String,
    authorization_url: String,
    /// With the agent's own token.
    pub(crate) asker: Asker,
    pub(crate) session: String,
}

fn registration(name: &str, key: &SigningKey) -> Value {
    let public = key.public();
    json!({
        "id": 0, "name": name, "version": "4.255.0", "osDescription": "Linux", "maxParallelism": 1,
        "provisioningState": "Provisioned", "createdOn": "0001-01-01T00:00:00", "status": 0,
        "authorization": { "publicKey": {
            "exponent": BASE64_STANDARD.encode(public.e), "modulus": BASE64_STANDARD.encode(public.n),
        } },
        "systemCapabilities": { "Agent.Name": name, "Agent.Version": "4.255.0", "docker": "/usr/bin/docker" },
    })
}

impl Agent {
    /// Registers with the sidecar's token and fetches a token of its own.
    pub(crate) async fn register(world: &World, name: &str) -> Self {
        let key = SigningKey::from_pem(INSECURE_CLUSTER_KEY_2);
        let admin = Asker::agents(world);
        let path = pool(world, "/agents");
        let added = admin.send(Method::POST, &path, &registration(name, &key)).await.ok();
        let text = |path: &str| added.pointer(path).and_then(Value::as_str).unwrap().to_owned();
        let mut agent = Self {
            id: added["id"].as_i64().unwrap(),
            name: name.to_owned(),
            key,
            client_id: text("/authorization/clientId"),
            authorization_url: text("/authorization/authorizationUrl"),
            asker: Asker::new(world, String::new()),
            session: String::new(),
        };
        agent.renew(world).await;
        agent
    }

    async fn renew(&mut self, world: &World) {
        let answer = self.token(world, 0, 300).await.ok();
        assert_eq!(answer["token_type"], "JWT");
        self.asker.token = answer["access_token"].as_str().unwrap().to_owned();
    }

    /// A key that no agent was registered with.
    pub(crate) fn another_key() -> SigningKey {
        SigningKey::from_pem(INSECURE_STRANGER_KEY)
    }

    /// Registers it again with another key, as `--replace` does.
    pub(crate) async fn replace(&self, world: &World, key: &SigningKey) -> Value {
        let path = pool(world, &format!("/agents/{}", self.id));
        let body = registration(&self.name, key);
        Asker::agents(world).send(Method::PUT, &path, &body).await.ok()
    }

    /// Goes on with this key.
    pub(crate) async fn use_key(&mut self, world: &World, key: SigningKey) {
        self.key = key;
        self.renew(world).await;
    }

    /// Asks for a token with an assertion that is valid from and until these seconds from now.
    pub(crate) async fn token(&self, world: &World, from: i64, until: i64) -> Answer {
        let now = world.ado.clock().now().seconds();
        let assertion = self.key.sign(&json!({
            "iss": self.client_id, "sub": self.client_id, "aud": self.authorization_url,
            "jti": "1", "nbf": now + from, "exp": now + until,
        }));
        let form = [
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
        ];
        Answer::of(world.client().post(&self.authorization_url).form(&form)).await
    }

    pub(crate) async fn open_session(&self, world: &World, owner: &str) -> Answer {
        let body = json!({
            "sessionId": "00000000-0000-0000-0000-000000000000", "ownerName": owner,
            "agent": { "id": self.id, "name": self.name, "version": "4.255.0", "osDescription": "Linux" },
        });
        self.asker.send(Method::POST, &pool(world, "/sessions"), &body).await
    }

    /// Registers and comes online.
    pub(crate) async fn online(world: &World, name: &str) -> Self {
        let mut agent = Self::register(world, name).await;
        let session = agent.open_session(world, name).await.ok();
        agent.session = session["sessionId"].as_str().unwrap().to_owned();
        agent
    }

    pub(crate) async fn poll(&self, world: &World, last: Option<i64>) -> Answer {
        let last = last.map_or_else(String::new, |last| format!("&lastMessageId={last}"));
        let path = format!("/messages?sessionId={}{last}", self.session);
        self.asker.get(&pool(world, &path)).await
    }

    /// Polls, and is deleted by an administrator while it waits; what the poll is answered.
    pub(crate) async fn poll_while_deleted(&self, world: &World) -> Answer {
        let admin = Asker::agents(world);
        let path = pool(world, &format!("/agents/{}", self.id));
        let (poll, deleted) = tokio::join!(self.poll(world, None), async {
            let seen =
                |view: &azure_emulators::ado::AdoView| view.agent("linux", "pod-0").is_some_and(|agent| agent.online);
            world.ado.wait_until("pod-0 is online", SOON, seen).await.unwrap();
            admin.delete(&path).await
        });
        assert_eq!(deleted.status, 204);
        poll
    }

    pub(crate) async fn delete_message(&self, world: &World, message: i64) {
        let path = format!("/messages/{message}?sessionId={}", self.session);
        assert_eq!(self.asker.delete(&pool(world, &path)).await.status, 204);
    }

    pub(crate) async fn close_session(&self, world: &World) {
        let path = pool(world, &format!("/sessions/{}", self.session));
        assert_eq!(self.asker.delete(&path).await.status, 204);
    }
}

/// Empty polls are not held.
pub(crate) fn quick_polls(world: &World) {
    world.ado.set_timing(Timing {
        poll: Duration::from_millis(100),
        ..Timing::default()
    });
}

#[tokio::test]
async fn an_agents_key_is_its_only_way_to_a_token() {
    let world = World::start().await.unwrap();
    let mut agent = Agent::register(&world, "pod-0").await;
    for (from, until) in [(-7200, -3600), (3600, 3900)] {
        let answer = agent.token(&world, from, until).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!("invalid_client")));
        assert!(
            answer.body["error_description"]
                .as_str()
                .unwrap()
                .contains("Current server time is")
        );
    }
    agent.key = SigningKey::from_pem(INSECURE_STRANGER_KEY);
    assert_eq!(agent.token(&world, 0, 300).await.body["error"], "invalid_client");
}

#[tokio::test]
async fn an_agent_may_listen_and_nothing_else() {
    let world = World::start().await.unwrap();
    let agent = Agent::register(&world, "pod-0").await;
    let path = pool(&world, &format!("/agents/{}", agent.id));
    assert_eq!(
        agent.asker.delete(&path).await.refusal(),
        (403, "AccessDeniedException")
    );
    let admin = Asker::agents(&world);
    let body = json!({ "ownerName": "x", "agent": { "id": agent.id } });
    let refused = admin.send(Method::POST, &pool(&world, "/sessions"), &body).await;
    assert_eq!(
        refused.refusal(),
        (403, "AccessDeniedException"),
        "the admin token opens no session"
    );
}

#[tokio::test]
async fn a_session_brings_an_agent_online_until_it_ends_or_is_not_polled() {
    let world = World::start().await.unwrap();
    quick_polls(&world);
    let agent = Agent::online(&world, "pod-0").await;
    let shown = world.pool.agent("pod-0").unwrap();
    assert!(shown.online);
    assert_eq!(shown.session_owner.as_deref(), Some("pod-0"));

    let conflict = agent.open_session(&world, "another-pod").await;
    assert_eq!(conflict.refusal(), (409, "TaskAgentSessionConflictException"));
    let polled = agent.poll(&world, None).await;
    assert_eq!((polled.status, &polled.body), (202, &json!("")));
    agent.close_session(&world).await;
    assert!(!world.pool.agent("pod-0").unwrap().online);
    assert_eq!(
        agent.poll(&world, None).await.refusal().1,
        "TaskAgentSessionExpiredException"
    );

    agent.open_session(&world, "pod-0").await.ok();
    world.ado.clock().advance(Duration::from_secs(301));
    let shown = world.pool.agent("pod-0").unwrap();
    assert!(!shown.online && shown.status_changed > shown.created);
}

#[tokio::test]
async fn a_message_comes_again_on_every_poll_until_it_is_deleted() {
    let world = World::start().await.unwrap();
    let agent = Agent::online(&world, "pod-0").await;
    let (listener, keep_alive, _) = tokio::join!(agent.poll(&world, None), agent.poll(&world, None), async {
        world.pool.queue_job(JobSpec::script("true")).unwrap();
    });
    let message = listener.ok();
    assert_eq!(keep_alive.ok(), message);
    assert_eq!(message["messageType"], "PipelineAgentJobRequest");
    let id = message["messageId"].as_i64().unwrap();
    assert_eq!(agent.poll(&world, None).await.ok()["messageId"], id);
    quick_polls(&world);
    assert_eq!(agent.poll(&world, Some(id)).await.status, 202);
    agent.delete_message(&world, id).await;
    assert_eq!(agent.poll(&world, None).await.status, 202);
}

#[tokio::test]
async fn deleting_an_agent_ends_its_poll_its_session_and_its_client() {
    let world = World::start().await.unwrap();
    let agent = Agent::online(&world, "pod-0").await;
    let poll = agent.poll_while_deleted(&world).await;
    assert_eq!(poll.refusal(), (404, "TaskAgentNotFoundException"));
    assert_eq!(agent.token(&world, 0, 300).await.body["error"], "invalid_client");
}

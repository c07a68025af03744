//! The control port does over HTTP what the library does.

use crate::{Answer, Asker};
use azure_emulators::ado::DeletedAgent;
use azure_emulators::http::{Listen, Server};
use azure_emulators::jwt::Token;
use azure_emulators::world::World;
use serde_json::{Value, json};

struct Control {
    base: String,
    client: reqwest::Client,
    _server: Server,
}

impl Control {
    async fn of(world: &World) -> Self {
        let server = world.serve_control(Listen::default().address).await.unwrap();
        Self {
            base: format!("http://{}", server.address()),
            client: world.client(),
            _server: server,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{path}", self.base))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.client.post(format!("{}{path}", self.base)).json(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.client.delete(format!("{}{path}", self.base))).await
    }
}

#[tokio::test]
async fn faults_clock_and_jobs_are_set_over_http() {
    let world = World::start().await.unwrap();
    let control = Control::of(&world).await;
    let asker = Asker::agents(&world);
    control
        .post(
            "/faults/ado",
            &json!({ "fault": "unauthorized", "route": "GET **", "count": 1 }),
        )
        .await
        .ok();
    assert_eq!(asker.get("distributedtask/pools").await.status, 401);
    assert_eq!(control.get("/faults/ado").await.ok()[0]["struck"], 1);
    control.delete("/faults/ado").await.ok();
    assert_eq!(control.get("/faults/ado").await.ok(), json!([]));

    control
        .post("/clock", &json!({ "service": "ado", "skew_seconds": 7200 }))
        .await
        .ok();
    assert_eq!(
        asker.get("distributedtask/pools").await.status,
        401,
        "the token has expired there"
    );
    control
        .post("/clock", &json!({ "service": "ado", "skew_seconds": 0 }))
        .await
        .ok();
    asker.get("distributedtask/pools").await.ok();

    let refused = control.post("/jobs", &json!({ "script": "true" })).await;
    assert_eq!(refused.status, 409, "the pool has no agent");
    world.pool.add_agent("placeholder", &[]);
    let id = control
        .post("/jobs", &json!({ "pool": "linux", "name": "b", "script": "true" }))
        .await
        .ok()["id"]
        .clone();
    let state = control.get("/state").await.ok();
    assert_eq!(state["pools"][0]["jobs"][0]["id"], id);
    control
        .post(&format!("/jobs/{id}/finish"), &json!({ "result": "canceled" }))
        .await
        .ok();
    assert_eq!(
        control.get("/state").await.ok()["pools"][0]["jobs"][0]["result"],
        "canceled"
    );

    assert!(!control.get("/requests/ado").await.ok().as_array().unwrap().is_empty());
    control.delete("/requests").await.ok();
    assert_eq!(control.get("/requests/ado").await.ok(), json!([]));
}

#[tokio::test]
async fn identities_and_tokens_are_made_over_http() {
    let world = World::start().await.unwrap();
    let control = Control::of(&world).await;
    control
        .post("/identities", &json!({ "name": "team-b", "kind": "managed-identity" }))
        .await
        .ok();
    control
        .post("/members/team-b", &json!({ "role": "Service Account" }))
        .await
        .ok();
    let token = control
        .post("/tokens/team-b", &json!({ "lifetime_seconds": 60 }))
        .await
        .ok();
    let asker = Asker::new(&world, token.as_str().unwrap().to_owned());
    assert_eq!(asker.get("distributedtask/pools").await.ok()["count"], 1);

    let assertion = json!({ "namespace": "n", "account": "a", "lifetime_seconds": 600 });
    let assertion = control.post("/assertions", &assertion).await.ok();
    let claims = Token::parse(assertion.as_str().unwrap()).unwrap();
    assert_eq!(claims.text("sub"), Some("system:serviceaccount:n:a"));
    assert_eq!(control.get("/ca.pem").await.ok(), world.authority.pem());
}

#[tokio::test]
async fn the_behavior_is_changed_member_by_member() {
    let world = World::start().await.unwrap();
    let control = Control::of(&world).await;
    let change = json!({ "entitlement_spread_seconds": 30 });
    control.post("/behavior", &change).await.ok();
    control.post("/behavior", &json!({})).await.ok();
    assert_eq!(control.get("/behavior").await.ok()["entitlement_spread_seconds"], 30);
    assert_eq!(world.ado.behavior().entitlement_spread_seconds, 30);
    control
        .post(
            "/behavior",
            &json!({ "deleted_agent": "invalid-client", "plan_version": 7 }),
        )
        .await
        .ok();
    assert_eq!(world.ado.behavior().deleted_agent, DeletedAgent::InvalidClient);
    let unknown = control.post("/behavior", &json!({ "no_such_switch": true })).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn the_rate_limit_is_set_and_lifted_over_http() {
    let world = World::start().await.unwrap();
    let (control, asker) = (Control::of(&world).await, Asker::agents(&world));
    let limit = json!({ "requests": 1, "window_seconds": 300, "delayed": 1 });
    control.post("/rate-limit", &limit).await.ok();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = asker.get("distributedtask/pools").await;
        seen.push((answer.status, !answer.header("retry-after").is_empty()));
    }
    assert_eq!(seen, [(200, false), (200, true), (429, true)]);
    control.delete("/rate-limit").await.ok();
    asker.get("distributedtask/pools").await.ok();
}

#[tokio::test]
async fn what_the_control_port_does_not_understand_is_explained() {
    let world = World::start().await.unwrap();
    let control = Control::of(&world).await;
    let cases = [
        (
            control.post("/faults/ado", &json!({ "fault": "no-such-fault" })).await,
            400,
            "unknown variant",
        ),
        (
            control.post("/faults/nobody", &json!({ "fault": "hang" })).await,
            404,
            "use ado or entra",
        ),
        (
            control.post("/tokens/nobody", &json!({})).await,
            404,
            "no identity 'nobody'",
        ),
        (control.get("/nowhere").await, 404, "POST   /jobs"),
        (control.post("/jobs", &json!({ "skript": "true" })).await, 400, "skript"),
    ];
    for (answer, status, part) in cases {
        let text = answer.body.as_str().unwrap().to_owned();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(part), "{text}");
    }
}

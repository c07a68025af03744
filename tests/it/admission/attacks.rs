//! What an attacker does to the webhook, with small numbers: the findings W1 to W6 of the security review. The same with
//! large numbers, and with the memory limit: `cargo run --release --bin bench -- attack`.

use std::time::Duration;

use contract::AZWI_CLIENT_ID_ANNOTATION;
use serde_json::{Value, json};
use tests::apiserver::review::of_pod;
use tests::apiserver::{ApiServer, Mood};
use tests::bench::attack::attacker::{Attackers, Conduct, Victim};
use tests::bench::attack::kinds;
use tokio::net::TcpStream;
use tokio::time::Instant;
use webhook::server::Limits;

use crate::wire::{Answer, Wire, head};
use crate::world::{Running, api, deployment_pod, soon, until};

const MIB: usize = 1024 * 1024;
const LARGE: &str = "ado_agent_webhook_large_bodies_bytes";
const CONNECTIONS: &str = "ado_agent_webhook_connections";
const IN_FLIGHT: &str = "ado_agent_webhook_requests_in_flight";

fn closed(port: &str, reason: &str) -> String {
    format!("ado_agent_webhook_connections_closed_total{{port=\"{port}\",reason=\"{reason}\"}}")
}

async fn start(change: impl FnOnce(&mut Limits)) -> (ApiServer, Running) {
    let api = api().await;
    api.set_account("team", "plain", &[]);
    let webhook = Running::start(&api, &[], change);
    webhook.wait_until_ready().await;
    until("the watch has listed", async || {
        webhook.metric("ado_agent_webhook_accounts_cached").await == 1.0
    })
    .await;
    (api, webhook)
}

fn victim(webhook: &Running) -> Victim {
    Victim::new(webhook.tls, webhook.plain, &webhook.ca).unwrap()
}

fn review() -> String {
    of_pod("team", &deployment_pod()).to_string()
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut pod = deployment_pod();
    change(&mut pod);
    of_pod("team", &pod).to_string()
}

/// The honest client's review over a new connection.
async fn is_served(webhook: &Running) {
    let answer = Wire::connect(webhook).await.post(review()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["response"]["patch"].is_string(), "{answer:?}");
}

fn denial(answer: &Answer) -> (String, String) {
    let response = &answer.json()["response"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(response["allowed"], false, "{answer:?}");
    (
        text(&response["auditAnnotations"]["reason"]),
        text(&response["status"]["message"]),
    )
}

#[tokio::test]
async fn a_pod_of_many_values_is_denied_and_not_stored() {
    let (_api, webhook) = start(|_| {}).await;
    for change in [
        (|pod| kinds::variables(pod, 10_000, "V")) as fn(&mut Value),
        |pod| kinds::small_values(pod, 10_000),
        |pod| kinds::unknown_keys(pod, 20_000),
        |pod| kinds::containers(pod, 10_000),
    ] {
        let answer = Wire::connect(&webhook).await.post(changed(change)).await;
        let (reason, sentence) = denial(&answer);
        assert_eq!(reason, "pod-too-large", "{sentence}");
        assert!(sentence.contains("at most 20000"), "{sentence}");
    }
    // The same objects in what is no creation of a pod are no concern of ours.
    let mut review: Value = serde_json::from_str(&changed(|pod| kinds::small_values(pod, 10_000))).unwrap();
    review["request"]["operation"] = json!("UPDATE");
    let answer = Wire::connect(&webhook).await.post(review.to_string()).await;
    assert_eq!(answer.json()["response"]["allowed"], true);
}

#[tokio::test]
async fn no_parsed_review_is_kept_while_its_account_is_read() {
    let (api, webhook) = start(|_| {}).await;
    api.set_mood(Mood::Hanging);
    let body = changed(|pod| {
        pod["spec"]["serviceAccountName"] = json!("plain");
        kinds::small_values(pod, 7_600);
    });
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::connect(&webhook).await;
        wire.send(
            head(
                "POST",
                "/mutate?timeout=30s",
                &[
                    ("content-type", "application/json"),
                    ("content-length", &body.len().to_string()),
                ],
            ) + &body,
        )
        .await;
        waiting.push(wire);
    }
    until("all of them wait", async || webhook.metric(IN_FLIGHT).await == 20.0).await;
    let held = webhook.metric(LARGE).await;
    assert!(
        held <= 20.0 * 2.0 * body.len() as f64,
        "{held} bytes for texts of {}",
        body.len()
    );
    is_served(&webhook).await;
    api.set_mood(Mood::Well);
    api.set_account("team", "plain", &[(AZWI_CLIENT_ID_ANNOTATION, crate::world::CLIENT_ID)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_bodies_never_take_more_than_the_budget() {
    let (_api, webhook) = start(|limits| limits.large_bodies = 6 * MIB).await;
    for conduct in [Conduct::OpenBody(MIB), Conduct::OpenChunks(MIB)] {
        let attackers = Attackers::start(&victim(&webhook), &conduct, 10);
        let mut most: f64 = 0.0;
        until("some were closed for others", async || {
            most = most.max(webhook.metric(LARGE).await);
            is_served(&webhook).await;
            webhook.metric(&closed("tls", "evicted")).await >= 5.0
        })
        .await;
        assert!(most > 0.0 && most <= (6 * MIB) as f64, "{most}");
        drop(attackers);
        // The largest body of all still finds its room.
        let large = changed(|pod| pod["metadata"]["annotations"] = json!({"filler": "x".repeat(3 * MIB)}));
        until("a large review is answered", async || {
            Wire::connect(&webhook).await.post(&large).await.status == 200
        })
        .await;
    }
    until("nothing is left", async || webhook.metric(LARGE).await == 0.0).await;
}

#[tokio::test]
async fn a_large_body_beyond_the_budget_gets_429_with_retry_after() {
    let (_api, webhook) = start(|limits| limits.large_bodies = MIB).await;
    let large = changed(|pod| pod["metadata"]["annotations"] = json!({"filler": "x".repeat(MIB)}));
    let mut wire = Wire::connect(&webhook).await;
    let length = large.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    wire.send(head("POST", "/mutate?timeout=5s", &headers)).await;
    // It may be refused before all of it is sent.
    let _ = wire.try_send(&large).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "1"));
    is_served(&webhook).await;
}

#[tokio::test]
async fn a_head_of_more_than_16_kib_is_refused() {
    let (_api, webhook) = start(|_| {}).await;
    let mut wire = Wire::connect(&webhook).await;
    let _ = wire
        .try_send(format!("POST /mutate HTTP/1.1\r\nhost: {}", "x".repeat(100_000)))
        .await;
    assert_eq!(wire.answer().await.status, 431);
    is_served(&webhook).await;
}

#[tokio::test]
async fn a_response_that_is_not_read_ends_its_connection() {
    let (_api, webhook) = start(|limits| {
        limits.timeouts.answer = Duration::from_secs(1);
        limits.timeouts.body = Duration::from_secs(1);
    })
    .await;
    let attackers = Attackers::start(&victim(&webhook), &Conduct::PostUnread(review().into()), 5);
    until("it is closed", async || {
        is_served(&webhook).await;
        webhook.metric(&closed("tls", "unread")).await >= 5.0
    })
    .await;
    drop(attackers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_block_new_ones() {
    let (_api, webhook) = start(|limits| limits.connections = 20).await;
    let mut open = Wire::connect(&webhook).await;
    assert_eq!(open.post(review()).await.status, 200);
    for conduct in [
        Conduct::Silent,
        Conduct::NoHandshake,
        Conduct::AskOnce(review().into()),
        Conduct::OpenHead(100),
        Conduct::OpenBody(100),
    ] {
        let before = webhook.metric(&closed("tls", "evicted")).await;
        let attackers = Attackers::start(&victim(&webhook), &conduct, 60);
        until(&format!("they take all places: {conduct:?}"), async || {
            webhook.metric(&closed("tls", "evicted")).await > before
        })
        .await;
        for _ in 0..20 {
            is_served(&webhook).await;
            assert_eq!(open.post(review()).await.status, 200, "{conduct:?}");
        }
        let connections = webhook.metric(CONNECTIONS).await;
        // Whoever is closed for another is there for a moment longer, sixteen at most.
        assert!(connections <= 36.0, "{connections}");
        drop(attackers);
    }
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_soon() {
    let (_api, webhook) = start(|limits| limits.timeouts.first_request = Duration::from_millis(500)).await;
    let started = Instant::now();
    assert!(Wire::connect(&webhook).await.ends_silently().await);
    let mut plain = TcpStream::connect(webhook.plain).await.unwrap();
    let mut nothing = Vec::new();
    soon(
        "the plain port closes it",
        tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut nothing),
    )
    .await
    .unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    for port in ["tls", "plain"] {
        assert_eq!(webhook.metric(&closed(port, "no-request")).await, 1.0, "{port}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_answered_while_the_plain_port_is_full() {
    let (_api, webhook) = start(|limits| limits.plain_connections = 10).await;
    let attackers = Attackers::start(&victim(&webhook), &Conduct::Plain, 50);
    until("they take all places", async || {
        webhook.metric(&closed("plain", "evicted")).await > 0.0
    })
    .await;
    for _ in 0..20 {
        assert_eq!(webhook.get("/livez").await.0, 200);
        assert_eq!(webhook.get("/readyz").await.0, 200);
    }
    drop(attackers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_reviews_are_read_one_at_a_time_and_small_ones_do_not_wait() {
    let (_api, webhook) = start(|_| {}).await;
    let bodies = [
        changed(|pod| kinds::unknown_keys(pod, 100_000)),
        changed(|pod| kinds::variables(pod, 60_000, "AZP_TOKEN")),
        changed(kinds::long_strings),
    ];
    for body in bodies {
        let attackers = Attackers::start(&victim(&webhook), &Conduct::Post(body.into()), 4);
        until("some were answered", async || {
            is_served(&webhook).await;
            attackers.done().answered >= 8
        })
        .await;
    }
    until("nothing is left", async || webhook.metric(LARGE).await == 0.0).await;
}

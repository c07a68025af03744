//! Shutdown: under load, with open connections, and at a second signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tests::apiserver::review::{Caller, of_pod};
use tests::apiserver::webhook::Webhook;
use tokio::time::Instant;

use crate::wire::{Wire, head};
use crate::world::{IMAGE, Running, api, deployment_pod, until};

/// What kube-proxy does: new connections go to a replica that is ready.
async fn ready_replica(replicas: &[Webhook]) -> Option<&Webhook> {
    for replica in replicas {
        if matches!(replica.get("/readyz").await, Ok((200, _))) {
            return Some(replica);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_shuts_down_under_load_and_no_call_fails() {
    let api = api().await;
    let flags = [IMAGE, "--drain-delay=6"];
    let mut replicas = vec![
        Webhook::start(&api, &flags).await.unwrap(),
        Webhook::start(&api, &flags).await.unwrap(),
    ];
    let (leaving, staying) = (replicas[0].tls_address(), replicas[1].tls_address());
    let ca = api.authority().pem().to_owned();
    let (moved, stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let caller = |address| Caller::new(address, &ca, Duration::from_secs(10)).unwrap();
            let (old, new) = (caller(leaving), caller(staying));
            let (moved, stop, answered) = (Arc::clone(&moved), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let caller = if moved.load(Ordering::Relaxed) { &new } else { &old };
                    let answer = caller.post(of_pod("team", &deployment_pod()).to_string()).await;
                    assert_eq!(answer.expect("no call fails").status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until("there is load", async || answered.load(Ordering::Relaxed) > 40).await;
    let told = Instant::now();
    replicas[0].terminate().unwrap();
    until("it is not ready any more", async || {
        matches!(replicas[0].get("/readyz").await, Ok((503, _)))
    })
    .await;
    let before = answered.load(Ordering::Relaxed);
    until("it goes on answering", async || {
        answered.load(Ordering::Relaxed) > before + 8
    })
    .await;
    assert!(
        ready_replica(&replicas)
            .await
            .is_some_and(|ready| ready.tls_address() == staying)
    );
    moved.store(true, Ordering::Relaxed);
    let status = replicas[0].wait().await.unwrap();
    assert!(status.success(), "{status}\n{}", replicas[0].log().join("\n"));
    assert!(
        told.elapsed() >= Duration::from_secs(6) && told.elapsed() < Duration::from_secs(25),
        "{:?}",
        told.elapsed()
    );
    let before = answered.load(Ordering::Relaxed);
    until("the other one has the load", async || {
        answered.load(Ordering::Relaxed) > before + 40
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn requests_in_flight_are_answered_with_connection_close() {
    let api = api().await;
    let webhook = Running::start(&api, &["--drain-delay=1"], |_| {});
    webhook.wait_until_ready().await;
    let mut idle = Wire::connect(&webhook).await;
    let body = of_pod("team", &deployment_pod()).to_string();
    assert!(
        !idle.post(&body).await.headers.contains_key("connection"),
        "keep-alive as long as it serves"
    );
    // A review that waits for its body while the webhook is told to end.
    let mut waiting = Wire::connect(&webhook).await;
    let length = body.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    waiting
        .send(head("POST", "/mutate?timeout=10s", &headers) + &body[..10])
        .await;
    until("it is in flight", async || {
        webhook.metric("ado_agent_webhook_requests_in_flight").await == 1.0
    })
    .await;
    let plain = webhook.plain;
    let ends = tokio::spawn(webhook.stop());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    until("not ready", async || {
        client
            .get(format!("http://{plain}/readyz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status().as_u16() == 503)
    })
    .await;
    let last = idle.post(&body).await;
    assert_eq!((last.status, last.headers["connection"].as_str()), (200, "close"));
    assert!(idle.ends_silently().await);
    // Past the drain delay the listener is closed, and this one is still answered.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    waiting.send(&body[10..]).await;
    assert_eq!(waiting.answer().await.status, 200);
    ends.await.unwrap();
}

#[tokio::test]
async fn a_hanging_connection_does_not_delay_the_shutdown_beyond_its_deadline() {
    let api = api().await;
    let webhook = Running::start(&api, &[], |limits| limits.drain_deadline = Duration::from_millis(300));
    webhook.wait_until_ready().await;
    let mut hanging = Wire::connect(&webhook).await;
    let headers = [("content-type", "application/json"), ("content-length", "100")];
    hanging.send(head("POST", "/mutate?timeout=30s", &headers)).await;
    until("it is in flight", async || {
        webhook.metric("ado_agent_webhook_requests_in_flight").await == 1.0
    })
    .await;
    let started = Instant::now();
    webhook.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let api = api().await;
    let mut webhook = Webhook::start(&api, &[IMAGE, "--drain-delay=60"]).await.unwrap();
    webhook.terminate().unwrap();
    until("not ready", async || {
        matches!(webhook.get("/readyz").await, Ok((503, _)))
    })
    .await;
    webhook.terminate().unwrap();
    assert_eq!(webhook.wait().await.unwrap().code(), Some(1));
}

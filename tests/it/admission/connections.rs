//! Connections that are malformed, slow or many.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tests::apiserver::review::of_pod;
use tests::apiserver::webhook::{Webhook, service_name};
use tests::bench::process::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::wire::{Wire, head, tls};
use crate::world::{IMAGE, Running, api, deployment_pod, soon, until, value};

const FAILED: &str = "ado_agent_webhook_tls_handshakes_failed_total";
const CONNECTIONS: &str = "ado_agent_webhook_connections";

/// Sends bytes to the TLS port and waits until the webhook hangs up.
async fn hangs_up_on(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the webhook hangs up", stream.read_to_end(&mut answer)).await;
    assert!(answer.len() < 64, "an alert at most: {answer:?}");
}

#[tokio::test]
async fn a_connection_that_is_not_tls_is_closed_at_once() {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    let started = Instant::now();
    hangs_up_on(webhook.tls, b"GET /mutate HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hangs_up_on(webhook.tls, &[0xff; 1000]).await;
    // A ClientHello of TLS 1.1: record 3.1, handshake, version 3.2, one cipher suite, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x00, 0x2f, 1, 0]);
    hangs_up_on(webhook.tls, &hello).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "no deadline had to pass: {:?}",
        started.elapsed()
    );
    assert_eq!(webhook.metric(FAILED).await, 3.0);
    let body = of_pod("team", &deployment_pod()).to_string();
    assert_eq!(Wire::connect(&webhook).await.post(&body).await.status, 200);
}

#[tokio::test]
async fn the_certificate_is_presented_for_any_server_name() {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    // The client refuses what it is shown: the webhook leaves the judgment to it.
    for name in ["another.example", "127.0.0.1"] {
        let config = azure_emulators::tls::client_config(&[&webhook.ca]).unwrap();
        let error = tls(webhook.tls, config, name, &[]).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{name}: {error}");
    }
    let mut config = azure_emulators::tls::client_config(&[&webhook.ca]).unwrap();
    config.enable_sni = false;
    assert!(tls(webhook.tls, config, &service_name(), &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_dropped_and_others_are_served() {
    let api = api().await;
    let webhook = Running::start(&api, &[], |limits| {
        limits.timeouts.first_request = Duration::from_secs(1);
        limits.timeouts.head = Duration::from_secs(1);
    });
    webhook.wait_until_ready().await;
    // Nothing at all, before the handshake.
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(webhook.tls).await.unwrap());
    }
    // Half a head; a body that never comes; and a connection that its client has in reserve, as API servers do after a burst.
    let mut head_drips = Wire::connect(&webhook).await;
    head_drips.send("POST /mutate HTTP/1.1\r\nhost:").await;
    let mut body_drips = Wire::connect(&webhook).await;
    let headers = [("content-type", "application/json"), ("content-length", "100")];
    body_drips
        .send(head("POST", "/mutate?timeout=1s", &headers) + "{")
        .await;
    let mut spare = Wire::connect(&webhook).await;

    let body = of_pod("team", &deployment_pod()).to_string();
    let mut polite = Wire::connect(&webhook).await;
    for _ in 0..20 {
        assert_eq!(polite.post(&body).await.status, 200);
    }
    assert!(head_drips.ends_silently().await);
    assert_eq!(body_drips.answer().await.status, 408);
    until(
        "nobody is left but the polite one and its spare connection",
        async || webhook.metric(CONNECTIONS).await == 2.0,
    )
    .await;
    assert_eq!(webhook.metric(FAILED).await, 300.0);
    assert_eq!(
        polite.post(&body).await.status,
        200,
        "a client that paused for longer than a head may take is no dripping one"
    );
    assert_eq!(
        spare.post(&body).await.status,
        200,
        "and finds its spare connection open"
    );
    drop(silent);
}

#[tokio::test]
async fn at_the_connection_limit_an_idle_connection_is_closed() {
    let api = api().await;
    let webhook = Running::start(&api, &[], |limits| limits.connections = 2);
    webhook.wait_until_ready().await;
    let body = of_pod("team", &deployment_pod()).to_string();
    let (mut first, mut second) = (Wire::connect(&webhook).await, Wire::connect(&webhook).await);
    assert_eq!(first.post(&body).await.status, 200);
    assert_eq!(second.post(&body).await.status, 200);
    let mut third = Wire::connect(&webhook).await;
    assert!(first.ends_silently().await, "the one that has been idle for longest");
    assert_eq!(second.post(&body).await.status, 200);
    assert_eq!(third.post(&body).await.status, 200);
    let evicted = "ado_agent_webhook_connections_closed_total{port=\"tls\",reason=\"evicted\"}";
    assert_eq!(webhook.metric(evicted).await, 1.0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_timeout() {
    let api = api().await;
    let webhook = Running::start(&api, &[], |limits| limits.timeouts.idle = Duration::from_millis(300));
    webhook.wait_until_ready().await;
    let mut wire = Wire::connect(&webhook).await;
    let body = of_pod("team", &deployment_pod()).to_string();
    assert_eq!(wire.post(&body).await.status, 200);
    assert!(wire.ends_silently().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reviews_from_a_hundred_clients_are_all_answered() {
    let api = api().await;
    // Between two handshakes of one address everybody else is served, which takes a debug build on a busy machine long.
    let patient = |limits: &mut webhook::server::Limits| limits.timeouts.first_request = Duration::from_secs(60);
    let webhook = Arc::new(Running::start(&api, &[], patient));
    webhook.wait_until_ready().await;
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let webhook = Arc::clone(&webhook);
            tokio::spawn(async move {
                let mut wire = Wire::connect(&webhook).await;
                for _ in 0..10 {
                    let review = of_pod("team", &deployment_pod());
                    let answer = wire.post(review.to_string()).await.json();
                    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
                    assert!(answer["response"]["patch"].is_string());
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let metric = "ado_agent_webhook_requests_total{operation=\"CREATE\",outcome=\"injected\",reason=\"injected\"}";
    assert_eq!(webhook.metric(metric).await, 1000.0);
    assert_eq!(
        webhook.metric("ado_agent_webhook_request_duration_seconds_count").await,
        1000.0
    );
}

/// Opens and closes connections to the webhook, eight at a time: at once, after a handshake, with half a request, with
/// what is no TLS.
async fn come_and_go(address: SocketAddr, ca: &str, connections: usize) {
    let config = azure_emulators::tls::client_config(&[ca]).unwrap();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let config = config.clone();
            tokio::spawn(async move {
                for round in 0..connections / 8 {
                    // Few handshakes: they cost this process more than the webhook.
                    match round % 20 {
                        0 => drop(tls(address, config.clone(), &service_name(), &[]).await.unwrap()),
                        1 => {
                            let mut stream = tls(address, config.clone(), &service_name(), &[]).await.unwrap();
                            stream.write_all(b"POST /mutate HTTP/1.1\r\nhost:").await.unwrap();
                        }
                        2..6 => hangs_up_on(address, b"x\r\n\r\n\r\n").await,
                        _ => drop(TcpStream::connect(address).await.unwrap()),
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_short_connections_leak_nothing() {
    let api = api().await;
    let webhook = Webhook::start(&api, &[IMAGE]).await.unwrap();
    let process = Process(webhook.id().unwrap());
    let (address, ca) = (webhook.tls_address(), api.authority().pem());
    let nobody_is_there = async || {
        let (_, metrics) = webhook.get("/metrics").await.unwrap();
        value(&metrics, CONNECTIONS) == 0.0 && value(&metrics, "ado_agent_webhook_requests_in_flight") == 0.0
    };
    // The first ones fill pools and caches.
    come_and_go(address, ca, 2_000).await;
    until("the first connections are gone", nobody_is_there).await;
    let before = (process.descriptors().unwrap(), process.memory().unwrap().resident);
    come_and_go(address, ca, 8_000).await;
    until("every connection is gone", nobody_is_there).await;
    let after = (process.descriptors().unwrap(), process.memory().unwrap().resident);
    // A connection of the plain port may be open or not; 8,000 that left 100 bytes each would be 0.8 MiB.
    assert!(
        after.0.abs_diff(before.0) <= 2 && after.1 - before.1 < 0.8,
        "descriptors and MiB: {before:?}, then {after:?}"
    );
}

#[tokio::test]
async fn one_listener_accepts_ipv4_and_ipv6() {
    let api = api().await;
    // The later flag wins.
    let webhook = Running::start(&api, &["--tls-address=[::]:0", "--plain-address=[::]:0"], |_| {});
    for address in ["127.0.0.1", "[::1]"] {
        let Ok(stream) = TcpStream::connect(format!("{address}:{}", webhook.plain.port())).await else {
            // Without IPv6 the webhook falls back to IPv4, and that must work.
            assert!(address != "127.0.0.1" && webhook.plain.is_ipv4(), "{address}");
            continue;
        };
        drop(stream);
    }
    let config = azure_emulators::tls::client_config(&[&webhook.ca]).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, webhook.tls.port()));
    assert!(tls(address, config, &service_name(), &[]).await.is_ok());
}

//! How many connections, how many requests, and what becomes of those beyond.

use crate::stage::{Stage, send};
use azure_emulators::world::World;
use contract::GATEWAY_ORGANIZATION_SEGMENT;
use reqwest::Method;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// As in `sidecar/src/gateway/server.rs`.
const CONNECTIONS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn beyond_so_many_connections_the_next_waits_for_one_to_end() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let mut crowd: Vec<_> = (0..CONNECTIONS).map(|_| stage.connect()).collect();
    let mut next = stage.connect();
    let request = format!("GET /{GATEWAY_ORGANIZATION_SEGMENT} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    next.write_all(request.as_bytes()).expect("the kernel takes it");
    let mut answer = [0; 12];
    next.set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    assert!(next.read(&mut answer).is_err(), "it waits");
    crowd.pop();
    next.set_read_timeout(Some(crate::pod::SOON)).expect("a timeout");
    next.read_exact(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_so_many_requests_a_second_the_next_waits_its_turn() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let began = Instant::now();
    for _ in 0..90 {
        let answer = send(stage.ticket(Method::GET, "_apis/resourceAreas")).await;
        assert_eq!(answer.json()["count"], 0);
    }
    // Sixty at once, then twenty a second.
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1300), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_process_has_is_named() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _taken = std::net::TcpListener::bind(("127.0.0.1", stage.port)).expect("free");
    let mut sidecar = stage.pod.start();
    assert_eq!(sidecar.end(crate::pod::SOON).await, 1);
    for text in [stage.pod.log(), stage.pod.message()] {
        let is_named = text.contains(&format!("127.0.0.1:{}", stage.port)) && text.contains("gateway-port");
        assert!(is_named, "{text}");
    }
    assert!(stage.pod.message().starts_with("gateway-failed: "));
}

//! What a job may try that knows the gateway: nothing reaches Azure DevOps that was not judged, and the agent is removed.

use crate::pod::{NAME, Pod, SOON};
use crate::stage::{Stage, agents, registration, send};
use azure_emulators::faults::{Fault, Flood};
use azure_emulators::world::World;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use contract::{GATEWAY_ORGANIZATION_SEGMENT, TICKET};
use reqwest::Method;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::bench::process::Process;

/// A request line with headers up to the ticket.
fn head(method: &str, path: &str) -> String {
    let ticket = BASE64_STANDARD.encode(format!("x:{TICKET}"));
    format!(
        "{method} /{GATEWAY_ORGANIZATION_SEGMENT}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {ticket}\r\n\
         Accept: application/json; api-version=7.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    )
}

fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_two_servers_would_read_differently_go_no_further() {
    let world = World::start().await.expect("a world");
    let foreign = world.pool.add_agent("foreign", &[]);
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let id = stage.registered(&world).await;
    let path = agents(&world, "");
    let inner = format!("{}\r\n", head("DELETE", &agents(&world, &format!("/{foreign}"))));
    let body = registration("smuggled").to_string();
    let length = body.len();
    let post = head("POST", &path);
    let absolute = post.replacen("POST /", "POST http://dev.azure.com/", 1);
    let elsewhere = post.replace("Host: 127.0.0.1", "Host: dev.azure.com");
    let delete = |id: &str| head("DELETE", &agents(&world, &format!("/{id}")));
    for (what, request) in [
        (
            "two lengths",
            format!("{post}Content-Length: {length}\r\nContent-Length: 5\r\n\r\n{body}"),
        ),
        (
            "length, then chunks",
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "chunks, then length",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "odd encoding",
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "chunks",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a space before the colon",
            format!("{post}Content-Length : {length}\r\n\r\n{body}"),
        ),
        (
            "a folded header",
            format!("{post}X-A: b\r\n Content-Length: {length}\r\n\r\n{body}"),
        ),
        (
            "an absolute address",
            format!("{absolute}Content-Length: {length}\r\n\r\n{body}"),
        ),
        (
            "another host",
            format!("{elsewhere}Content-Length: {length}\r\n\r\n{body}"),
        ),
        (
            "two hosts",
            format!("{post}Host: dev.azure.com\r\nContent-Length: {length}\r\n\r\n{body}"),
        ),
        (
            "two credentials",
            format!("{post}Authorization: Bearer x\r\nContent-Length: {length}\r\n\r\n{body}"),
        ),
        (
            "an encoded slash",
            format!("{}\r\n", delete(&format!("{id}%2f..%2f{foreign}"))),
        ),
        (
            "a dot segment",
            format!("{}\r\n", delete(&format!("{id}/../{foreign}"))),
        ),
        (
            "encoded dots",
            format!("{}\r\n", delete(&format!("{id}/%2e%2e/{foreign}"))),
        ),
        ("an encoded id", format!("{}\r\n", delete("%31"))),
        ("a null byte", format!("{}\r\n", delete(&format!("{id}%00")))),
        (
            "a backslash",
            format!("{}\r\n", delete(&format!("{id}\\..\\{foreign}"))),
        ),
        ("a fragment", format!("{}\r\n", delete(&format!("{foreign}#/{id}")))),
        ("a large head", format!("{post}X-A: {}\r\n\r\n", "a".repeat(20_000))),
        ("many headers", format!("{post}{}\r\n", "X-A: b\r\n".repeat(100))),
        (
            "another protocol",
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".to_owned(),
        ),
    ] {
        world.ado.forget_requests();
        let answer = stage.raw(request.as_bytes());
        assert!(matches!(status(&answer), 400..=499 | 0), "{what}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            usize::from(status(&answer) != 0),
            "{what}: {answer}"
        );
        let view = world.ado.view();
        assert!(view.requests.is_empty(), "{what}: {:?}", view.requests);
    }
    assert_eq!(world.pool.agents().len(), 2, "{:?}", world.pool.agents());
}

/// Of a request with a credential of its own the body is the body, whatever it holds.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_stays_one_request() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let inner = format!("{}\r\n", head("GET", "_apis/connectionData"));
    for framing in [
        "Content-Length: LENGTH\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: LENGTH",
    ] {
        world.ado.forget_requests();
        let framing = framing.replace("LENGTH", &inner.len().to_string());
        let request = format!(
            "POST /{GATEWAY_ORGANIZATION_SEGMENT}/_apis/x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer own\r\n{framing}\r\n\r\n\
             {:x}\r\n{inner}\r\n0\r\n\r\n",
            inner.len()
        );
        let answer = stage.raw(request.as_bytes());
        assert!(status(&answer) >= 300, "{answer}");
        assert!(world.ado.view().requests.len() <= 1, "{:?}", world.ado.view().requests);
    }
}

/// Neither in an answer, nor in a header, nor in the log.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_nowhere_but_in_requests_to_azure_devops() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let mut sidecar = stage.start().await;
    let mut seen = String::new();
    let id = stage.registered(&world).await;
    for (method, path) in [
        (Method::OPTIONS, "_apis/".to_owned()),
        (Method::GET, "_apis/connectionData".to_owned()),
        (Method::GET, "_apis/distributedtask/pools?poolName=linux".to_owned()),
        (Method::GET, agents(&world, &format!("/{id}?includeCapabilities=true"))),
        (Method::GET, agents(&world, "")),
        (Method::POST, agents(&world, "")),
        (Method::GET, "_apis/projects".to_owned()),
        (Method::DELETE, agents(&world, &format!("/{id}"))),
    ] {
        seen += &format!("{:?}", send(stage.ticket(method, &path)).await);
    }
    sidecar.terminate();
    let _ = sidecar.end(SOON).await;
    seen += &stage.pod.log();
    seen += &stage.pod.message();
    for file in ["state/state.json", "handoff/token/token", "handoff/drain"] {
        seen += &crate::pod::content(&stage.pod.path(file));
    }
    // Access tokens and assertions are JWTs, which begin so.
    assert!(seen.contains(NAME) && !seen.contains("eyJ"), "{seen}");
}

/// Opens so many connections; each says this much.
fn crowd(stage: &Stage, count: usize, says: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = stage.connect();
        let _ = stream.write_all(says.as_bytes());
        stream
    };
    (0..count).map(connect).collect()
}

async fn removed_at_t0(world: &World, stage: &Stage, what: &str) {
    let began = Instant::now();
    assert!(stage.pod.pre_stop().0, "{what}");
    let gone = world
        .ado
        .wait_until("the agent is gone", SOON, |view| view.agents("linux").is_empty());
    gone.await.unwrap_or_else(|late| {
        panic!(
            "{what}: {late}
{}",
            stage.pod.log()
        )
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{what}: {took:?}\n{}", stage.pod.log());
}

fn peak(pod: &Pod, id: u32) -> f64 {
    let memory = Process(id).memory();
    memory.unwrap_or_else(|error| panic!("{error}: {}", pod.log())).peak
}

/// The most that a sidecar may ever have had in memory, in MiB. A debug build has about 13 at rest, most of it its own file.
const MOST: f64 = 24.0;

/// Fills the port with so many connections that say this; the agent is removed all the same, and memory stays what it is.
async fn flooded(what: &str, says: &str, count: usize) {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world).set(contract::LOG_LEVEL_VARIABLE, "debug");
    assert!(AGENTS.contains(&format!("/{}/", world.pool.id())));
    let mut sidecar = stage.start().await;
    stage.registered(&world).await;
    // Longer than everything together could hold.
    let of = Flood::Endless;
    world
        .ado
        .faults()
        .always("GET /_apis/distributedtask/pools", Fault::Flood { of });
    let crowd = crowd(&stage, count, &says.replace("TOKEN", &world.admin_token()));
    removed_at_t0(&world, &stage, what).await;
    let most = peak(&stage.pod, sidecar.id());
    assert!(most < MOST, "{what}: {most} MiB");
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{what}: {}", stage.pod.log());
    drop(crowd);
}

const AGENTS: &str = "_apis/distributedtask/pools/1/agents";
const PATH: &str = "/organization/_apis/distributedtask/pools";
const OWN: &str = "Host: 127.0.0.1\r\nAccept: application/json; api-version=7.1\r\nAuthorization: Bearer TOKEN\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_no_harm() {
    flooded("nothing", "", 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_do_no_harm() {
    flooded("half a head", &head("GET", "_apis/"), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_downloads_do_no_harm() {
    flooded("downloads", &format!("GET {PATH} HTTP/1.1\r\n{OWN}\r\n"), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_uploads_do_no_harm() {
    let head = format!("POST {PATH} HTTP/1.1\r\n{OWN}Content-Length: 100000000\r\n\r\n");
    flooded("uploads", &format!("{head}{}", "x".repeat(10_000)), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_registrations_do_no_harm() {
    let head = head("POST", AGENTS);
    flooded("registrations", &format!("{head}Content-Length: 250000\r\n\r\n{{"), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_to_replace_other_agents_do_no_harm() {
    flooded(
        "replacements",
        &format!("{}\r\n", head("PUT", &format!("{AGENTS}/1"))),
        100,
    )
    .await;
}

//! What a job may do to the port, with the processor and the memory that the sidecar is shipped with: it is never killed, and its
//! agent goes within the grace period.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::{free_port, gateway_pod};
use crate::bench::report::{Row, Value, count, mebibytes, milliseconds};
use crate::cgroup::Group;
use azure_emulators::faults::{Fault, Flood};
use azure_emulators::world::World;
use contract::{GATEWAY_ORGANIZATION_SEGMENT, TICKET};

/// More than the gateway serves at a time, and no more than the kernel keeps for it.
const CONNECTIONS: usize = 60;
const GRACE: Duration = Duration::from_secs(30);

/// Each kind of flood, against a sidecar of its own.
///
/// # Errors
/// A sidecar does not do what it should.
pub(super) async fn rows() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let own = "Host: 127.0.0.1\r\nAccept: application/json; api-version=7.1\r\nAuthorization: Bearer TOKEN\r\n";
    let path = format!("/{GATEWAY_ORGANIZATION_SEGMENT}/_apis/distributedtask/pools");
    for (name, says) in [
        ("connections that say nothing", String::new()),
        ("half requests", format!("GET {path} HTTP/1.1\r\n")),
        (
            "downloads that nobody reads",
            format!("GET {path} HTTP/1.1\r\n{own}\r\n"),
        ),
        (
            "uploads that stop",
            format!(
                "POST {path} HTTP/1.1\r\n{own}Content-Length: 100000000\r\n\r\n{}",
                "x".repeat(10_000)
            ),
        ),
        (
            "replacements of other agents",
            format!("PUT {path}/1/agents/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TICKET}\r\n\r\n"),
        ),
    ] {
        rows.push(row(name, &says).await?);
    }
    Ok(rows)
}

async fn row(name: &str, says: &str) -> anyhow::Result<Row> {
    let world = World::start().await?;
    let port = free_port()?;
    let (mut pod, group) = gateway_pod(&world, port)?;
    pod.set(contract::GRACE_SECONDS_VARIABLE, GRACE.as_secs().to_string());
    tokio::task::block_in_place(|| pod.start().and_then(|_| pod.may_start()))?;
    register(&world, pod.name(), port).await?;
    let of = Flood::Endless;
    world
        .ado
        .faults()
        .always("GET /_apis/distributedtask/pools", Fault::Flood { of });
    let says = says.replace("TOKEN", &world.admin_token());
    let (took, killed) = tokio::task::block_in_place(|| -> anyhow::Result<_> {
        let crowd: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", port))?;
                // It may not take everything.
                stream.set_write_timeout(Some(Duration::from_millis(200)))?;
                let _ = stream.write_all(says.as_bytes());
                Ok(stream)
            })
            .collect::<std::io::Result<_>>()?;
        let began = Instant::now();
        ensure!(pod.call("pre-stop")?.1, "the hook fails:\n{}", pod.log());
        while !world.pool.agents().is_empty() && began.elapsed() < GRACE && pod.is_running()? {
            std::thread::sleep(Duration::from_millis(10));
        }
        let took = world.pool.agents().is_empty().then(|| began.elapsed());
        let code = pod.end(GRACE)?;
        drop(crowd);
        Ok((took, code != Some(0)))
    })?;
    let kills = group.as_ref().map_or(Ok(0), Group::kills)?;
    let unknown = Value {
        value: f64::NAN,
        unit: "",
    };
    let mut row = Row::new(
        format!("{name}: from T0 to the removed agent"),
        took.map_or(unknown, |took| milliseconds(took.as_secs_f64())),
    )
    .goal(GRACE.as_secs_f64() * 1e3);
    row.met = row.met.map(|met| met && kills == 0 && !killed);
    if let Some(group) = &group {
        row = row
            .part("peak of the group", mebibytes(group.peak()?))
            .part("oom_kill", count(kills));
    }
    Ok(row)
}

async fn register(world: &World, name: &str, port: u16) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!(
        "{}/_apis/distributedtask/pools/{}/agents?api-version=7.1",
        contract::gateway_url(port),
        world.pool.id()
    );
    let body = json!({ "name": name, "version": "4.255.0", "systemCapabilities": {} });
    let answer = http.post(url).basic_auth("", Some(TICKET)).json(&body).send().await?;
    answer.error_for_status().context("the agent is not registered")?;
    Ok(())
}

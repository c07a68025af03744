//! `bench -- gateway`: what it costs an agent to reach Azure DevOps through its sidecar, with the processor and the memory that
//! the sidecar is shipped with.

mod floods;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::RequestBuilder;

use super::Effort;
use super::attack_sidecar::default_limits;
use super::pod::{PATIENCE, Pod};
use super::process::wakeups_between;
use super::report::{Row, count, mebibytes, milliseconds};
use crate::agent_package::stub_package;
use crate::cgroup::Group;
use crate::lone_sidecar;
use azure_emulators::world::World;
use contract::{Handoff, TICKET};
use stub_agent::AgentVersion;

const MEMORY_GOAL: f64 = 8.0;
/// Between two rounds: two requests each pass the gateway, which lets twenty pass in a second.
const ROUND: Duration = Duration::from_millis(110);
const PATH: &str = "_apis/distributedtask/pools?poolName=linux&api-version=7.1";

/// Everything about the gateway. The world runs on other threads of this process.
///
/// # Errors
/// A sidecar or the agent does not do what it should.
pub async fn measure(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let world = World::start().await?;
    let port = free_port()?;
    let (mut pod, group) = gateway_pod(&world, port)?;
    tokio::task::block_in_place(|| pod.start().and_then(|_| pod.may_start()))?;
    let mut rows = requests(&world, &pod, port, effort).await?;
    rows.extend(tokio::task::block_in_place(|| idle(&world, &pod, port, effort))?);
    match &group {
        Some(group) => rows.push(Row::new("peak of the control group", mebibytes(group.peak()?))),
        None => rows.push(Row::new("WITHOUT LIMITS: no control groups can be made here", count(0))),
    }
    drop((pod, group));
    rows.extend(floods::rows().await?);
    Ok(rows)
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

/// A sidecar with a gateway that is not started, in the limits as shipped. Without root there are none.
fn gateway_pod(world: &World, port: u16) -> anyhow::Result<(Pod, Option<Group>)> {
    let name = format!("ado-agent-bench-gateway-{}-{port}", std::process::id());
    let group = Group::new(&name, default_limits()?).ok();
    let mut pod = Pod::new(world, 0, "info")?;
    pod.set(contract::HANDOFF_VARIABLE, Handoff::Gateway.as_str().to_owned());
    pod.set(contract::GATEWAY_PORT_VARIABLE, port.to_string());
    pod.run_as(None, group.as_ref().map(Group::procs).unwrap_or_default());
    Ok((pod, group))
}

/// Times of one kind of request.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    async fn take(&mut self, request: RequestBuilder) -> anyhow::Result<()> {
        let began = Instant::now();
        let response = request.send().await?.error_for_status()?;
        response.bytes().await?;
        self.0.push(began.elapsed().as_secs_f64());
        Ok(())
    }

    fn quantile(&mut self, share: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let at = (self.0.len() as f64 * share) as usize;
        self.0.get(at.min(self.0.len() - 1)).copied().unwrap_or_default()
    }
}

async fn requests(world: &World, pod: &Pod, port: u16, effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let there = world.client();
    let here = reqwest::Client::builder().no_proxy().build()?;
    let token = world.access_token();
    let (direct, gateway) = (world.organization_url(), contract::gateway_url(port));
    let (mut straight, mut own, mut ticket) = (Times::default(), Times::default(), Times::default());
    let mut used = Duration::ZERO;
    let warm = 20;
    for round in 0..effort.reviews / 10 + warm {
        let began = Instant::now();
        if round == warm {
            (straight, own, ticket) = (Times::default(), Times::default(), Times::default());
            used = pod.process()?.processor_time()?;
        }
        straight
            .take(there.get(format!("{direct}/{PATH}")).bearer_auth(&token))
            .await?;
        own.take(here.get(format!("{gateway}/{PATH}")).bearer_auth(&token))
            .await?;
        ticket
            .take(here.get(format!("{gateway}/{PATH}")).basic_auth("", Some(TICKET)))
            .await?;
        tokio::time::sleep(ROUND.saturating_sub(began.elapsed())).await;
    }
    let used = pod.process()?.processor_time()?.saturating_sub(used);
    let passed = own.0.len() + ticket.0.len();
    let mut rows = Vec::new();
    for (name, times) in [
        ("with a credential of its own", &mut own),
        ("with the ticket", &mut ticket),
    ] {
        let (p50, p99) = (times.quantile(0.5), times.quantile(0.99));
        rows.push(
            Row::new(
                format!("request through the gateway {name}, p50 above direct"),
                milliseconds(p50 - straight.quantile(0.5)),
            )
            .part("p50", milliseconds(p50))
            .part("direct", milliseconds(straight.quantile(0.5)))
            .part("p99", milliseconds(p99))
            .part("direct", milliseconds(straight.quantile(0.99))),
        );
    }
    rows.push(Row::new(
        "request through the gateway, processor time",
        milliseconds(used.as_secs_f64() / passed as f64),
    ));
    Ok(rows)
}

/// A listener that waits for jobs.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn idle(world: &World, pod: &Pod, port: u16, effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("agent");
    std::fs::create_dir(&root)?;
    world.authority.write_pem(&folder.path().join("ca.pem"))?;
    let archive = stub_package(AgentVersion::V5)?;
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(&root)
        .status()?;
    ensure!(unpacked.success(), "the package cannot be unpacked");
    let configured = command(&root, "./config.sh")
        .args(["--unattended", "--acceptTeeEula", "--pool", world.pool.name()])
        .args([
            "--agent",
            pod.name(),
            "--url",
            &contract::gateway_url(port),
            "--token",
            TICKET,
        ])
        .env(contract::OWNER_VARIABLE, lone_sidecar::owner(pod.name()))
        .output()?;
    ensure!(
        configured.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&configured.stdout),
        pod.log()
    );
    let _listener = Listener(
        command(&root, "./bin/Agent.Listener")
            .arg("run")
            .stdout(Stdio::null())
            .spawn()?,
    );
    let deadline = Instant::now() + PATIENCE;
    while !pod.call("ready")?.1 {
        ensure!(
            Instant::now() < deadline,
            "the agent does not come online:\n{}",
            pod.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(effort.settle);
    let process = pod.process()?;
    let polls = || world.ado.view().count("GET messages");
    let requests = || world.ado.view().requests.len();
    let (before, polls_before, all_before) = (process.wakeups()?, polls(), requests());
    let used_before = process.processor_time()?;
    std::thread::sleep(effort.idle);
    let wakeups = usize::try_from(wakeups_between(&before, &process.wakeups()?)).context("few wakeups")?;
    let used = process.processor_time()?.saturating_sub(used_before);
    let memory = process.memory()?;
    let polls = polls() - polls_before;
    let others = requests() - all_before - polls;
    Ok(vec![
        Row::new("sidecar beside an idle agent", mebibytes(memory.resident))
            .goal(MEMORY_GOAL)
            .part("its own", mebibytes(memory.anonymous))
            .part("peak", mebibytes(memory.peak)),
        Row::new(
            format!("its wakeups in {} idle seconds", effort.idle.as_secs()),
            count(wakeups),
        )
        .part("polls that were answered", count(polls))
        .part("other requests to Azure DevOps", count(others))
        .part("processor time", milliseconds(used.as_secs_f64())),
    ])
}

/// A program of the agent, as its container's variables have it.
fn command(root: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(root)
        .env("AGENT_ALLOW_RUNASROOT", "true")
        .env("HOME", root)
        .env("SSL_CERT_FILE", root.with_file_name("ca.pem"))
        .env("VSS_ALLOW_UNSAFE_BASICAUTH", "true")
        .env("VSTS_AGENT_INPUT_AUTH", "PAT")
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null());
    command
}

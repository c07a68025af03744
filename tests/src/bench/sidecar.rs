//! The sidecar: from start to token file, at rest, and the two words that the kubelet says to it.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::Effort;
use super::pod::Pod;
use super::process::wakeups_between;
use super::report::{Row, count, mebibytes, median, milliseconds};
use super::round_trip::{Ask, RoundTrip};
use azure_emulators::world::World;

const START_GOAL: f64 = 20.0;
const MEMORY_GOAL: f64 = 6.0;
/// What the driver logs when the machine's own deadline wakes it.
const DEADLINE: &str = "a deadline passed";

/// Everything about the sidecar. The world runs on other threads of this process.
///
/// # Errors
/// A sidecar does not do what it should.
pub async fn measure(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let world = World::start().await?;
    // Sidecars, probes and files are waited for with blocking calls.
    let mut rows = tokio::task::block_in_place(|| starts(&world, effort))?;
    rows.extend(tokio::task::block_in_place(|| idle(&world, effort))?);
    Ok(rows)
}

#[derive(Default)]
struct Times {
    start: Vec<f64>,
    page: Vec<f64>,
    token: Vec<f64>,
    probe: Vec<f64>,
    pre_stop: Vec<f64>,
    version: Vec<f64>,
}

fn starts(world: &World, effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let round_trip = RoundTrip::new(world)?;
    let mut times = Times::default();
    // The first of each is not counted: caches are cold, and Entra fetches the cluster's keys.
    for number in 0..=effort.starts {
        let mut pod = Pod::new(world, number, "info")?;
        let page_first = number % 2 == 0;
        let page = |times: &mut Times| -> anyhow::Result<()> {
            times.page.push(round_trip.run(Ask::Page)?.as_secs_f64());
            times.token.push(round_trip.run(Ask::Token)?.as_secs_f64());
            Ok(())
        };
        if page_first {
            page(&mut times)?;
        }
        times.start.push(pod.start()?.as_secs_f64());
        pod.register(world)?;
        if !page_first {
            page(&mut times)?;
        }
        for _ in 0..effort.probes {
            times.probe.push(success(&pod, "probe")?);
            times.version.push(success(&pod, "--version")?);
        }
        times.pre_stop.push(success(&pod, "pre-stop")?);
        if number == 0 {
            times = Times::default();
        }
    }
    let difference = |of: &[f64]| median(times.start.iter().zip(of).map(|(start, of)| start - of));
    let (above_page, above_token) = (difference(&times.page), difference(&times.token));
    let version = milliseconds(median(times.version));
    Ok(vec![
        Row::new(
            "sidecar, start to token file, above a bare HTTPS round trip",
            milliseconds(above_page),
        )
        .goal(START_GOAL)
        .part("start to token file", milliseconds(median(times.start)))
        .part("bare round trip", milliseconds(median(times.page)))
        .part("above the same exchange, bare", milliseconds(above_token)),
        Row::new("probe, process time p50", milliseconds(median(times.probe))).part("--version", version),
        Row::new("pre-stop, process time p50", milliseconds(median(times.pre_stop))).part("--version", version),
    ])
}

fn success(pod: &Pod, word: &str) -> anyhow::Result<f64> {
    let (took, succeeded) = pod.call(word)?;
    ensure!(succeeded, "{word} failed:\n{}", pod.log());
    Ok(took.as_secs_f64())
}

fn idle(world: &World, effort: &Effort) -> anyhow::Result<Vec<Row>> {
    // The driver tells of deadlines at this level, and writes to a file without waiting.
    let mut pod = Pod::new(world, effort.starts + 1, "debug")?;
    pod.start()?;
    pod.register(world)?;
    std::thread::sleep(effort.settle);
    let process = pod.process()?;
    let deadlines = || pod.log().matches(DEADLINE).count();
    let (before, due_before, used_before) = (process.wakeups()?, deadlines(), process.processor_time()?);
    std::thread::sleep(effort.idle);
    let (after, due_after) = (process.wakeups()?, deadlines());
    let used = process.processor_time()?.saturating_sub(used_before);
    let memory = process.memory()?;
    let minutes = effort.idle.as_secs_f64() / Duration::from_secs(60).as_secs_f64();
    let wakeups = usize::try_from(wakeups_between(&before, &after)).context("few wakeups")?;
    let due = due_after - due_before;
    let seconds = effort.idle.as_secs();
    Ok(vec![
        Row::new("sidecar at rest", mebibytes(memory.resident))
            .goal(MEMORY_GOAL)
            .part("its own", mebibytes(memory.anonymous))
            .part("peak", mebibytes(memory.peak)),
        Row::new(
            format!("sidecar, wakeups in {seconds} idle seconds beside deadlines"),
            count(wakeups.saturating_sub(due)),
        )
        .goal(0.0)
        .part("wakeups a minute", count((wakeups as f64 / minutes).round() as usize))
        .part("deadlines", count(due))
        .part("processor time", milliseconds(used.as_secs_f64())),
    ])
}

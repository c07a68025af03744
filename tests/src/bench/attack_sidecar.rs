//! `bench -- attack-sidecar`: the sidecar under each kind of attack that a job or a server can make, with the processor and the
//! memory that it is shipped with. It must never be killed, and its agent has to go before the grace period is over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use webhook::config::Config;

use super::pod::Pod;
use super::report::{Row, Value, count, mebibytes, milliseconds};
use crate::cgroup::{Group, Limits};
use azure_emulators::faults::{Fault, Flood};
use azure_emulators::world::World;

/// The pods' grace period.
const GRACE: Duration = Duration::from_secs(30);
const AGENTS: &str = "* /_apis/distributedtask/pools/*/agents/**";
const LIST: &str = "GET /_apis/distributedtask/pools/*/agents";

/// What is done to a sidecar whose pod is terminating.
struct Attack {
    name: &'static str,
    /// On which answers, and what.
    flood: Option<(&'static str, Flood)>,
    /// The agent is found in the list of all agents only.
    invents_name: bool,
    /// A job removes files in the shared directory as fast as it can.
    storm: bool,
    /// Whether anything can be learned of the answers.
    removable: bool,
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "no attack",
        flood: None,
        invents_name: false,
        storm: false,
        removable: true,
    },
    Attack {
        name: "its agent has 290,000 capabilities",
        flood: Some((AGENTS, Flood::Capabilities { count: 290_000 })),
        invents_name: false,
        storm: false,
        removable: true,
    },
    Attack {
        name: "300,000 agents in the pool",
        flood: Some((LIST, Flood::Agents { count: 300_000 })),
        invents_name: true,
        storm: false,
        removable: true,
    },
    Attack {
        name: "4 MiB of brackets within each other",
        flood: Some((AGENTS, Flood::Nesting { depth: 2 << 20 })),
        invents_name: false,
        storm: false,
        removable: true,
    },
    Attack {
        name: "names and markers of 8 MiB",
        flood: Some((AGENTS, Flood::Strings { length: 8 << 20 })),
        invents_name: false,
        storm: false,
        removable: false,
    },
    Attack {
        name: "answers that never end",
        flood: Some((AGENTS, Flood::Endless)),
        invents_name: false,
        storm: false,
        removable: false,
    },
    Attack {
        name: "pages of 32 MiB",
        flood: Some((
            AGENTS,
            Flood::Page {
                status: 200,
                length: 32 << 20,
            },
        )),
        invents_name: false,
        storm: false,
        removable: false,
    },
    Attack {
        name: "files removed as fast as possible",
        flood: None,
        invents_name: false,
        storm: true,
        removable: true,
    },
];

/// Every attack whose name contains `only`, each on a sidecar of its own; `program`: another than the one of this repository.
///
/// # Errors
/// A sidecar does not get as far as to be attacked.
pub async fn rows(program: Option<&Path>, only: Option<&str>, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, attack) in ATTACKS.iter().enumerate() {
        if only.is_some_and(|only| !attack.name.contains(only)) {
            continue;
        }
        say(attack.name);
        let world = World::start().await?;
        // Sidecars and probes are waited for with blocking calls.
        let (row, log) = tokio::task::block_in_place(|| run(&world, number, attack, program))?;
        if row.met == Some(false) {
            say(&format!("missed, and the sidecar's log is:\n{log}"));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn run(world: &World, number: usize, attack: &Attack, program: Option<&Path>) -> anyhow::Result<(Row, String)> {
    let name = format!("ado-agent-bench-sidecar-{}", std::process::id());
    // Without root none can be made, and the row says so.
    let group = Group::new(&name, default_limits()?).ok();
    let mut pod = Pod::new(world, number, "info")?;
    pod.set(contract::GRACE_SECONDS_VARIABLE, GRACE.as_secs().to_string());
    pod.run_as(program, group.as_ref().map(Group::procs).unwrap_or_default());
    pod.start()?;
    let agent = match attack.invents_name {
        true => format!("{}-invented", pod.name()),
        false => pod.name().to_owned(),
    };
    pod.register_as(world, &agent)?;
    if let Some((route, of)) = attack.flood {
        world.ado.faults().always(route, Fault::Flood { of });
    }
    let storm = attack.storm.then(|| Storm::start(pod.token_directory()));
    let began = Instant::now();
    ensure!(pod.call("pre-stop")?.1, "the hook fails:\n{}", pod.log());
    let mut probes = Vec::new();
    let mut gone = None;
    while gone.is_none() && began.elapsed() < GRACE && pod.is_running()? {
        let (took, _) = pod.call("probe")?;
        probes.push(took.as_secs_f64());
        std::thread::sleep(Duration::from_millis(50));
        gone = world.pool.agent(&agent).is_none().then(|| began.elapsed());
        // It would wait for the next attempt until the grace is over: the container has ended.
        if !attack.removable && probes.len() > 20 {
            break;
        }
    }
    let resident = pod.process()?.memory().ok().map(|memory| memory.peak);
    let spent = pod.process()?.processor_time().unwrap_or_default();
    if attack.removable {
        world.ado.faults().clear();
    }
    let code = pod.end(GRACE + Duration::from_secs(10))?;
    let ended = began.elapsed();
    drop(storm);
    let kills = group.as_ref().map_or(Ok(0), Group::kills)?;
    let no_groups = if group.is_none() {
        " (WITHOUT LIMITS: no control groups can be made here)"
    } else {
        ""
    };
    let took = if attack.removable { gone } else { Some(ended) };
    let unknown = Value {
        value: f64::NAN,
        unit: "",
    };
    let mut row = Row::new(
        format!("{}{no_groups}", attack.name),
        took.map_or(unknown, |took| milliseconds(took.as_secs_f64())),
    )
    .goal(GRACE.as_secs_f64() * 1e3);
    let is_killed = kills > 0 || code.is_none();
    let expected = i32::from(!attack.removable);
    row.met = row.met.map(|met| met && !is_killed && code == Some(expected));
    if is_killed {
        row = row.part("KILLED, oom_kill", count(kills));
    }
    if let Some(group) = &group {
        row = row.part("peak of the group", mebibytes(group.peak()?));
    }
    probes.sort_by(f64::total_cmp);
    let slowest = probes.last().copied().unwrap_or_default();
    let exit = code.and_then(|code| usize::try_from(code).ok()).map_or(unknown, count);
    let row = row
        .part("peak resident", resident.map_or(unknown, mebibytes))
        .part("processor time", milliseconds(spent.as_secs_f64()))
        .part("slowest probe", milliseconds(slowest))
        .part("exit code", exit);
    Ok((row, pod.log()))
}

/// A thread that removes and makes files in a directory until it is dropped.
struct Storm(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Storm {
    fn start(directory: PathBuf) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&goes_on);
        let thread = std::thread::spawn(move || {
            let token = directory.join(contract::TOKEN_FILE_NAME);
            let other = directory.join("other");
            while flag.load(Ordering::Relaxed) {
                let _ = std::fs::write(&other, "");
                let _ = std::fs::remove_file(&other);
                let _ = std::fs::remove_file(&token);
            }
        });
        Self(goes_on, Some(thread))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

/// The limits that the webhook gives a sidecar by default.
///
/// # Errors
/// They are written in another form than expected here.
pub fn default_limits() -> anyhow::Result<Limits> {
    let settings = Config::read(["ado-agent-webhook", "--sidecar-image=x"].map(str::to_owned), |_| None)?.settings;
    let memory = settings.sidecar_memory.strip_suffix("Mi").context("in Mi")?;
    let processor = settings.sidecar_cpu.strip_suffix('m').context("in m")?;
    Ok(Limits {
        memory: memory.parse::<u64>()? << 20,
        processor: Some(processor.parse()?),
    })
}

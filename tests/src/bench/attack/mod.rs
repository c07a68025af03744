//! `bench -- attack`: the webhook under each kind of attack, in the memory that it is shipped with, while an honest client
//! goes on asking.

pub mod attacker;
mod honest;
mod http2;
pub mod kinds;
mod shipped_limit;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::load::{Expected, Target};
use super::report::{Row, Value, count, mebibytes, milliseconds, times};
use super::reviews;
use crate::apiserver::ApiServer;
use crate::apiserver::webhook::Webhook;
use crate::cgroup::{Group, Limits};
use crate::programs::{program, repository};
use attacker::{Attackers, Done, Victim};
use honest::Seen;

pub use shipped_limit::shipped_limit;

/// The subcommand of `bench` that is an attacker.
pub const COMMAND: &str = "attacker";
/// How much later than in quiet times an answer may come.
const GOAL: f64 = 10.0;

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long each attack lasts.
    pub lasts: Duration,
    /// Another webhook than the one of this repository.
    pub webhook: Option<PathBuf>,
    /// Another memory limit in MiB than the shipped one.
    pub limit: Option<u64>,
    /// Only the attacks whose names contain this.
    pub only: Option<String>,
}

/// All attacks one after the other, each against a fresh webhook. `say` is told what goes on.
///
/// # Errors
/// The webhook does not start, or the quiet measurement fails.
pub async fn measure(plan: &Plan, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Vec<Row>> {
    let program = match &plan.webhook {
        Some(program) => program.clone(),
        None => tokio::task::spawn_blocking(|| program("ado-agent-webhook")).await??,
    };
    let limit = match plan.limit {
        Some(limit) => limit << 20,
        None => shipped_limit(repository())?,
    };
    let bench = Bench {
        say,
        api: cluster().await?,
        program,
        limit,
        lasts: plan.lasts,
    };
    say("measuring the quiet webhook");
    let quiet = bench.run(None).await?;
    ensure!(
        quiet.seen.failures.is_empty() && quiet.seen.probes_failed.is_empty(),
        "the webhook fails without an attack: {:?}",
        quiet.seen
    );
    let mut rows = vec![quiet.row("no attack", None)];
    for attack in kinds::all()? {
        if plan
            .only
            .as_ref()
            .is_some_and(|only| !attack.name.contains(only.as_str()))
        {
            continue;
        }
        say(attack.name);
        let run = bench.run(Some(attack.name)).await?;
        for failure in run
            .seen
            .failures
            .iter()
            .take(3)
            .chain(run.seen.probes_failed.iter().take(3))
        {
            say(&format!("  failed: {failure}"));
        }
        rows.push(run.row(attack.name, Some(&quiet)));
    }
    Ok(rows)
}

/// A cluster with the honest client's account and the attacker's.
///
/// # Errors
/// No port can be bound.
pub async fn cluster() -> anyhow::Result<ApiServer> {
    let api = reviews::cluster().await?;
    api.set_namespace(kinds::NAMESPACE, &[(contract::INJECT_LABEL, "true")]);
    api.set_account(kinds::NAMESPACE, kinds::ACCOUNT, &[]);
    Ok(api)
}

struct Bench<'a> {
    say: &'a (dyn Fn(&str) + Sync),
    api: ApiServer,
    program: PathBuf,
    limit: u64,
    lasts: Duration,
}

/// What came of one attack.
struct Run {
    seen: Seen,
    done: Option<Done>,
    /// Peak and kills of the control group; `None` where there is none.
    group: Option<(f64, usize)>,
    /// Peak of the process; `None` where it has ended.
    resident: Option<f64>,
}

impl Bench<'_> {
    async fn run(&self, attack: Option<&str>) -> anyhow::Result<Run> {
        let name = format!("ado-agent-bench-attack-{}", std::process::id());
        let limits = Limits {
            memory: self.limit,
            processor: None,
        };
        let group = Group::new(&name, limits)
            .inspect_err(|error| (self.say)(&format!("NO MEMORY LIMIT: {error:#}")))
            .ok();
        let mut webhook = Webhook::start_as(&self.api, self.command(group.as_ref()), &[reviews::IMAGE]).await?;
        webhook.wait_until_ready().await?;
        let process = reviews::process(&webhook)?;
        let ca = self.api.authority().pem();
        let target = Target::new(webhook.tls_address(), ca, reviews::body()?, Expected::Patch)?;
        let attackers = match attack {
            Some(name) => Some(self.attack(name, &webhook).await?),
            None => None,
        };
        let seen = honest::ask(&target, webhook.plain_address(), self.lasts).await?;
        let done = match attackers {
            Some((mut child, mut lines)) => {
                let line = lines.next_line().await?;
                child.wait().await?;
                line.and_then(|line| serde_json::from_str(&line).ok())
            }
            None => None,
        };
        let resident = process.memory().ok().map(|memory| memory.peak);
        let seen_by_kernel = match &group {
            Some(group) => Some((group.peak()?, group.kills()?)),
            None => None,
        };
        webhook.kill().await?;
        drop(group);
        let group = seen_by_kernel;
        Ok(Run {
            seen,
            done,
            group,
            resident,
        })
    }

    /// The webhook, which joins the group before it is itself.
    fn command(&self, group: Option<&Group>) -> Command {
        let Some(group) = group else {
            return Command::new(&self.program);
        };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"echo $$ > "$0" && exec "$@""#]);
        command.args(group.procs()).arg(&self.program);
        command
    }

    /// Attackers are a process of their own that gets what the others leave of the processors (`SCHED_IDLE`, sched(7)):
    /// elsewhere they would have processors of their own, and neither the webhook nor the honest client would wait for one.
    async fn attack(&self, name: &str, webhook: &Webhook) -> anyhow::Result<(Child, Lines<BufReader<ChildStdout>>)> {
        let mut child = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(std::env::current_exe()?)
            .args([COMMAND, name])
            .arg(webhook.tls_address().to_string())
            .arg(webhook.plain_address().to_string())
            .arg(self.lasts.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("chrt (of util-linux) cannot be started")?;
        let mut stdin = child.stdin.take().context("the standard input was piped")?;
        stdin.write_all(self.api.authority().pem().as_bytes()).await?;
        drop(stdin);
        let stdout = child.stdout.take().context("the standard output was piped")?;
        let mut lines = BufReader::new(stdout).lines();
        ensure!(lines.next_line().await?.is_some(), "the attacker does not begin");
        Ok((child, lines))
    }
}

impl Run {
    fn row(&self, name: &str, quiet: Option<&Self>) -> Row {
        let [kept_p50, kept, new_p50, new] = self.seen.percentiles();
        let no_group = if self.group.is_none() {
            " (WITHOUT A MEMORY LIMIT: no control group can be made here)"
        } else {
            ""
        };
        let ratio = quiet.map_or(1.0, |quiet| {
            let [_, quiet_kept, _, quiet_new] = quiet.seen.percentiles();
            (kept / quiet_kept).max(new / quiet_new)
        });
        let kills = self.group.map_or(0, |(_, kills)| kills);
        let is_killed = kills > 0 || self.resident.is_none();
        let failures = self.seen.failures.len() + self.seen.probes_failed.len();
        let mut row = Row::new(format!("{name}{no_group}"), times(ratio)).goal(GOAL);
        // Only the ratio has a number for a goal; the others are that there is none.
        row.met = row.met.map(|met| met && failures == 0 && !is_killed);
        if is_killed {
            row = row.part("KILLED, oom_kill", count(kills));
        }
        row = row
            .part("failed reviews", count(self.seen.failures.len()))
            .part("failed probes", count(self.seen.probes_failed.len()))
            .part("p50", milliseconds(kept_p50))
            .part("p99", milliseconds(kept))
            .part("new connection p50", milliseconds(new_p50))
            .part("p99", milliseconds(new));
        if let Some((peak, _)) = self.group {
            row = row.part("peak of the group", mebibytes(peak));
        }
        let unknown = Value {
            value: f64::NAN,
            unit: "",
        };
        row = row.part("peak resident", self.resident.map_or(unknown, mebibytes));
        if let Some(done) = self.done {
            row = row
                .part("attackers' connections", count(done.connections))
                .part("requests", count(done.requests))
                .part("answered", count(done.answered));
        }
        row
    }
}

/// The attacker's process: reads the certificate authority from the standard input, says by a line that it begins, attacks
/// for so long and says what it did.
///
/// # Errors
/// There is no such attack.
pub async fn attack(name: &str, tls: SocketAddr, plain: SocketAddr, lasts: Duration) -> anyhow::Result<Done> {
    let ca = std::io::read_to_string(std::io::stdin())?;
    let victim = Victim::new(tls, plain, &ca)?;
    let attack = kinds::all()?.into_iter().find(|attack| attack.name == name);
    let attack = attack.with_context(|| format!("there is no attack {name:?}"))?;
    writeln!(std::io::stdout(), "attacking")?;
    let attackers = Attackers::start(&victim, &attack.conduct, attack.clients);
    tokio::time::sleep(lasts).await;
    Ok(attackers.done())
}

/// Whether a path is a program; for the command line.
///
/// # Errors
/// It is none.
pub fn existing(path: &str) -> Result<PathBuf, String> {
    let path = Path::new(path);
    path.is_file()
        .then(|| path.to_owned())
        .ok_or_else(|| format!("{} is no file", path.display()))
}

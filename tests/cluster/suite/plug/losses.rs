//! What each kind of death costs, with the sidecar and without: agents left in the pool when the pod has ended, agents left after
//! `ado-agent keep`, jobs lost. The table of docs/performance.md: `ADO_LOSSES_PODS=20 cargo test -p cluster --test suite --
//! losses` makes twenty pods of each kind instead of two, in 50 minutes.
//!
//! Pods are as users have them: with us an access of the pod's own and the grace period that the webhook sets; without us the
//! personal access token from a Secret and Kubernetes' default grace of 30 seconds, which the jobs outlast.

use super::keep::Keep;
use super::lost;
use crate::case::{Case, LIMIT};
use crate::life::Life;
use crate::suite::say;
use crate::workload::{CONTAINER, template, with_access_token};
use anyhow::{Context, Result, ensure};
use azure_emulators::ado::JobSpec;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// Start scripts: one that replaces its shell and never removes its agent, one that tries once, Microsoft's of today.
const SCRIPTS: [&str; 3] = ["gen0", "gen1", "gen3"];
/// Pods of each kind, one of each at a time: two processors have room for no more, of which each sidecar requests a tenth of one.
const COUNT: usize = 2;
/// How long a job takes, from before its pod's death on.
const JOB_SECONDS: f64 = 45.0;
/// A pod ends within this: after its job at the latest.
const ENDS: Duration = Duration::from_secs(240);
/// Longer than a job's lock.
const LOCK: Duration = Duration::from_secs(660);

/// How a pod dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Deleted,
    ForceDeleted,
    AgentKilled,
}

/// Whether a job runs meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Idle,
    Busy,
}

/// Whose pod it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pods {
    WithUs,
    WithoutUs,
}

/// A line of the table.
struct Row {
    work: Work,
    death: Death,
    script: &'static str,
    with_us: Count,
    without_us: Count,
}

#[derive(Default, Clone, Copy)]
struct Count {
    pods: usize,
    left: usize,
    after_keep: usize,
    lost: usize,
}

struct Pod {
    life: Life,
    pods: Pods,
    row: usize,
    was_left: bool,
}

pub(crate) async fn fewer_agents_and_jobs_are_lost_with_the_sidecar(case: Case) -> Result<()> {
    let count: usize = match std::env::var("ADO_LOSSES_PODS") {
        Ok(count) => count.parse().context("ADO_LOSSES_PODS is a number of pods")?,
        Err(_) => COUNT,
    };
    case.leaves_agents();
    case.add_access_token()?;
    let ado = &case.suite.world.ado;
    let mut rows = Vec::new();
    for work in [Work::Idle, Work::Busy] {
        for death in [Death::Deleted, Death::ForceDeleted, Death::AgentKilled] {
            rows.extend(SCRIPTS.map(|script| Row {
                work,
                death,
                script,
                with_us: Count::default(),
                without_us: Count::default(),
            }));
        }
    }
    let mut keep = Keep::start(&case)?;
    let mut over = Vec::new();
    for round in 0..count {
        for work in [Work::Idle, Work::Busy] {
            say(&format!("losses: round {} of {count}, {work:?}", round + 1));
            over.extend(die(&case, &rows, work, round).await?);
        }
    }
    for pod in &over {
        let count = pod.count(&mut rows);
        count.pods += 1;
        count.left += usize::from(pod.was_left);
    }
    // Sessions end after five minutes, locks after ten, and the sweep waits for ten more; it has to see an agent twice.
    let ours_are_left = || {
        over.iter()
            .any(|pod| pod.pods == Pods::WithUs && pod.life.agent().is_some())
    };
    let begin = std::time::Instant::now();
    while ours_are_left() && begin.elapsed() < LIMIT * 2 {
        ado.clock().advance(Duration::from_secs(60));
        keep.ensure_runs(&case)?;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    ado.clock().set_skew_millis(0);
    for pod in &over {
        let (is_left, lost) = (pod.life.agent().is_some(), pod.is_lost());
        let count = pod.count(&mut rows);
        count.after_keep += usize::from(is_left);
        count.lost += usize::from(lost);
    }
    say(&table(&rows));
    let left: usize = rows.iter().map(|row| row.with_us.after_keep).sum();
    ensure!(left == 0, "{left} agents of ours are left\n{}", keep.log());
    for row in &rows {
        ensure!(
            row.death != Death::Deleted || row.with_us.lost == 0,
            "jobs were lost with pods that were deleted with their grace"
        );
    }
    Ok(())
}

impl Pod {
    fn count<'r>(&self, rows: &'r mut [Row]) -> &'r mut Count {
        let row = &mut rows[self.row];
        match self.pods {
            Pods::WithUs => &mut row.with_us,
            Pods::WithoutUs => &mut row.without_us,
        }
    }

    async fn end(&mut self) -> Result<()> {
        self.life.ended_within(ENDS).await?;
        self.was_left = self.life.agent().is_some();
        Ok(())
    }

    fn is_lost(&self) -> bool {
        !lost(&self.life.case, &self.life.name).is_empty()
    }
}

/// Pods of all kinds come, work, and die.
async fn die(case: &Case, rows: &[Row], work: Work, round: usize) -> Result<Vec<Pod>> {
    let mut all = Vec::new();
    for (number, row) in rows.iter().enumerate().filter(|(_, row)| row.work == work) {
        for (pods, kind) in [(Pods::WithUs, "with"), (Pods::WithoutUs, "without")] {
            let name = format!("{kind}-{number}-{round}");
            all.push(Pod {
                life: Life::begin(case, &name, &template_of(row.script, pods))?,
                pods,
                row: number,
                was_left: false,
            });
        }
    }
    for pod in &all {
        pod.life.online().await?;
    }
    if work == Work::Busy {
        for _ in &all {
            case.pool.queue_job(JobSpec::seconds(JOB_SECONDS))?;
        }
        for pod in &all {
            pod.life.until("it has a job", |life| life.agent()?.job).await?;
        }
    }
    for pod in &all {
        match rows[pod.row].death {
            Death::Deleted => pod.life.delete(&[])?,
            Death::ForceDeleted => pod.life.delete(&["--force", "--grace-period=0"])?,
            Death::AgentKilled => pod.life.signal(CONTAINER, "SIGKILL").await?,
        }
    }
    let is_killed = |pod: &&mut Pod| rows[pod.row].death == Death::AgentKilled;
    for pod in all.iter_mut().filter(|pod| !is_killed(pod)) {
        pod.end().await?;
    }
    // Nobody ends the job of an agent that was killed; its sidecar waits for the lock, which nobody renews.
    let clock = case.suite.world.ado.clock();
    clock.advance(LOCK);
    for pod in all.iter_mut().filter(is_killed) {
        pod.end().await?;
    }
    // Azure DevOps refuses the assertions of agents that come while its clock is ahead.
    clock.set_skew_millis(0);
    Ok(all)
}

fn template_of(script: &str, pods: Pods) -> Value {
    match pods {
        Pods::WithUs => template(script),
        Pods::WithoutUs => with_access_token(template(script)),
    }
}

/// In pods of a thousand.
fn table(rows: &[Row]) -> String {
    let mut table = format!(
        "of 1,000 pods of each kind ({} were there): agents left by the pod, agents left after keep, jobs lost\n{:4} {:12} {:6} | {:^17} | {:^17}",
        rows[0].with_us.pods, "", "", "", "with us", "without us"
    );
    for row in rows {
        let _ = write!(
            table,
            "\n{:4} {:12} {:6} | {} | {}",
            format!("{:?}", row.work),
            format!("{:?}", row.death),
            row.script,
            row.with_us,
            row.without_us
        );
    }
    table
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of_thousand = |count: usize| count * 1000 / self.pods.max(1);
        let [left, after_keep, lost] = [self.left, self.after_keep, self.lost].map(of_thousand);
        write!(f, "{left:5} {after_keep:5} {lost:5}")
    }
}

//! When everybody is told and when everybody ends, for each way in which a kubelet ends a pod: facts about Kubernetes that the
//! sidecar relies on, and what it makes of them under the CPU limit that it is shipped with.

use crate::case::Case;
use crate::ending::{Ending, Stop, after};
use crate::life::{Life, id_of, obedient, with_grace};
use crate::suite::say;
use crate::workload::{CONTAINER, agent};
use anyhow::{Context, Result, ensure};
use azure_emulators::clock::Timestamp;
use cluster::agent_image;
use contract::SIDECAR_CONTAINER;
use serde_json::{Value, json};

/// On SIGTERM nothing.
const IGNORE: &str = ":";
/// Another sidecar, which starts before ours.
const OTHER: &str = "other";

/// A line of the table.
struct Row {
    name: &'static str,
    grace: u32,
    what: &'static str,
    ending: Ending,
}

pub(crate) async fn hooks_and_signals_arrive_in_time(case: Case) -> Result<()> {
    // One pod stays behind without its sidecar, by design.
    case.leaves_agents();
    let rows = [
        tokio::spawn(agent_ignores(case.clone())),
        tokio::spawn(agent_takes_four_seconds(case.clone())),
        tokio::spawn(hook_of_the_agent_takes_all(case.clone())),
        tokio::spawn(sidecar_is_killed_meanwhile(case.clone())),
        tokio::spawn(two_sidecars_and_an_agent_that_ignores(case.clone())),
        tokio::spawn(two_sidecars_one_after_the_other(case.clone())),
        tokio::spawn(forced(case.clone())),
        tokio::spawn(deleted_before_the_agent_may_start(case.clone())),
    ];
    let mut table = vec![HEAD.to_owned()];
    let mut failures = Vec::new();
    for row in rows {
        match row.await? {
            Ok(row) => table.push(row.line()),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    say(&table.join("\n"));
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    let left: Vec<String> = case.pool.agents().into_iter().map(|agent| agent.name).collect();
    ensure!(left == ["a5"], "only the agent without a sidecar may be left: {left:?}");
    Ok(())
}

const HEAD: &str = "seconds after the deletion was seen        | grace | preStop | agent: TERM, end | sidecar: TERM sent, seen | removal | sidecar's end | outcome";

impl Row {
    fn line(&self) -> String {
        let ending = &self.ending;
        let time = |time: Option<Timestamp>| after(ending.left, time);
        let removals = ending.removals();
        let told = ending.sidecar.told;
        let last = removals
            .iter()
            .find(|record| told.is_some_and(|told| record.time >= told));
        let removal = last.or_else(|| removals.first()).map(|record| record.time);
        format!(
            "{:2} {:39} | {:5} | {:>7} | {:>8} {:>7} | {:>12} {:>11} | {:>7} | {:>13} | {}",
            self.name,
            self.what,
            self.grace,
            time(ending.warned()),
            time(ending.agent.told),
            time(ending.agent.ended),
            time(told),
            time(ending.said("received SIGTERM")),
            time(removal),
            time(ending.sidecar.ended),
            ending.outcome().unwrap_or("-"),
        )
    }
}

/// A pod with a busy agent is deleted, and the job ends as soon as the sidecar has seen it: long before the sidecar looks
/// again, so that the removal follows its SIGTERM.
async fn deleted_with_a_job(case: &Case, name: &str, template: &Value) -> Result<Ending> {
    let life = Life::begin(case, name, template)?;
    let job = life.busy().await?;
    life.delete(&[])?;
    life.disabled().await?;
    case.pool.finish_job(job, "succeeded");
    let ending = life.ended().await?;
    ending.must_be("removed")?;
    is_in_order(&ending)?;
    Ok(ending)
}

/// With a hook of the pod's own: the webhook's would hold SIGTERM back from a busy agent until the grace is over, and then
/// everybody is told at once.
fn told_at_once(mut template: Value) -> Value {
    agent(&mut template)["lifecycle"] = json!({"preStop": {"exec": {"command": ["true"]}}});
    template
}

/// preStop, then SIGTERM for the sidecar, which does not end before the agent was told. When the grace is over the kubelet kills
/// the agent and tells the sidecar at the same moment, so which of them ends first says nothing.
fn is_in_order(ending: &Ending) -> Result<()> {
    let times = (
        ending.warned(),
        ending.sidecar.told,
        ending.agent.told,
        ending.sidecar.ended,
    );
    let (Some(warned), Some(told), Some(agent), Some(sidecar)) = times else {
        anyhow::bail!("something did not happen: {times:?}\n{}", ending.explain());
    };
    ensure!(warned < told, "preStop comes before SIGTERM\n{}", ending.explain());
    ensure!(
        agent <= sidecar,
        "the agent is told before the sidecar ends\n{}",
        ending.explain()
    );
    Ok(())
}

/// The agent's end comes before the sidecar's, where the grace is not used up: when it is over, the kubelet stops waiting for the
/// agent and signals both at one moment.
fn agent_ends_first(ending: &Ending) -> Result<()> {
    let (agent, sidecar) = (ending.agent.ended, ending.sidecar.ended);
    let in_order = agent.zip(sidecar).is_some_and(|(agent, sidecar)| agent <= sidecar);
    ensure!(in_order, "the agent ends before the sidecar\n{}", ending.explain());
    Ok(())
}

/// How long after the deletion something happened, in seconds.
fn seconds(ending: &Ending, time: Option<Timestamp>) -> Result<f64> {
    let (left, time) = ending.left.zip(time).with_context(|| ending.explain())?;
    Ok((time.0 - left.0) as f64 / 1000.0)
}

/// The whole grace was used up before the sidecar was told, and not much more.
fn uses_the_grace(ending: &Ending, grace: u32) -> Result<()> {
    let told = seconds(ending, ending.sidecar.told)?;
    ensure!(
        told > f64::from(grace) - 1.0,
        "SIGTERM came {told} s after the deletion, with a grace of {grace} s\n{}",
        ending.explain()
    );
    ending.removal_in_time().map(drop)
}

async fn agent_ignores(case: Case) -> Result<Row> {
    let grace = 8;
    let template = told_at_once(with_grace(obedient(IGNORE, "exit"), grace));
    let ending = deleted_with_a_job(&case, "a1", &template).await?;
    uses_the_grace(&ending, grace)?;
    Ok(Row {
        name: "a1",
        grace,
        what: "agent ignores SIGTERM",
        ending,
    })
}

async fn agent_takes_four_seconds(case: Case) -> Result<Row> {
    let grace = 20;
    let ending = deleted_with_a_job(&case, "a2", &with_grace(obedient("sleep 4; exit", "exit"), grace)).await?;
    agent_ends_first(&ending)?;
    let (agent, told) = (ending.agent.ended, ending.sidecar.told);
    ensure!(
        agent <= told,
        "the sidecar is told after the agent's end\n{}",
        ending.explain()
    );
    ending.removal_in_time()?;
    Ok(Row {
        name: "a2",
        grace,
        what: "agent takes 4 s",
        ending,
    })
}

/// Our hook returns in milliseconds; one of the agent's own may take the whole grace.
async fn hook_of_the_agent_takes_all(case: Case) -> Result<Row> {
    let grace = 8;
    let mut template = with_grace(obedient("exit", "exit"), grace);
    agent(&mut template)["lifecycle"] = json!({"preStop": {"exec": {"command": ["sleep", "60"]}}});
    let ending = deleted_with_a_job(&case, "a3", &template).await?;
    uses_the_grace(&ending, grace)?;
    Ok(Row {
        name: "a3",
        grace,
        what: "agent's own preStop sleeps 60 s",
        ending,
    })
}

async fn sidecar_is_killed_meanwhile(case: Case) -> Result<Row> {
    let grace = 20;
    let life = Life::begin(&case, "a5", &with_grace(obedient("sleep 4; exit", "exit"), grace))?;
    life.busy().await?;
    life.delete(&[])?;
    life.disabled().await?;
    life.signal(SIDECAR_CONTAINER, "SIGKILL").await?;
    let ending = life.ended().await?;
    ensure!(
        life.restarts(SIDECAR_CONTAINER) == 0 && ending.outcome().is_none(),
        "nothing is started again in a pod that terminates\n{}",
        ending.explain()
    );
    ensure!(
        ending.agent.ended > ending.sidecar.ended,
        "the agent lives on\n{}",
        ending.explain()
    );
    ensure!(
        life.agent().is_some(),
        "nobody was there to remove the agent\n{}",
        ending.explain()
    );
    Ok(Row {
        name: "a5",
        grace,
        what: "agent takes 4 s, sidecar killed before",
        ending,
    })
}

/// Adds a sidecar that ends at once when it is told.
fn with_another_sidecar(mut template: Value) -> Value {
    let settings = agent(&mut template)["securityContext"].clone();
    template["spec"]["initContainers"] = json!([{
        "name": OTHER,
        "image": agent_image::name("gen3"),
        "command": ["/bin/bash", "-c", "trap exit TERM; sleep infinity & wait"],
        "restartPolicy": "Always",
        "securityContext": settings,
    }]);
    template
}

async fn two_sidecars_and_an_agent_that_ignores(case: Case) -> Result<Row> {
    let grace = 8;
    let template = told_at_once(with_another_sidecar(with_grace(obedient(IGNORE, "exit"), grace)));
    let ending = deleted_with_a_job(&case, "a6", &template).await?;
    uses_the_grace(&ending, grace)?;
    let other = Stop::find(&ending.others, &ending.pod, OTHER);
    let (ours, theirs) = (seconds(&ending, ending.sidecar.told)?, seconds(&ending, other.told)?);
    ensure!(
        (ours - theirs).abs() < 1.0,
        "at the end of the grace both are told together: {ours} and {theirs}\n{}",
        ending.explain()
    );
    Ok(Row {
        name: "a6",
        grace,
        what: "two sidecars, agent ignores SIGTERM",
        ending,
    })
}

async fn two_sidecars_one_after_the_other(case: Case) -> Result<Row> {
    let grace = 20;
    let template = with_another_sidecar(with_grace(obedient("exit", "exit"), grace));
    let life = Life::begin(&case, "a7", &template)?;
    life.online().await?;
    life.delete(&[])?;
    let ending = life.ended().await?;
    is_in_order(&ending)?;
    agent_ends_first(&ending)?;
    ending.removal_in_time()?;
    let other = Stop::find(&ending.others, &ending.pod, OTHER);
    ensure!(
        other.told >= ending.sidecar.ended,
        "the sidecars before ours, such as a mesh's proxy, are told when ours has ended: {other:?}\n{}",
        ending.explain()
    );
    Ok(Row {
        name: "a7",
        grace,
        what: "two sidecars, agent ends at once",
        ending,
    })
}

async fn forced(case: Case) -> Result<Row> {
    let grace = 20;
    let life = Life::begin(&case, "b1", &with_grace(obedient(IGNORE, "exit"), grace))?;
    life.online().await?;
    life.delete(&["--force", "--grace-period=0"])?;
    let ending = life.ended().await?;
    ensure!(life.agent().is_none(), "the agent stays\n{}", ending.explain());
    ensure!(ending.removed() == 1, "removed once\n{}", ending.explain());
    Ok(Row {
        name: "b1",
        grace: 0,
        what: "forced, agent ignores SIGTERM",
        ending,
    })
}

async fn deleted_before_the_agent_may_start(case: Case) -> Result<Row> {
    let grace = 15;
    let life = Life::prepare(&case, "c2")?;
    let entra = &case.suite.world.entra;
    entra.set_blocked(&life.identity.client_id, Some(53003));
    life.create(&with_grace(obedient("exit", "exit"), grace))?;
    let refused = |life: &Life| {
        life.log(SIDECAR_CONTAINER)
            .contains("reason=conditional-access")
            .then_some(())
    };
    life.until("Entra has refused a token", refused).await?;
    life.delete(&[])?;
    let ending = life.ended().await?;
    ending.must_be("never-seen")?;
    let told = seconds(&ending, ending.sidecar.told)?;
    ensure!(
        told < f64::from(grace) / 2.0,
        "told at once: after {told} s\n{}",
        ending.explain()
    );
    ensure!(
        id_of(&ending.pod, CONTAINER).is_none(),
        "the agent never started\n{}",
        ending.explain()
    );
    ensure!(
        ending.requests.is_empty(),
        "nobody was asked for anything\n{}",
        ending.explain()
    );
    Ok(Row {
        name: "c2",
        grace,
        what: "deleted before the agent may start",
        ending,
    })
}

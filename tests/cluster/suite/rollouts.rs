//! Deployments of agents that change: a new template, fewer replicas, a node that is emptied. Jobs are not lost.

use crate::case::{Case, LIMIT};
use crate::life::{hurry, with_grace};
use crate::suite::say;
use crate::workload::{deployment, template};
use anyhow::{Context, Result, ensure};
use azure_emulators::ado::{JobSpec, JobView};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A Deployment whose agents have time enough for the jobs here.
fn agents(replicas: u32) -> Value {
    let mut template = with_grace(template("gen3"), 60);
    hurry(&mut template);
    deployment("agent", replicas, &template)
}

/// Queues a job of this many seconds and waits until an agent has it.
async fn running_job(case: &Case, seconds: f64) -> Result<u64> {
    let job = case.pool.queue_job(JobSpec::seconds(seconds))?;
    let looked = || async { Ok(find(case, job)?.agent.is_some().then_some(())) };
    case.wait("an agent has the job", LIMIT, looked).await?;
    Ok(job)
}

fn find(case: &Case, job: u64) -> Result<JobView> {
    let jobs = case.pool.jobs();
    jobs.into_iter()
        .find(|found| found.id == job)
        .context("jobs stay in the list")
}

fn must_have_succeeded(case: &Case, job: u64) -> Result<()> {
    let job = find(case, job)?;
    ensure!(job.result.as_deref() == Some("succeeded"), "the job was lost: {job:?}");
    Ok(())
}

pub(crate) async fn a_rolling_update_replaces_the_agents_and_loses_no_job(case: Case) -> Result<()> {
    case.apply(&agents(2))?;
    case.wait_for_agents(2).await?;
    let old: Vec<String> = case.pool.agents().into_iter().map(|agent| agent.name).collect();
    let job = running_job(&case, 15.0).await?;
    case.kubectl(&["set", "env", "deployment/agent", "GENERATION=2"])?;
    let most = AtomicUsize::new(0);
    case.wait_for_pool("two new agents online and no other", |agents| {
        most.fetch_max(agents.len(), Ordering::Relaxed);
        agents.len() == 2 && agents.iter().all(|agent| agent.online && !old.contains(&agent.name))
    })
    .await?;
    must_have_succeeded(&case, job)?;
    let most = most.into_inner();
    say(&format!("rolling update of 2 agents: at most {most} were in the pool"));
    // Two new, one more that surges in, one old that has a job.
    ensure!(most <= 4, "{most} agents were in the pool");
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}

pub(crate) async fn scaling_down_waits_for_the_job(case: Case) -> Result<()> {
    case.apply(&agents(2))?;
    case.wait_for_agents(2).await?;
    let job = running_job(&case, 10.0).await?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_pool(
        "only the agent with the job, disabled",
        |agents| matches!(agents, [agent] if agent.job == Some(job) && !agent.enabled && agent.online),
    )
    .await?;
    case.wait_for_agents(0).await?;
    must_have_succeeded(&case, job)
}

pub(crate) async fn a_node_can_be_drained_of_its_agents(case: Case) -> Result<()> {
    case.apply(&agents(2))?;
    case.wait_for_agents(2).await?;
    let job = running_job(&case, 10.0).await?;
    let drained = drain(&case, job).await;
    let uncordoned = case.kubectl(&["uncordon", "node0"]);
    drained?;
    uncordoned?;
    case.wait_for_agents(2).await?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}

/// Agents only, as an operator does it who wants everything else to stay.
async fn drain(case: &Case, job: u64) -> Result<()> {
    case.kubectl(&[
        "drain",
        "node0",
        "--pod-selector=app=azp-agent",
        "--delete-emptydir-data",
        "--timeout=110s",
    ])?;
    must_have_succeeded(case, job)?;
    ensure!(
        case.pool.agents().is_empty(),
        "agents are left: {:#?}",
        case.pool.agents()
    );
    let webhook = "/apis/apps/v1/namespaces/ado-agent-system/deployments/ado-agent-webhook";
    let status = case.suite.api.get(webhook).await?;
    ensure!(
        status["status"]["readyReplicas"] == 2,
        "the webhook stays: {:#}",
        status["status"]
    );
    let pods = case.pods().await?;
    ensure!(
        pods.iter().all(|pod| pod["spec"]["nodeName"].is_null()),
        "new agents wait for a node that takes them"
    );
    Ok(())
}

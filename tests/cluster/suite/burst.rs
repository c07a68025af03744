//! Many agents at once: a thousand through admission, as many as a small node runs to their jobs and out of the pool.

use crate::case::{Case, LIMIT};
use crate::jobs::wait_for_job;
use crate::metrics::{calls, reviews, since, total};
use crate::suite::say;
use crate::usual::{all_succeeded, names, short_grace};
use crate::workload::{agent, job, template};
use anyhow::{Context, Result, anyhow, ensure};
use azure_emulators::ado::JobSpec;
use contract::SIDECAR_CONTAINER;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

/// A Job of so many agents at once, of one job each.
fn many(name: &str, count: usize, template: &Value) -> Value {
    let mut job = job(name, template);
    job["spec"]["parallelism"] = json!(count);
    job["spec"]["completions"] = json!(count);
    job
}

/// Gated, so that nobody tries to place them: only admission is asked.
pub(crate) async fn a_thousand_pods_are_admitted_without_a_failed_call(case: Case) -> Result<()> {
    const PODS: usize = 1000;
    let mut template = template("gen3");
    template["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);
    let mut before = Vec::new();
    for counter in COUNTERS {
        before.push(calls(&case, counter).await?);
    }
    let answered = reviews(&case).await?;
    let begin = Instant::now();
    case.apply(&many("burst", PODS, &template))?;
    let page = format!("{}?limit=1", case.path("pods"));
    let looked = || async {
        let list = case.suite.api.get(&page).await?;
        let rest = list["metadata"]["remainingItemCount"].as_u64().unwrap_or_default();
        Ok((rest as usize + 1 == PODS).then_some(()))
    };
    case.wait("a thousand pods", LIMIT * 3, looked).await?;
    let took = begin.elapsed().as_secs_f64();
    let pods = case.pods().await?;
    let injected = pods
        .iter()
        .filter(|pod| names(&pod["spec"]["initContainers"]) == [SIDECAR_CONTAINER]);
    ensure!(injected.count() == PODS, "every pod has the sidecar");
    let mut counts = Vec::new();
    for (counter, before) in COUNTERS.iter().zip(&before) {
        counts.push(since(before, &calls(&case, counter).await?));
    }
    let [requests, rejections, open] = counts.as_slice() else {
        return Err(anyhow!("three counters were asked for"));
    };
    let answered = since(&answered, &reviews(&case).await?);
    say(&format!(
        "{PODS} pods in {took:.1} s ({:.1}/s), {} calls: {answered:?}",
        PODS as f64 / took,
        total(requests)
    ));
    ensure!(rejections.is_empty() && open.is_empty(), "{rejections:?}, {open:?}");
    ensure!(
        requests
            .keys()
            .all(|labels| labels.contains("code=\"200\"") && labels.contains("rejected=\"false\"")),
        "every call was answered: {requests:?}"
    );
    ensure!(total(requests) == total(&answered), "{requests:?} and {answered:?}");
    Ok(())
}

const COUNTERS: [&str; 3] = ["request_total", "rejection_count", "fail_open_count"];

pub(crate) async fn twelve_agents_of_a_job_take_one_job_each(case: Case) -> Result<()> {
    const AGENTS: usize = 12;
    let mut template = template("gen0b");
    short_grace(&mut template);
    agent(&mut template)["args"] = json!(["--once"]);
    let begin = Instant::now();
    case.apply(&many("agents", AGENTS, &template))?;
    case.wait_for_agents(AGENTS).await?;
    let registered = begin.elapsed();
    for number in 0..AGENTS {
        let job = JobSpec::script("true").named(&number.to_string());
        case.pool.queue_job(job).map_err(|refused| anyhow!("{refused}"))?;
    }
    wait_for_job(&case, "agents", "Complete").await?;
    all_succeeded(&case).await?;
    let jobs = case.pool.jobs();
    let took: BTreeSet<_> = jobs.iter().map(|job| job.agent.as_deref()).collect();
    ensure!(took.len() == AGENTS, "each agent took one job: {took:?}");
    say(&format!(
        "{AGENTS} agents registered after {registered:.1?}, gone after {:.1?}",
        begin.elapsed()
    ));
    case.wait_for_agents(0).await.context("nothing is left")
}

//! Agents that end by themselves: `--once` in a Deployment, in a Job, in a Job that fails, in a CronJob.

use crate::case::{Case, LIMIT, container_status};
use crate::suite::say;
use crate::usual::{all_succeeded, apply_all, queue, short_grace};
use crate::workload::{CONTAINER, agent, deployment, job, template};
use anyhow::{Context, Result, bail, ensure};
use contract::{INJECT_LABEL, SIDECAR_CONTAINER};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// The pod template of an agent that takes one job.
fn once(script: &str) -> Value {
    let mut template = template(script);
    short_grace(&mut template);
    agent(&mut template)["args"] = json!(["--once"]);
    template
}

/// Two pods restart their agents in place: one whose script removes its agent each time, one whose script never does.
pub(crate) async fn once_jobs_in_a_row_leave_no_stale_agent(case: Case) -> Result<()> {
    const SCRIPTS: [&str; 2] = ["gen3", "gen0b"];
    const LIVES: u64 = 3;
    let workloads = SCRIPTS.map(|script| {
        let mut template = once(script);
        template["metadata"]["labels"]["app"] = json!(script);
        let mut deployment = deployment(script, 1, &template);
        deployment["spec"]["selector"]["matchLabels"]["app"] = json!(script);
        deployment
    });
    apply_all(&case, &workloads)?;
    let mut ids: [Vec<i64>; 2] = Default::default();
    for life in 1..=LIVES {
        case.wait_for_agents(SCRIPTS.len()).await?;
        for agent in case.pool.agents() {
            let script = SCRIPTS
                .iter()
                .position(|script| agent.name.starts_with(&format!("{script}-")));
            ids[script.context("an agent has its pod's name")?].push(agent.id);
            queue(&case, &agent.name, "true")?;
        }
        all_succeeded(&case).await?;
        for pod in case.pods().await? {
            // The first restart comes at once, the second after 10 s; the third, after 20 s, is not waited for.
            let is_over = |pod: &Value| {
                let status = container_status(pod, CONTAINER);
                status.is_some_and(|status| match life {
                    LIVES => status["state"]["running"].is_null(),
                    _ => status["restartCount"] == life,
                })
            };
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            case.wait_for_pod(name, "the end of an agent's life", is_over).await?;
        }
    }
    let [renewed, replaced] = &ids;
    ensure!(
        renewed.is_sorted() && renewed[0] < renewed[1],
        "each life has an agent of its own: {renewed:?}"
    );
    ensure!(
        replaced.iter().all(|id| *id == replaced[0]),
        "--replace keeps the id: {replaced:?}"
    );
    case.kubectl(&["scale", "deployment", "--all", "--replicas=0"])?;
    case.wait_for_agents(0).await
}

/// Jobs of the namespace.
async fn jobs(case: &Case) -> Result<Vec<Value>> {
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", case.namespace);
    let list = case.suite.api.get(&path).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Whether a Job is `Complete` or `Failed`.
fn has_condition(job: &Value, condition: &str) -> bool {
    let mut conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|found| found["type"] == condition && found["status"] == "True")
}

/// Waits for a condition of the Job of this name.
pub(crate) async fn wait_for_job(case: &Case, name: &str, condition: &str) -> Result<()> {
    let looked = || async {
        let jobs = jobs(case).await?;
        let is_it = |job: &&Value| job["metadata"]["name"] == name;
        match jobs.iter().find(is_it) {
            Some(job) if has_condition(job, condition) => Ok(Some(())),
            found => bail!("it is {found:#?}"),
        }
    };
    case.wait(&format!("job {name} to be {condition}"), LIMIT, looked).await
}

/// Prints when it ends, in milliseconds since 1970, as the last line of the container's log.
fn timed(command: &str) -> Value {
    json!(["/bin/bash", "-c", format!("{command}; date +%s%3N")])
}

/// Milliseconds from the end of the agent's container until now.
fn since_the_end(case: &Case, pod: &str) -> Result<u128> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let log = case.log(pod, CONTAINER)?;
    let ended: u128 = log.lines().next_back().context("the log has a last line")?.parse()?;
    Ok(now.saturating_sub(ended))
}

/// A script that removes its agent and one that leaves that to the sidecar, measured beside a Job without a sidecar.
pub(crate) async fn a_job_completes_within_three_seconds_of_its_agents_end(case: Case) -> Result<()> {
    let mut control = template("gen3");
    control["metadata"]["labels"][INJECT_LABEL] = json!("false");
    agent(&mut control)["command"] = timed("true");
    // The kubelet looks once a second at what has ended, at once or a second late: the slowest of some is what Kubernetes takes.
    let mut without = 0;
    for name in ["control-1", "control-2", "control-3"] {
        case.apply(&job(name, &control))?;
        wait_for_job(&case, name, "Complete").await?;
        let pods = case.pods().await?;
        let mut names = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
        let pod = names.find(|pod| pod.starts_with(name));
        without = without.max(since_the_end(&case, pod.context("the Job has a pod")?)?);
    }
    // Where Kubernetes itself is slow, it is not for us to be fast.
    let limit = (without + 2000).max(3000);
    for script in ["gen3", "gen0b"] {
        let mut template = once(script);
        agent(&mut template)["command"] = timed("/azp/start.sh --once");
        case.apply(&job(script, &template))?;
        case.wait_for_agents(1).await?;
        let pod = case.pool.agents().remove(0).name;
        queue(&case, &pod, "true")?;
        wait_for_job(&case, script, "Complete").await?;
        let took = since_the_end(&case, &pod)?;
        say(&format!(
            "{script}: Complete {took} ms after the agent's end; without a sidecar {without} ms"
        ));
        ensure!(took <= limit, "{script}: Complete came {took} ms after the agent's end");
        case.wait_for_agents(0).await?;
        all_succeeded(&case).await?;
        let pod = case.pod(&pod).await?.context("pods of a Job stay")?;
        ensure!(pod["status"]["phase"] == "Succeeded", "{:#}", pod["status"]);
        let sidecar = container_status(&pod, SIDECAR_CONTAINER).context("the sidecar has a status")?;
        let ended = &sidecar["state"]["terminated"];
        ensure!(ended["exitCode"] == 0 && sidecar["restartCount"] == 0, "{sidecar:#}");
    }
    Ok(())
}

/// The script leaves its agent behind, and the container fails, three times; beside it a CronJob makes a Job of its own.
pub(crate) async fn every_attempt_of_a_job_and_a_cron_job_is_removed(case: Case) -> Result<()> {
    let mut failing = once("gen0b");
    agent(&mut failing)["command"] = json!(["/bin/bash", "-c", "/azp/start.sh --once; exit 1"]);
    let mut failing = job("failing", &failing);
    failing["spec"]["backoffLimit"] = json!(2);
    let mut periodic = once("gen3");
    periodic["spec"]["restartPolicy"] = json!("OnFailure");
    let periodic = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "periodic"},
        "spec": {
            "schedule": "* * * * *",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": periodic}},
        },
    });
    apply_all(&case, &[failing, periodic])?;
    let served = Mutex::new(BTreeSet::new());
    let looked = || async {
        // Whoever comes gets a job.
        for agent in case.pool.agents().into_iter().filter(|agent| agent.online) {
            let mut served = served.lock().expect("nobody panics with it");
            if !served.contains(&agent.name) {
                queue(&case, &agent.name, "true")?;
                served.insert(agent.name);
            }
        }
        let jobs = jobs(&case).await?;
        let is = |job: &Value, prefix: &str, condition: &str| {
            let name = job["metadata"]["name"].as_str().unwrap_or_default();
            name.starts_with(prefix) && has_condition(job, condition)
        };
        let failed = jobs.iter().any(|job| is(job, "failing", "Failed"));
        let complete = jobs.iter().any(|job| is(job, "periodic", "Complete"));
        match failed && complete {
            true => Ok(Some(())),
            false => bail!("the jobs are {jobs:#?}"),
        }
    };
    case.wait("a failed Job and a complete Job of the CronJob", LIMIT * 2, looked)
        .await?;
    case.kubectl(&["delete", "cronjob", "periodic", "--wait=false"])?;
    case.wait_for_agents(0).await?;
    let pods = case.pods().await?;
    let attempts = pods
        .iter()
        .filter(|pod| pod["metadata"]["labels"]["job-name"] == "failing");
    let phases: Vec<&str> = attempts.filter_map(|pod| pod["status"]["phase"].as_str()).collect();
    ensure!(phases == ["Failed"; 3], "the attempts ended {phases:?}");
    let served = served.lock().expect("nobody panics with it");
    let registered = served.iter().filter(|name| name.starts_with("failing-")).count();
    ensure!(registered == 3, "each attempt has registered: {served:?}");
    Ok(())
}

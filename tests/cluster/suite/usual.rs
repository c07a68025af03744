//! An agent's usual life: online, a job, deleted, nothing left.

use crate::case::{Case, LIMIT};
use crate::workload::{agent, annotate};
use anyhow::{Result, anyhow, bail, ensure};
use azure_emulators::ado::{JobSpec, JobState};
use cluster::command::Said;
use contract::{GRACE_SECONDS_ANNOTATION, STATUS_ANNOTATION};
use serde_json::{Value, json};

/// Several objects with one `kubectl apply`.
pub(crate) fn apply_all(case: &Case, objects: &[Value]) -> Result<Said> {
    case.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))
}

/// What an object would become in the cluster: it passes every admission, and is not kept.
pub(crate) fn would_become(case: &Case, object: &Value) -> Result<(Value, Said)> {
    let dry_run = ["create", "--dry-run=server", "--output=json", "--filename=-"];
    let said = case.kubectl_fed(&dry_run, &object.to_string())?;
    Ok((serde_json::from_str(&said.output)?, said))
}

/// With a grace period that suits a test: the agents here stop within a second or never.
pub(crate) fn short_grace(template: &mut Value) {
    annotate(template, GRACE_SECONDS_ANNOTATION, "8");
}

/// Starts the script in a folder that the container's user owns. The agent's package sets mode and time of the folder that it
/// is unpacked in, which tar may do for the owner only: a user that the image does not know needs this, with the real agent too.
pub(crate) fn in_a_folder_of_its_own(template: &mut Value) {
    let start = "mkdir /tmp/agent && cd /tmp/agent && exec /azp/start.sh";
    agent(template)["command"] = json!(["/bin/bash", "-c", start]);
}

/// Waits until the pool shows the agents of these names, all of them online, and no other.
pub(crate) async fn online(case: &Case, names: &[&str]) -> Result<()> {
    case.wait_for_pool(&format!("{names:?} online and no other in the pool"), |agents| {
        let is_wanted = |name: &str| names.contains(&name);
        agents.len() == names.len() && agents.iter().all(|agent| agent.online && is_wanted(&agent.name))
    })
    .await
}

/// Queues a job for the agent of this name.
pub(crate) fn queue(case: &Case, agent: &str, script: &str) -> Result<u64> {
    let job = JobSpec::script(script).named(agent);
    let job = job.demanding(&format!("Agent.Name -equals {agent}"));
    case.pool.queue_job(job).map_err(|refused| anyhow!("{refused}"))
}

/// Waits until all jobs of the pool have succeeded.
pub(crate) async fn all_succeeded(case: &Case) -> Result<()> {
    let looked = || async {
        let jobs = case.pool.jobs();
        let failed = |result: &str| result != "succeeded";
        if jobs.iter().any(|job| job.result.as_deref().is_some_and(failed)) {
            return Ok(Some(Err(jobs)));
        }
        match jobs.iter().all(|job| job.state == JobState::Finished) {
            true => Ok(Some(Ok(()))),
            false => bail!("the jobs are {jobs:#?}"),
        }
    };
    let ended = case.wait("the success of every job", LIMIT, looked).await?;
    ended.map_err(|jobs| anyhow!("a job did not succeed: {jobs:#?}"))
}

/// Deletes all pods of the namespace, and waits until they and all agents are gone.
pub(crate) async fn delete_all(case: &Case) -> Result<()> {
    case.kubectl(&["delete", "pods", "--all", "--wait=false"])?;
    case.wait_for_agents(0).await?;
    let looked = || async { Ok(case.pods().await?.is_empty().then_some(())) };
    case.wait("the end of all pods", LIMIT, looked).await
}

/// What the webhook noted on a pod about its work.
pub(crate) fn status(pod: &Value) -> Result<Value> {
    let status = pod["metadata"]["annotations"][STATUS_ANNOTATION].as_str();
    let status = status.ok_or_else(|| anyhow!("the pod has no status annotation: {pod:#}"))?;
    Ok(serde_json::from_str(status)?)
}

/// Names of a list of containers or volumes, in their order.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    let entries = list.as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().filter_map(|entry| entry["name"].as_str()).collect()
}

/// The entry of this name in a list of containers, variables or volumes.
pub(crate) fn named<'l>(list: &'l Value, name: &str) -> Result<&'l Value> {
    let mut entries = list.as_array().into_iter().flatten();
    let found = entries.find(|entry| entry["name"] == name);
    found.ok_or_else(|| anyhow!("{name} is not among {:?}", names(list)))
}

/// An error unless the text has all of these in it.
pub(crate) fn ensure_says(text: &str, words: &[&str]) -> Result<()> {
    let missing: Vec<&&str> = words.iter().filter(|word| !text.contains(**word)).collect();
    ensure!(
        missing.is_empty(),
        "{missing:?} should be said, and what is said is: {text}"
    );
    Ok(())
}

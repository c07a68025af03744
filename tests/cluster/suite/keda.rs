//! KEDA itself, with an identity that may only read, and the examples as users copy them: from an empty queue to an empty
//! queue. What is changed in them is where they run, how often KEDA looks, and their size.

use crate::case::{Case, LIMIT};
use crate::suite::say;
use anyhow::{Context, Result, anyhow, bail, ensure};
use azure_emulators::ado::{JobRefused, JobSpec, JobView};
use azure_emulators::recording::{Authorization, Record};
use cluster::command::{Interrupt, output};
use cluster::{Layout, keda};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use tests::kustomize::{documents, find};
use tests::programs::program;
use tokio::sync::OnceCell;

/// KEDA looks so often, in seconds.
const POLL: i64 = 3;
/// A ScaledObject goes to none so long after it was last active, in seconds.
const COOLDOWN: i64 = 6;
/// The agent that is only a row, as `ado-agent provision` and the examples name it.
const PLACEHOLDER: &str = "placeholder";
/// Names of the jobs that tests queue begin with it; the pool's history has others.
const JOB: &str = "queued by the test";

pub(crate) async fn a_scaled_job_makes_an_agent_for_each_of_ten_jobs_and_none_is_left(case: Case) -> Result<()> {
    explained(&case, there_and_back(&case, 10)).await
}

pub(crate) async fn ten_thousand_finished_jobs_do_not_keep_keda_from_counting(case: Case) -> Result<()> {
    case.pool.add_history(10_000);
    explained(&case, there_and_back(&case, 5)).await
}

pub(crate) async fn a_scaled_job_that_is_changed_and_deleted_loses_no_job(case: Case) -> Result<()> {
    explained(&case, deleted_under_its_jobs(&case)).await
}

pub(crate) async fn a_scaled_object_scales_the_example_deployment_and_loses_no_job(case: Case) -> Result<()> {
    explained(&case, deployment(&case)).await
}

async fn there_and_back(case: &Case, count: usize) -> Result<()> {
    begin(case).await?;
    case.apply(&scaled_job(case)?)?;
    for _ in 0..count {
        queue(case, "sleep 2")?;
    }
    all_succeed(case).await?;
    let mut agents: Vec<_> = jobs(case).into_iter().map(|job| job.agent).collect();
    agents.sort();
    agents.dedup();
    ensure!(agents.len() == count, "an agent for each job: {agents:?}");
    if !counts_jobs_in_flight(case) {
        // `accurate` counts a job again whose agent has started and not taken it yet. Such an agent waits for the next job.
        case.kubectl(&["delete", "scaledjob", "azp-agent"])?;
    }
    only_the_placeholder(case).await?;
    let registered = case
        .requests()
        .iter()
        .filter(|asked| asked.route == "POST agents")
        .count();
    let surplus = registered - count;
    say(&format!("KEDA made {registered} agents for {count} jobs"));
    ensure!(
        surplus == 0 || !counts_jobs_in_flight(case),
        "{surplus} agents too many"
    );
    looked_once_a_poll(case)
}

async fn deleted_under_its_jobs(case: &Case) -> Result<()> {
    begin(case).await?;
    case.apply(&scaled_job(case)?)?;
    for _ in 0..3 {
        queue(case, WAIT_TO_BE_LET_GO)?;
    }
    let pods = busy(case, 3).await?;
    let change = json!({"spec": {"jobTargetRef": {"template": {"metadata": {"labels": {"changed": "yes"}}}}}});
    case.kubectl(&[
        "patch",
        "scaledjob/azp-agent",
        "--type=merge",
        "--patch",
        &change.to_string(),
    ])?;
    polls(case, 2).await?;
    ensure!(
        leaving(case).await?.is_empty(),
        "a changed template is nothing to jobs that run"
    );
    case.kubectl(&["delete", "scaledjob/azp-agent"])?;
    let all_leave = || async { Ok((leaving(case).await?.len() == 3).then_some(())) };
    case.wait("three pods to be told to end", LIMIT, all_leave).await?;
    let_go(case, &pods)?;
    all_succeed(case).await?;
    only_the_placeholder(case).await?;
    let none = || async { Ok(case.pods().await?.is_empty().then_some(())) };
    case.wait("the end of all pods", LIMIT, none).await
}

async fn deployment(case: &Case) -> Result<()> {
    begin(case).await?;
    let mut deployment = find(
        &documents("manifests/examples/deployment.yaml")?,
        "Deployment",
        "azp-agent",
    )?
    .clone();
    deployment["metadata"]["namespace"] = json!(case.namespace);
    shrink(&mut deployment["spec"]["template"]);
    case.apply(&deployment)?;
    case.apply(&scaled_object(case)?)?;
    // The Deployment begins with an agent and nothing to do.
    let none = || async { Ok(case.pods().await?.is_empty().then_some(())) };
    case.wait("no pod, since no job waits", LIMIT, none).await?;
    // Where jobs in flight do not count, KEDA never brings up an agent for each: kedacore/keda#8185.
    let count = if counts_jobs_in_flight(case) { 3 } else { 1 };
    for _ in 0..count {
        queue(case, WAIT_TO_BE_LET_GO)?;
    }
    let pods = busy(case, count).await?;
    // As long as it takes KEDA to scale down what it takes for idle.
    polls(case, usize::try_from(COOLDOWN / POLL)? + 2).await?;
    match leaving(case).await?.len() {
        0 => ensure!(counts_jobs_in_flight(case), "KEDA 2.20 scales a busy Deployment down"),
        leaving => ensure!(!counts_jobs_in_flight(case), "{leaving} busy pods were told to end"),
    }
    let_go(case, &pods)?;
    all_succeed(case).await?;
    case.wait("no pod, since no job waits", LIMIT, none).await?;
    only_the_placeholder(case).await
}

/// Runs a test; KEDA's logs belong to what explains a failure.
async fn explained(case: &Case, story: impl Future<Output = Result<()>>) -> Result<()> {
    story.await.map_err(|error| {
        let objects = case.kubectl(&["get", "scaledjobs,scaledobjects,hpa", "--output=yaml"]);
        let log = case.blocking(|| keda::log(&case.suite.node));
        anyhow!(
            "{error:#}\n{}\n{log}",
            objects.unwrap_or_else(|error| format!("{error:#}"))
        )
    })
}

/// KEDA, and what docs/azure.md sets up for it: its identity's role on the pool, the placeholder, the TriggerAuthentication.
async fn begin(case: &Case) -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let install = || async {
        let built = case.suite.neighbors.keda.as_ref().context("KEDA was not built")?;
        case.blocking(|| keda::install(&case.suite.node, &Layout::find()?, built, &say))
    };
    INSTALLED.get_or_try_init(install).await?;
    case.leaves_agents();
    ensure!(
        matches!(
            case.pool.queue_job(JobSpec::script("true")),
            Err(JobRefused::NoAgent(_))
        ),
        "an empty pool refuses jobs"
    );
    case.blocking(|| provision(case))?;
    case.apply(&example(case, "keda-trigger-authentication")?).map(drop)
}

fn provision(case: &Case) -> Result<()> {
    let world = &case.suite.world;
    let folder = tempfile::tempdir()?;
    let (authority, token) = (folder.path().join("ca.crt"), folder.path().join("token"));
    world.authority.write_pem(&authority)?;
    std::fs::write(&token, world.admin_token())?;
    let mut command = Command::new(program("ado-agent")?);
    command
        .args([
            "provision",
            "user",
            "pool",
            "role",
            "placeholder",
            "--pool",
            &case.namespace,
        ])
        .args(["--url", &world.organization_url()])
        .args(["--agents-object-id", &case.identity.object_id])
        .args(["--keda-object-id", &world.keda.object_id])
        .arg("--ca-file")
        .arg(&authority)
        .arg("--token-file")
        .arg(&token)
        .env("NO_PROXY", "*")
        .env("no_proxy", "*");
    output(&mut command, LIMIT, &Interrupt::default()).map(drop)
}

/// One of the examples, in the test's namespace.
fn example(case: &Case, name: &str) -> Result<Value> {
    let mut object = documents(&format!("manifests/examples/{name}.yaml"))?.remove(0);
    object["metadata"]["namespace"] = json!(case.namespace);
    Ok(object)
}

fn scaled_job(case: &Case) -> Result<Value> {
    let mut object = example(case, "keda-scaledjob")?;
    watch(case, &mut object);
    shrink(&mut object["spec"]["jobTargetRef"]["template"]);
    if !counts_jobs_in_flight(case) {
        // As its comment says.
        object["spec"]["scalingStrategy"]["strategy"] = json!("accurate");
    }
    Ok(object)
}

fn scaled_object(case: &Case) -> Result<Value> {
    let mut object = example(case, "keda-scaledobject")?;
    watch(case, &mut object);
    object["spec"]["cooldownPeriod"] = json!(COOLDOWN);
    Ok(object)
}

/// KEDA looks at the test's pool, and often.
fn watch(case: &Case, object: &mut Value) {
    object["spec"]["pollingInterval"] = json!(POLL);
    object["spec"]["triggers"][0]["metadata"]["poolName"] = json!(case.namespace);
}

/// A small machine holds many.
fn shrink(template: &mut Value) {
    template["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "10m", "memory": "32Mi"}});
}

/// Whether KEDA counts jobs that an agent has taken already, too: all versions but 2.20 do.
fn counts_jobs_in_flight(case: &Case) -> bool {
    let built = case.suite.neighbors.keda.as_ref();
    built.is_none_or(|keda| !keda.version.starts_with("v2.20."))
}

/// A job that waits for [`let_go`].
const WAIT_TO_BE_LET_GO: &str = "until [ -e /tmp/let-go ]; do sleep 0.2; done";

fn queue(case: &Case, script: &str) -> Result<()> {
    case.pool.queue_job(JobSpec::script(script).named(JOB))?;
    Ok(())
}

/// Ends the jobs that wait for it in these pods.
fn let_go(case: &Case, pods: &[String]) -> Result<()> {
    pods.iter()
        .try_for_each(|pod| case.exec(pod, "agent", &["touch", "/tmp/let-go"]).map(drop))
}

fn jobs(case: &Case) -> Vec<JobView> {
    let all = case.pool.jobs();
    all.into_iter().filter(|job| job.name == JOB).collect()
}

async fn all_succeed(case: &Case) -> Result<()> {
    let looked = || async {
        let jobs = jobs(case);
        match jobs.iter().all(|job| job.result.as_deref() == Some("succeeded")) {
            true => Ok(Some(())),
            false => bail!("{jobs:#?}"),
        }
    };
    case.wait("all jobs to succeed", LIMIT, looked).await
}

/// Waits until so many agents have a job; answers their pods, which have the agents' names.
async fn busy(case: &Case, count: usize) -> Result<Vec<String>> {
    let has_job =
        |agents: &[azure_emulators::ado::AgentView]| agents.iter().filter(|agent| agent.job.is_some()).count();
    case.wait_for_pool(&format!("{count} busy agents"), |agents| has_job(agents) == count)
        .await?;
    let agents = case.pool.agents().into_iter().filter(|agent| agent.job.is_some());
    Ok(agents.map(|agent| agent.name).collect())
}

async fn only_the_placeholder(case: &Case) -> Result<()> {
    case.wait_for_pool(
        "nothing but the placeholder",
        |agents| matches!(agents, [agent] if agent.name == PLACEHOLDER && !agent.online),
    )
    .await
}

/// Pods that were told to end.
async fn leaving(case: &Case) -> Result<Vec<Value>> {
    let mut pods = case.pods().await?;
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    Ok(pods)
}

/// What KEDA asked about the jobs of the test's pool.
fn asked(case: &Case) -> Vec<Record> {
    let path = format!("/_apis/distributedtask/pools/{}/jobrequests", case.pool.id());
    let mut records = case.suite.world.ado.view().requests;
    records.retain(|asked| asked.identity.as_deref() == Some("keda") && asked.path.ends_with(&path));
    records
}

/// Waits until KEDA has looked so many times more.
async fn polls(case: &Case, count: usize) -> Result<()> {
    let target = asked(case).len() + count;
    let looked = || async { Ok((asked(case).len() >= target).then_some(())) };
    let limit = LIMIT + Duration::from_secs(POLL.unsigned_abs()) * u32::try_from(count)?;
    case.wait("KEDA to look again", limit, looked).await
}

/// KEDA looks at the queue as often as it was told, with its own token, and leaves finished jobs out.
fn looked_once_a_poll(case: &Case) -> Result<()> {
    let asked = asked(case);
    let (Some(first), Some(last)) = (asked.first(), asked.last()) else {
        bail!("KEDA never asked");
    };
    let seconds = last.time.seconds() - first.time.seconds();
    say(&format!(
        "KEDA asked {} times in {seconds} s, once every {POLL} s",
        asked.len()
    ));
    for record in &asked {
        ensure!(
            record.status == 200
                && record.authorization == Authorization::Bearer
                && record.query == [("completedRequestCount".to_owned(), "0".to_owned())],
            "KEDA asks otherwise: {record:#?}"
        );
    }
    // Two more: when it begins to watch, and where the clock's seconds round.
    let most = usize::try_from(seconds / POLL)? + 3;
    ensure!(asked.len() <= most, "KEDA asked {} times in {seconds} s", asked.len());
    Ok(())
}

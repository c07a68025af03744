//! SIGTERM waits for the job: pods that leave while a job runs, with every start script and both agents; and what does not
//! wait.

use crate::pods::{
    BACK_OFF, GONE, PATIENCE, assert_ended_with, finish_job, long_job, online, over, runs_job, succeeded,
};
use azure_emulators::ado::{AgentView, JobSpec};
use azure_emulators::faults::{Fault, Rule};
use contract::{DRAIN_FILE, HANDOFF_VOLUME, Reason, SIDECAR_CONTAINER};
use serde_json::json;
use std::time::Duration;
use stub_agent::AgentVersion;
use tests::agent_package::AgentChoice;
use tests::demo::stage::{AGENT, AgentImage, Stage, Workload, does_own_exchange};
use tests::kubelet::{Pod, What};

/// How long the hook waits for a sidecar that says nothing.
const QUIET: Duration = Duration::from_secs(5);

/// Which `preStop` hook the agent container has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    /// The one that the webhook adds.
    Added,
    /// One of its own, which does nothing.
    Own,
}

/// A pod of this script with this agent, as root.
async fn started(script: &'static str, version: AgentVersion, hook: Hook) -> (Stage, Pod) {
    let stage = Stage::with_agent(AgentChoice::stub(version).unwrap(), BACK_OFF)
        .await
        .unwrap();
    let image = AgentImage { script, is_root: true };
    let mut template = stage.template(Workload::Deployment, image).unwrap();
    if does_own_exchange(script) {
        stage.as_azwi_does(&mut template);
    }
    if hook == Hook::Own {
        template["spec"]["containers"][0]["lifecycle"] = json!({ "preStop": { "exec": { "command": ["true"] } } });
    }
    let pod = stage.create(&template).await.unwrap();
    (stage, pod)
}

/// The same, with a job that runs until [`finish_job`].
async fn busy(script: &'static str, version: AgentVersion) -> (Stage, Pod, u64) {
    let (stage, pod) = started(script, version, Hook::Added).await;
    online(&stage, &pod).await;
    let job = stage.world.pool.queue_job(long_job()).unwrap();
    runs_job(&stage, &pod, job).await;
    (stage, pod, job)
}

async fn agent_is(stage: &Stage, pod: &Pod, what: &str, holds: impl Fn(Option<&AgentView>) -> bool) {
    let (pool, name) = (stage.world.pool.name().to_owned(), pod.name().to_owned());
    let waited = stage
        .world
        .ado
        .wait_until(what, PATIENCE, |view| holds(view.agent(&pool, &name)))
        .await;
    if let Err(error) = waited {
        panic!("{error}\n{}", pod.describe());
    }
}

/// Waits until the sidecar has looked at the busy agent once more, about twelve seconds later.
async fn is_looked_at_again(stage: &Stage, pod: &Pod) {
    agent_is(stage, pod, "the agent to get no more jobs", |agent| {
        agent.is_some_and(|agent| !agent.enabled)
    })
    .await;
    let route = "GET agents/{id}";
    let before = stage.world.ado.view().count(route);
    let looked = stage
        .world
        .ado
        .wait_until("another look", PATIENCE, |view| view.count(route) > before);
    looked.await.unwrap();
}

fn time_of(pod: &Pod, container: &str, fits: impl Fn(&What) -> bool) -> Option<Duration> {
    pod.state().time_of(container, fits)
}

fn hook_took(pod: &Pod) -> Option<Duration> {
    let started = time_of(pod, AGENT, |what| *what == What::HookStarted)?;
    let ended = time_of(pod, AGENT, |what| matches!(what, What::HookEnded { .. }))?;
    Some(ended - started)
}

#[track_caller]
fn assert_not_killed(pod: &Pod) {
    let killed = time_of(pod, AGENT, |what| *what == What::Killed);
    assert_eq!(killed, None, "{}", pod.describe());
}

async fn a_job_survives(script: &'static str, version: AgentVersion) {
    let (stage, pod, job) = busy(script, version).await;
    pod.delete(None);
    is_looked_at_again(&stage, &pod).await;
    let signaled = time_of(&pod, AGENT, |what| matches!(what, What::Terminated { .. }));
    assert_eq!(signaled, None, "SIGTERM while the job runs\n{}", pod.describe());
    finish_job(&pod);
    succeeded(&stage, &pod, job).await;
    over(&pod).await;
    assert_not_killed(&pod);
    assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone]);
    assert!(stage.world.pool.agents().is_empty(), "{}", pod.describe());
}

/// In both agents at once.
async fn with_both<F: Future<Output = ()>>(test: impl Fn(AgentVersion) -> F) {
    let [older, newer] = AgentVersion::ALL.map(test);
    tokio::join!(older, newer);
}

macro_rules! jobs_survive {
    ($($test:ident: $script:literal,)+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            with_both(|version| a_job_survives($script, version)).await;
        })+

        #[test]
        fn every_start_script_is_deleted_under_a_job() {
            assert_eq!(tests::demo::stage::SCRIPTS, [$($script),+]);
        }
    };
}

jobs_survive! {
    gen0_whose_wrapper_cancels_the_job_at_sigterm_waits: "gen0",
    gen0b_that_execs_the_agent_waits: "gen0b",
    gen1_that_ends_after_one_attempt_waits: "gen1",
    gen2_waits: "gen2",
    gen3_waits: "gen3",
    gen4_waits: "gen4",
    a_script_in_the_foreground_waits: "foreground",
    a_script_that_reads_the_token_once_waits: "read-once",
    a_script_with_its_own_exchange_waits: "own-exchange",
    the_article_s_kind_of_script_waits: "article",
}

/// What the hook is for: the same deletion with a hook of the user's own, which is kept.
async fn a_job_dies_under_a_hook_that_does_not_wait(version: AgentVersion) {
    let (stage, pod) = started("gen0", version, Hook::Own).await;
    online(&stage, &pod).await;
    let job = stage.world.pool.queue_job(long_job()).unwrap();
    runs_job(&stage, &pod, job).await;
    pod.delete(None);
    let done = stage.world.ado.wait_until("the job's end", PATIENCE, |view| {
        view.job(job).is_some_and(|job| job.result.is_some())
    });
    if let Err(error) = done.await {
        panic!("{error}\n{}", pod.describe());
    }
    let result = stage.world.ado.view().job(job).and_then(|job| job.result.clone());
    assert_eq!(result.as_deref(), Some("canceled"), "{}", pod.describe());
    over(&pod).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_of_the_users_own_is_kept_and_waits_for_no_job() {
    with_both(a_job_dies_under_a_hook_that_does_not_wait).await;
}

async fn an_idle_pod_ends_soon(version: AgentVersion) {
    let (stage, pod) = started("gen3", version, Hook::Added).await;
    online(&stage, &pod).await;
    pod.delete(None);
    over(&pod).await;
    assert_not_killed(&pod);
    assert_ended_with(&pod, &GONE);
    // The sidecar says so; the hook does not wait for silence.
    let took = hook_took(&pod);
    assert!(took.is_some_and(|took| took < QUIET), "{took:?}\n{}", pod.describe());
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_agent_is_not_waited_for() {
    with_both(an_idle_pod_ends_soon).await;
}

/// Bash as the first process of a container ignores SIGTERM until it has a trap, and these set theirs after the download.
async fn a_pod_deleted_early_takes_no_job(script: &'static str, version: AgentVersion) {
    let (stage, pod) = started(script, version, Hook::Added).await;
    let download = Rule::new(Fault::Delay { millis: 6_000 }).on("GET /_apis/distributedtask/packages/agent");
    stage.world.ado.faults().add(download);
    pod.wait_for("the agent container", PATIENCE, |state| {
        state.time_of(AGENT, |what| *what == What::Started).is_some()
    })
    .await
    .unwrap();
    pod.delete(None);
    // A script that has not registered yet is not held.
    pod.wait_for("SIGTERM", PATIENCE, |state| {
        state
            .time_of(AGENT, |what| matches!(what, What::Terminated { .. }))
            .is_some()
    })
    .await
    .unwrap();
    assert!(
        stage.world.pool.agents().is_empty(),
        "SIGTERM came before the download had ended"
    );
    agent_is(&stage, &pod, "the agent to register", |agent| agent.is_some()).await;
    agent_is(&stage, &pod, "the agent to be gone", |agent| agent.is_none()).await;
    if script == "gen0" {
        // Its service wrapper has not heard SIGTERM, and starts its agent again and again until the grace ends.
        return;
    }
    // The grace is an hour: the pod ends since its agent was taken out under it.
    over(&pod).await;
    assert_not_killed(&pod);
    assert_ended_with(&pod, &[Reason::Removed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_before_its_agent_has_registered_takes_no_job() {
    for script in ["gen0", "gen1", "gen4", "foreground"] {
        with_both(|version| a_pod_deleted_early_takes_no_job(script, version)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_container_that_is_restarted_alone_is_held_for_five_seconds() {
    let (stage, pod) = started("gen3", AgentVersion::V5, Hook::Added).await;
    online(&stage, &pod).await;
    // What a failed liveness probe does.
    pod.replace(AGENT).await.unwrap();
    let took = hook_took(&pod).unwrap();
    assert!(took >= QUIET && took < QUIET * 3, "{took:?}\n{}", pod.describe());
    pod.wait_for("the agent container's second life", PATIENCE, |state| {
        state.container(AGENT).restarts == 1
    })
    .await
    .unwrap();
    agent_is(&stage, &pod, "the agent to be back", |agent| {
        agent.is_some_and(|agent| agent.online && agent.enabled)
    })
    .await;
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &GONE);
}

/// `kubectl delete --grace-period`, a soft eviction, the shutdown of a node: the pod's own grace is an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_grace_period_loses_no_job_that_fits_into_it() {
    let grace = Duration::from_secs(25);
    let (stage, pod, job) = busy("gen0", AgentVersion::V5).await;
    pod.delete(Some(grace));
    agent_is(&stage, &pod, "the agent to get no more jobs", |agent| {
        agent.is_some_and(|agent| !agent.enabled)
    })
    .await;
    finish_job(&pod);
    succeeded(&stage, &pod, job).await;
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone]);
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_outlasts_the_real_grace_period_is_lost_and_its_agent_gets_no_other() {
    let grace = Duration::from_secs(10);
    let (stage, pod, job) = busy("gen3", AgentVersion::V5).await;
    let other = stage.world.pool.queue_job(JobSpec::script("true")).unwrap();
    pod.delete(Some(grace));
    over(&pod).await;
    let deleted = time_of(&pod, "", |what| matches!(what, What::Deleted { .. })).unwrap();
    let ended = time_of(&pod, "", |what| matches!(what, What::Over(_))).unwrap();
    assert!(ended - deleted < grace + Duration::from_secs(10), "{}", pod.describe());
    let view = stage.world.ado.view();
    assert_eq!(view.job(other).and_then(|job| job.agent.clone()), None);
    assert_ne!(
        view.job(job).and_then(|job| job.result.clone()).as_deref(),
        Some("succeeded")
    );
    let left = stage.world.pool.agents();
    assert!(left.iter().all(|agent| !agent.enabled), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_whose_sidecar_is_gone_waits_five_seconds_more() {
    let (stage, pod, job) = busy("gen3", AgentVersion::V5).await;
    pod.delete(None);
    is_looked_at_again(&stage, &pod).await;
    pod.kill(SIDECAR_CONTAINER).unwrap();
    pod.wait_for("the hook's end", PATIENCE, |state| {
        state
            .time_of(AGENT, |what| *what == What::HookEnded { cut_off: false })
            .is_some()
    })
    .await
    .unwrap();
    // Nothing is restarted in a pod that terminates: this script waits for its job by itself.
    finish_job(&pod);
    succeeded(&stage, &pod, job).await;
    over(&pod).await;
    let killed = time_of(&pod, SIDECAR_CONTAINER, |what| *what == What::Killed).unwrap();
    let returned = time_of(&pod, AGENT, |what| matches!(what, What::HookEnded { .. })).unwrap();
    // The last heartbeat came at most a second before.
    assert!(
        returned - killed >= QUIET - Duration::from_millis(1_500),
        "{}",
        pod.describe()
    );
    assert!(stage.world.pool.agents().is_empty(), "{}", pod.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_deletes_the_drain_file_loses_only_itself() {
    let (stage, pod) = started("gen0", AgentVersion::V5, Hook::Added).await;
    online(&stage, &pod).await;
    let script = format!("rm {DRAIN_FILE} && until test -e /azp/finish; do sleep 0.1; done");
    let job = stage.world.pool.queue_job(JobSpec::script(&script)).unwrap();
    runs_job(&stage, &pod, job).await;
    let file = pod.volume(HANDOFF_VOLUME).join(contract::DRAIN_FILE_NAME);
    pod.wait_for("the file to be gone", PATIENCE, |_| !file.exists())
        .await
        .unwrap();
    pod.delete(None);
    over(&pod).await;
    let took = hook_took(&pod).unwrap();
    assert!(took >= QUIET && took < QUIET * 3, "{took:?}\n{}", pod.describe());
    assert_not_killed(&pod);
    assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone]);
    assert!(stage.world.pool.agents().is_empty());
}

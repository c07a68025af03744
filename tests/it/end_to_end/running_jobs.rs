//! What a job must not notice: a sidecar that is replaced under it, and a pod that ends after its credentials.

use crate::pods::{
    BACK_OFF, GONE, PATIENCE, assert_ended_with, finish_job, long_job, online, over, runs_job, succeeded,
};
use azure_emulators::ado::{AdoView, AgentView};
use contract::{ASSERTION_VOLUME, DEFAULT_SCOPE, GRACE_SECONDS_ANNOTATION, Reason, SIDECAR_CONTAINER};
use serde_json::Value;
use std::time::Duration;
use tests::demo::stage::{AGENT, AgentImage, Stage, Workload};
use tests::kubelet::{Pod, What};

/// A script that never removes its agent.
const NEVER_REMOVES: AgentImage = AgentImage {
    script: "gen0",
    is_root: true,
};

/// A pod whose agent runs a job that goes on until it is finished by [`finish_job`].
async fn busy(image: AgentImage, grace: Option<&str>) -> (Stage, Pod, u64) {
    let stage = Stage::set_up(BACK_OFF).await.unwrap();
    let mut template = stage.template(Workload::Deployment, image).unwrap();
    if let Some(seconds) = grace {
        template["metadata"]["annotations"][GRACE_SECONDS_ANNOTATION] = seconds.into();
    }
    let pod = stage.create(&template).await.unwrap();
    online(&stage, &pod).await;
    let job = stage.world.pool.queue_job(long_job()).unwrap();
    runs_job(&stage, &pod, job).await;
    (stage, pod, job)
}

async fn agent_is(stage: &Stage, pod: &Pod, what: &str, holds: impl Fn(&AgentView) -> bool) {
    let (pool, name) = (stage.world.pool.name().to_owned(), pod.name().to_owned());
    let waited = stage
        .world
        .ado
        .wait_until(what, PATIENCE, |view| view.agent(&pool, &name).is_some_and(&holds))
        .await;
    if let Err(error) = waited {
        panic!("{error}\n{}", pod.describe());
    }
}

async fn second_sidecar(pod: &Pod) {
    pod.wait_for("the sidecar's second life", PATIENCE, |state| {
        let sidecar = state.container(SIDECAR_CONTAINER);
        sidecar.restarts == 1 && sidecar.started
    })
    .await
    .unwrap();
}

async fn is_removed_in_the_end(stage: &Stage, pod: &Pod, expected: &[Reason]) {
    pod.delete(None);
    over(pod).await;
    assert_ended_with(pod, expected);
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_replaced_leaves_a_busy_agent_alone_and_the_next_one_enables_it() {
    let (stage, pod, job) = busy(NEVER_REMOVES, Some("5")).await;
    let before = stage.world.pool.agent(pod.name()).unwrap();
    pod.replace(SIDECAR_CONTAINER).await.unwrap();
    // The job outlasts the grace: the agent stays, and so does the job.
    assert_ended_with(&pod, &[Reason::JobStillAssigned]);
    second_sidecar(&pod).await;
    agent_is(&stage, &pod, "the agent to get jobs again", |agent| agent.enabled).await;
    let after = stage.world.pool.agent(pod.name()).unwrap();
    assert_eq!((after.id, after.job, after.online), (before.id, Some(job), true));
    // A request is counted once it is answered, a moment after its change is seen.
    let both = |view: &AdoView| view.count("PATCH agents/{id}") >= 2;
    let disabled = stage
        .world
        .ado
        .wait_until("it to be disabled in between", PATIENCE, both);
    disabled
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", pod.describe()));
    finish_job(&pod);
    succeeded(&stage, &pod, job).await;
    assert_eq!(pod.state().container(AGENT).restarts, 0);
    is_removed_in_the_end(&stage, &pod, &[Reason::Removed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_a_replaced_sidecar_removed_after_its_job_registers_again() {
    // Its agent ends once it is removed. The service wrapper of the oldest recipe does not: see docs/lifecycle.md.
    let (stage, pod, job) = busy(AgentImage::EXAMPLE, None).await;
    let replacing = pod.replace(SIDECAR_CONTAINER);
    let job_ends = async {
        agent_is(&stage, &pod, "the agent to get no more jobs", |agent| !agent.enabled).await;
        finish_job(&pod);
        succeeded(&stage, &pod, job).await;
    };
    tokio::join!(replacing, job_ends).0.unwrap();
    // The old sidecar cannot know that the pod keeps running. The agent container restarts without its agent.
    assert_ended_with(&pod, &[Reason::Removed]);
    second_sidecar(&pod).await;
    pod.wait_for("the agent container's second life", PATIENCE, |state| {
        state.container(AGENT).restarts == 1
    })
    .await
    .unwrap();
    agent_is(&stage, &pod, "the new agent to be online and enabled", |agent| {
        agent.online && agent.enabled
    })
    .await;
    assert_eq!(stage.world.pool.agents().len(), 1);
    is_removed_in_the_end(&stage, &pod, &GONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_assertion_expires_while_it_ends_removes_its_agent_with_the_token_of_t0() {
    // It ignores SIGTERM, so the sidecar gets two seconds at the end of the grace.
    let ignores_sigterm = AgentImage {
        script: "foreground",
        is_root: true,
    };
    let (stage, pod, job) = busy(ignores_sigterm, Some("6")).await;
    let world = &stage.world;
    let file = pod.volume(ASSERTION_VOLUME).join("assertion");
    let assertion = std::fs::read_to_string(&file).unwrap();
    pod.delete(None);
    agent_is(&stage, &pod, "the agent to get no more jobs", |agent| !agent.enabled).await;
    // Past the 24 hours of the projected token. In a pod that lives it would be replaced now; Azure DevOps' clock stands
    // still, so that the access token of T0 is good.
    for clock in [world.issuer.clock(), world.entra.clock()] {
        clock.advance(Duration::from_secs(25 * 3600));
    }
    finish_job(&pod);
    succeeded(&stage, &pod, job).await;
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Removed]);
    assert!(world.pool.agents().is_empty());
    let state = pod.state();
    let told = state.time_of(SIDECAR_CONTAINER, |what| matches!(what, What::Terminated { .. }));
    let ended = state.time_of(SIDECAR_CONTAINER, |what| matches!(what, What::Ended(_)));
    let took = ended.unwrap() - told.unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}\n{}", pod.describe());
    // The projected token really was of no use any more.
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        assertion,
        "it was not replaced"
    );
    let refused = exchange(&stage, &assertion).await;
    assert!(refused["error_codes"].to_string().contains("700024"), "{refused}");
}

/// Trades an assertion as the sidecar does; the answer, whatever it is.
async fn exchange(stage: &Stage, assertion: &str) -> Value {
    let world = &stage.world;
    let form = format!(
        "grant_type=client_credentials&client_id={}&scope={}&client_assertion={assertion}\
         &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        world.agents.client_id, DEFAULT_SCOPE
    );
    let url = format!("{}/{}/oauth2/v2.0/token", world.authority_url(), world.settings.tenant);
    let request = world
        .client()
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let answer = request.send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

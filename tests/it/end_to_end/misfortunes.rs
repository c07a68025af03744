//! What happens to a pod beside what was planned.

use crate::pods::{BACK_OFF, GONE, PATIENCE, assert_ended_with, listens_again, online, over};
use contract::{Reason, SIDECAR_CONTAINER};
use std::time::Duration;
use tests::agent_package::AgentChoice;
use tests::demo::stage::{AGENT, AgentImage, Plan, Stage, Workload};

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_deletion_leaves_time_enough_for_the_removal() {
    let stage = Stage::set_up(BACK_OFF).await.unwrap();
    let image = AgentImage {
        script: "gen0",
        is_root: false,
    };
    let pod = stage.start(Workload::Deployment, image).await.unwrap();
    online(&stage, &pod).await;
    pod.delete(Some(Duration::ZERO));
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Removed]);
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_in_a_deployment_registers_again_and_is_removed_in_the_end() {
    let stage = Stage::set_up(BACK_OFF).await.unwrap();
    let pod = stage.start(Workload::Deployment, AgentImage::EXAMPLE).await.unwrap();
    online(&stage, &pod).await;
    pod.kill(AGENT).unwrap();
    listens_again(&stage, &pod).await;
    assert_eq!(stage.world.pool.agents().len(), 1, "--replace keeps the id");
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &GONE);
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_sidecar_goes_on_with_the_agent() {
    let stage = Stage::set_up(BACK_OFF).await.unwrap();
    // This one never removes its agent.
    let image = AgentImage {
        script: "gen0",
        is_root: true,
    };
    let pod = stage.start(Workload::Deployment, image).await.unwrap();
    online(&stage, &pod).await;
    pod.kill(SIDECAR_CONTAINER).unwrap();
    pod.wait_for("the sidecar's second life", PATIENCE, |state| {
        let sidecar = state.container(SIDECAR_CONTAINER);
        sidecar.restarts == 1 && sidecar.started
    })
    .await
    .unwrap();
    assert!(stage.world.pool.agent(pod.name()).is_some_and(|agent| agent.online));
    assert_eq!(pod.state().container(AGENT).restarts, 0);
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Removed]);
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_before_its_agent_may_start_leaves_nothing() {
    let stage = Stage::with(Plan {
        federated: false,
        ..Plan::new(AgentChoice::from_environment().unwrap(), BACK_OFF)
    })
    .await
    .unwrap();
    let pod = stage.start(Workload::Deployment, AgentImage::EXAMPLE).await.unwrap();
    pod.wait_for("the sentence about the missing credential", PATIENCE, |state| {
        let said = state.container(SIDECAR_CONTAINER).probe;
        said.contains(Reason::CredentialMissing.as_str()) && said.contains("system:serviceaccount:agents:azp-agent")
    })
    .await
    .unwrap();
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::NeverSeen]);
    assert!(pod.state().container(AGENT).ended.is_none());
}

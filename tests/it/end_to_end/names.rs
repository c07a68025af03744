//! Agents whose names are not their pods': two pods with one name, and a placeholder.

use crate::pods::{BACK_OFF, PATIENCE, assert_ended_with, over};
use contract::{Reason, SIDECAR_CONTAINER};
use serde_json::{Value, json};
use tests::demo::stage::{AGENT, AgentImage, Stage, Workload};
use tests::kubelet::Pod;

const NAME: &str = "build-agent";
/// Never removes its agent.
const IMAGE: AgentImage = AgentImage {
    script: "gen0",
    is_root: true,
};

fn named(stage: &Stage, workload: Workload) -> Value {
    let mut template = stage.template(workload, IMAGE).unwrap();
    let env = &mut template["spec"]["containers"][0]["env"];
    let name = json!({ "name": "AZP_AGENT_NAME", "value": NAME });
    match env.as_array_mut() {
        Some(env) => env.push(name),
        None => *env = json!([name]),
    }
    template
}

/// Waits until the agent is online and carries this pod's marker.
async fn registered(stage: &Stage, pod: &Pod) {
    let pool = stage.world.pool.name().to_owned();
    let uid = pod.uid().to_owned();
    let waited = stage
        .world
        .ado
        .wait_until("the agent to be this pod's", PATIENCE, |view| {
            view.agent(&pool, NAME).is_some_and(|agent| {
                let owner = agent.system_capabilities.get(contract::OWNER_VARIABLE);
                agent.online && owner.is_some_and(|owner| owner.ends_with(&uid))
            })
        })
        .await;
    if let Err(error) = waited {
        panic!("{error}\n{}", pod.describe());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_name_is_rolled_out_and_the_old_pod_leaves_its_successors_agent() {
    let stage = Stage::set_up(BACK_OFF).await.unwrap();
    let template = named(&stage, Workload::Deployment);
    let old = stage.create(&template).await.unwrap();
    registered(&stage, &old).await;
    // As a Deployment does it: the new pod first, and the old one goes once the new one is there.
    let new = stage.create(&template).await.unwrap();
    new.wait_for("the new agent container", PATIENCE, |state| {
        state.container(AGENT).started && state.container(SIDECAR_CONTAINER).started
    })
    .await
    .unwrap();
    let said = new.logs(SIDECAR_CONTAINER);
    assert!(said.contains(old.name()), "it says whose name it takes:\n{said}");
    old.delete(None);
    over(&old).await;
    registered(&stage, &new).await;
    assert_eq!(stage.world.pool.agents().len(), 1);
    new.delete(None);
    over(&new).await;
    assert_ended_with(&new, &[Reason::Removed]);
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_stays_in_the_pool_when_its_pod_has_ended() {
    let stage = Stage::set_up(BACK_OFF).await.unwrap();
    let mut template = named(&stage, Workload::Job);
    template["metadata"]["annotations"][contract::PLACEHOLDER_ANNOTATION] = "true".into();
    let pod = stage.create(&template).await.unwrap();
    registered(&stage, &pod).await;
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Kept]);
    let agents = stage.world.pool.agents();
    assert!(
        matches!(agents.as_slice(), [agent] if agent.name == NAME && agent.enabled),
        "{agents:?}"
    );
}

//! What is removed, and what is not.

use contract::OWNER_VARIABLE;
use serde_json::json;

use crate::stage::{NAMESPACE, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_pod_is_gone_is_removed_and_no_other() {
    let stage = Stage::new().await;
    let pool = &stage.world.pool;
    let (dead, _alive, _placeholder) = (stage.pod("dead"), stage.pod("alive"), stage.placeholder_pod("kept"));
    pool.add_agent("laptop", &[]);
    pool.add_agent(
        "elsewhere",
        &[(OWNER_VARIABLE, "ado-agent/v1/elsewhere/agents/dead/uid")],
    );
    stage.agent("listed", "never-was", "u-1");
    stage.agent("never-seen", "never-was", "u-2");
    let keep = stage.keep(&["--never-remove=listed"]).await;
    stage.until_known(&keep, "dead", dead).await;
    assert_eq!(keep.until_ready(200).await, "ok\n");
    assert_eq!(keep.get("/livez").await, (200, "ok\n".to_owned()));
    stage.api.delete_pod(NAMESPACE, "dead");
    stage.api.delete_pod(NAMESPACE, "kept");
    stage
        .until_swept(&keep, "it is removed", |stage| pool_lacks(stage, dead))
        .await;
    // More rounds change nothing.
    let rounds = stage.world.ado.view().requests.len();
    keep.until("more rounds", || stage.world.ado.view().requests.len() > rounds + 10)
        .await;
    assert_eq!(
        stage.names(),
        ["alive", "kept", "laptop", "elsewhere", "listed", "never-seen"]
    );
    let log = keep.log();
    assert!(log.contains("\"decision\":\"removed\""), "{log}");
    assert!(
        log.contains("az devops invoke"),
        "what a person would type for never-seen: {log}"
    );
    assert!(!log.contains("eyJ"), "no token is logged");
}

pub(crate) fn pool_lacks(stage: &Stage, agent: i64) -> bool {
    !stage.world.pool.agents().iter().any(|found| found.id == agent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_has_ended_counts_as_gone_and_a_job_is_waited_for() {
    let stage = Stage::new().await;
    let uid = stage.bare_pod("ended", &json!({}));
    let agent = stage.agent("ended", "ended", &uid);
    let job = stage.world.pool.make_busy(agent);
    let keep = stage.keep(&[]).await;
    stage.until_known(&keep, "ended", agent).await;
    let mut pod = stage.api.pod_object(NAMESPACE, "ended");
    pod["status"]["phase"] = "Failed".into();
    stage.api.set_pod(pod);
    // The lock of its job runs out on the way there.
    stage
        .until_swept(&keep, "it is removed", |stage| pool_lacks(stage, agent))
        .await;
    let jobs = stage.world.pool.jobs();
    assert_eq!(
        jobs.iter().find(|found| found.id == job).unwrap().result.as_deref(),
        Some("abandoned")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successors_agent_that_has_the_id_stays() {
    let stage = Stage::new().await;
    let agent = stage.pod("agent-0");
    let keep = stage.keep(&[]).await;
    stage.until_known(&keep, "agent-0", agent).await;
    stage.api.delete_pod(NAMESPACE, "agent-0");
    let successor = stage.bare_pod("agent-0", &json!({}));
    let marker = stage.marker("agent-0", &successor);
    // As `--replace` does it: another marker, the same ID.
    stage.world.pool.set_capabilities(agent, &[(OWNER_VARIABLE, &marker)]);
    for _ in 0..25 {
        stage.later(60);
        let requests = stage.world.ado.view().requests.len();
        keep.until("another round", || stage.world.ado.view().requests.len() > requests + 2)
            .await;
    }
    assert_eq!(stage.names(), ["agent-0"], "{}", keep.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_agent_online_stops_the_sweep_of_its_namespace() {
    let stage = Stage::new().await;
    let dead = stage.pod("dead");
    let stranger = stage.agent("stranger", "elsewhere", "u-elsewhere");
    let keep = stage.keep(&[]).await;
    stage.until_known(&keep, "dead", dead).await;
    stage.api.delete_pod(NAMESPACE, "dead");
    for _ in 0..25 {
        stage.later(60);
        stage.world.pool.open_session(stranger, "elsewhere");
        let requests = stage.world.ado.view().requests.len();
        keep.until("another round", || stage.world.ado.view().requests.len() > requests + 2)
            .await;
    }
    keep.until_said("\"decision\":\"clash\"").await;
    assert_eq!(stage.names(), ["dead", "stranger"], "{}", keep.log());
    stage.world.pool.end_session(stranger);
    stage
        .until_swept(&keep, "it is removed", |stage| pool_lacks(stage, dead))
        .await;
    assert_eq!(stage.names(), ["stranger"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_remove_it_once_and_lose_nothing_of_the_ledger() {
    let stage = Stage::new().await;
    let first = stage.keep(&[]).await;
    let second = stage.keep(&[]).await;
    let dead: Vec<i64> = (0..4).map(|number| stage.pod(&format!("dead-{number}"))).collect();
    let living = stage.pod("living");
    for (number, agent) in dead.iter().enumerate() {
        stage.until_known(&first, &format!("dead-{number}"), *agent).await;
        stage.api.delete_pod(NAMESPACE, &format!("dead-{number}"));
    }
    stage
        .until_swept(&second, "all are removed", |stage| {
            dead.iter().all(|agent| pool_lacks(stage, *agent))
        })
        .await;
    let requests = stage.world.ado.view().requests;
    let removals = requests
        .iter()
        .filter(|request| request.method == "DELETE" && request.status < 300);
    assert_eq!(removals.count(), 4);
    stage.until_known(&first, "living", living).await;
    assert_eq!(stage.names(), ["living"]);
}

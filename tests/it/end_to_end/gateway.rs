//! The handoff `gateway`: start scripts, unmodified, whose agent container holds no token that could do anything to the pool.

use crate::pods::{
    BACK_OFF, PATIENCE, assert_ended_with, assert_in_order, finish_job, long_job, online, over, runs_job, succeeded,
};
use azure_emulators::ado::{AdoView, JobSpec};
use azure_emulators::faults::{Fault, Rule};
use contract::{GRACE_SECONDS_ANNOTATION, ONCE_ANNOTATION, OWN_EXCHANGE_ANNOTATION, Reason, SIDECAR_CONTAINER, TICKET};
use serde_json::Value;
use stub_agent::AgentVersion;
use tests::agent_package::AgentChoice;
use tests::demo::stage::{AGENT, AgentImage, SCRIPTS, Stage, Workload, does_own_exchange, through_gateway};
use tests::kubelet::{Isolation, Phase, Pod, What};
use tests::tokens::places_with_tokens;

async fn stage(version: AgentVersion) -> Stage {
    if let Isolation::Rewritten(reason) = Isolation::detect() {
        panic!("start scripts name paths of their image, which needs namespaces: {reason}");
    }
    let agent = AgentChoice::stub(version).unwrap();
    Stage::with_agent(agent, BACK_OFF).await.unwrap()
}

/// A Deployment's pod whose agent goes through the gateway.
fn template(stage: &Stage, image: AgentImage) -> Value {
    let mut template = stage.template(Workload::Deployment, image).unwrap();
    through_gateway(&mut template);
    if does_own_exchange(image.script) {
        template["metadata"]["annotations"][OWN_EXCHANGE_ANNOTATION] = "true".into();
    }
    template
}

async fn started(stage: &Stage, image: AgentImage) -> Pod {
    let pod = stage.create(&template(stage, image)).await.unwrap();
    online(stage, &pod).await;
    pod
}

/// With a job that runs until [`finish_job`].
async fn busy(stage: &Stage, image: AgentImage) -> (Pod, u64) {
    let pod = started(stage, image).await;
    let job = stage.world.pool.queue_job(long_job()).unwrap();
    runs_job(stage, &pod, job).await;
    (pod, job)
}

async fn ready(pod: &Pod) {
    let is_ready = pod.wait_for("the pod to be ready", PATIENCE, |state| {
        state.container(SIDECAR_CONTAINER).ready == Some(true)
    });
    if let Err(error) = is_ready.await {
        panic!("{error}");
    }
}

async fn unready(pod: &Pod) {
    let is_unready = pod.wait_for("the pod not to be ready", PATIENCE, |state| {
        state.container(SIDECAR_CONTAINER).ready == Some(false)
    });
    if let Err(error) = is_unready.await {
        panic!("{error}");
    }
}

#[track_caller]
fn assert_no_token(stage: &Stage, pod: &Pod) {
    let places = places_with_tokens(&stage.world, pod);
    assert!(places.is_empty(), "tokens in {places:?}");
}

async fn ado_shows(stage: &Stage, pod: &Pod, what: &str, holds: impl Fn(&AdoView) -> bool) {
    if let Err(error) = stage.world.ado.wait_until(what, PATIENCE, holds).await {
        panic!("{error}\n{}", pod.describe());
    }
}

/// The search that the tests below rely on finds a token where there is one.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_file_the_agent_container_holds_a_token() {
    let stage = stage(AgentVersion::V5).await;
    let pod = stage.start(Workload::Deployment, AgentImage::EXAMPLE).await.unwrap();
    online(&stage, &pod).await;
    let places = places_with_tokens(&stage.world, &pod);
    assert!(places.iter().any(|place| place.ends_with("/token")), "{places:?}");
}

/// A start script from start to removed: the older agent as root, the newer one as another user.
async fn from_start_to_removed(script: &'static str) {
    let (older, newer) = (stage(AgentVersion::V4), stage(AgentVersion::V5));
    let (older, newer) = tokio::join!(older, newer);
    let as_root = AgentImage { script, is_root: true };
    let as_user = AgentImage { script, is_root: false };
    tokio::join!(life(&older, as_root), life(&newer, as_user));
}

async fn life(stage: &Stage, image: AgentImage) {
    let pod = started(stage, image).await;
    ready(&pod).await;
    assert_no_token(stage, &pod);
    let job = stage
        .world
        .pool
        .queue_job(JobSpec::script("env > /azp/of-the-job"))
        .unwrap();
    succeeded(stage, &pod, job).await;
    assert_no_token(stage, &pod);
    pod.delete(None);
    over(&pod).await;
    assert_in_order(&pod);
    assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone]);
    assert!(stage.world.pool.agents().is_empty(), "{}", pod.describe());
}

macro_rules! through_the_gateway {
    ($($test:ident: $script:literal,)+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            from_start_to_removed($script).await;
        })+

        #[test]
        fn every_start_script_goes_through_the_gateway() {
            assert_eq!(SCRIPTS, [$($script),+]);
        }
    };
}

through_the_gateway! {
    gen0_that_execs_the_service_wrapper_holds_no_token: "gen0",
    gen0b_that_deletes_the_token_file_holds_no_token: "gen0b",
    gen1_that_tries_the_removal_once_holds_no_token: "gen1",
    gen2_with_traps_and_an_endless_loop_holds_no_token: "gen2",
    gen3_with_a_user_of_its_own_holds_no_token: "gen3",
    gen4_that_checks_the_token_file_holds_no_token: "gen4",
    a_script_that_ignores_sigterm_holds_no_token: "foreground",
    a_script_that_reads_the_token_once_holds_no_token: "read-once",
    a_script_that_does_its_own_exchange_holds_no_token: "own-exchange",
    the_article_s_kind_of_script_holds_no_token: "article",
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_finished_before_its_pod_goes() {
    for script in ["gen0", "gen3"] {
        let stage = stage(AgentVersion::V5).await;
        let (pod, job) = busy(&stage, AgentImage { script, is_root: true }).await;
        pod.delete(None);
        ado_shows(&stage, &pod, "the agent to get no more jobs", |view| {
            view.agents(stage.world.pool.name()).iter().all(|agent| !agent.enabled)
        })
        .await;
        unready(&pod).await;
        finish_job(&pod);
        succeeded(&stage, &pod, job).await;
        over(&pod).await;
        assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone]);
        assert!(stage.world.pool.agents().is_empty(), "{}", pod.describe());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_killed_is_back_as_a_new_agent_without_a_conflict() {
    let stage = stage(AgentVersion::V5).await;
    let pod = started(&stage, AgentImage::EXAMPLE).await;
    ready(&pod).await;
    let first = stage.world.pool.agent(pod.name()).unwrap().id;
    pod.kill(AGENT).unwrap();
    // One registration a minute.
    let another = stage
        .world
        .ado
        .wait_until("another agent of this name", 2 * PATIENCE, |view| {
            let agent = view.agent(stage.world.pool.name(), pod.name());
            agent.is_some_and(|agent| agent.id != first && agent.online)
        });
    if let Err(error) = another.await {
        panic!("{error}\n{}", pod.describe());
    }
    let conflicts = stage
        .world
        .ado
        .view()
        .requests
        .iter()
        .filter(|request| request.status == 409)
        .count();
    assert_eq!(conflicts, 0, "a session conflict\n{}", pod.describe());
    assert_eq!(stage.world.ado.view().count("POST agents"), 2);
    assert_eq!(stage.world.pool.agents().len(), 1);
    ready(&pod).await;
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone]);
    assert!(stage.world.pool.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_one_job_is_gone_with_it_and_nothing_registers_again() {
    let stage = stage(AgentVersion::V5).await;
    let mut template = stage.template(Workload::Job, AgentImage::EXAMPLE).unwrap();
    through_gateway(&mut template);
    template["metadata"]["annotations"][ONCE_ANNOTATION] = "true".into();
    let pod = stage.create(&template).await.unwrap();
    online(&stage, &pod).await;
    // A job that tries to make a second agent, in a folder of its own.
    let script = format!(
        "mkdir /azp/second && cp -r /azp/bin /azp/config.sh /azp/env.sh /azp/externals /azp/second/ && cd /azp/second && \
         ! ./config.sh --unattended --url \"$AZP_URL\" --auth PAT --token {TICKET} --pool kubernetes --agent second --acceptTeeEula \
         > /azp/second.log 2>&1"
    );
    let job = stage.world.pool.queue_job(JobSpec::script(&script)).unwrap();
    succeeded(&stage, &pod, job).await;
    let log = std::fs::read_to_string(pod.root(AGENT).join("azp/second.log")).unwrap_or_default();
    assert!(!log.contains("Successfully added the agent"), "{log}");
    let state = pod.over(PATIENCE).await.unwrap();
    assert_eq!(state.phase, Phase::Succeeded, "{}", pod.describe());
    assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone]);
    assert!(stage.world.pool.agents().is_empty(), "{}", pod.describe());
}

/// The script downloads its agent when SIGTERM comes, and goes on: bash as the first process ignores it until there is a trap.
async fn deleted_early(script: &'static str) {
    let stage = stage(AgentVersion::V5).await;
    let download = Rule::new(Fault::Delay { millis: 4_000 }).on("GET /_apis/distributedtask/packages/agent");
    stage.world.ado.faults().add(download);
    let image = AgentImage { script, is_root: true };
    let pod = stage.create(&template(&stage, image)).await.unwrap();
    pod.wait_for("the agent container", PATIENCE, |state| {
        state.time_of(AGENT, |what| *what == What::Started).is_some()
    })
    .await
    .unwrap();
    pod.delete(None);
    // The grace is an hour: the script ends since it may not register.
    over(&pod).await;
    let view = stage.world.ado.view();
    assert_eq!(view.count("POST agents"), 0, "{}", pod.describe());
    let killed = pod.state().time_of(AGENT, |what| *what == What::Killed);
    assert_eq!(killed, None, "{}", pod.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_before_its_agent_has_registered_registers_none_and_ends() {
    tokio::join!(
        deleted_early("gen0"),
        deleted_early("gen1"),
        deleted_early("gen4"),
        deleted_early("foreground")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_be_removed_is_reported_as_left() {
    let stage = stage(AgentVersion::V5).await;
    let mut template = template(&stage, AgentImage::EXAMPLE);
    template["metadata"]["annotations"][GRACE_SECONDS_ANNOTATION] = "8".into();
    let pod = stage.create(&template).await.unwrap();
    online(&stage, &pod).await;
    stage.world.ado.faults().always("**", Fault::Reset);
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::LeftUnreachable]);
}

/// What a job that reads everything and knows the gateway can do with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_job_registers_changes_and_removes_no_other_agent() {
    let stage = stage(AgentVersion::V5).await;
    let other = started(&stage, AgentImage::EXAMPLE).await;
    let pod = started(
        &stage,
        AgentImage {
            script: "gen2",
            is_root: true,
        },
    )
    .await;
    let pool = "_apis/distributedtask/pools";
    let (id, own) = {
        let agents = stage.world.pool.agents();
        let id = |name: &str| {
            agents
                .iter()
                .find(|agent| agent.name == name)
                .map(|agent| agent.id)
                .unwrap()
        };
        (id(other.name()), id(pod.name()))
    };
    let pool_id = stage.world.pool.id();
    let tries = [
        format!("GET {pool}/{pool_id}/agents/{id}"),
        format!("DELETE {pool}/{pool_id}/agents/{id}"),
        format!("PATCH {pool}/{pool_id}/agents/{id}"),
        format!("PUT {pool}/{pool_id}/agents/{id}"),
        format!("DELETE {pool}/{pool_id}/agents/{own}%2f..%2f{id}"),
        format!("DELETE {pool}/{pool_id}/agents/{own}/../{id}"),
        format!("DELETE {pool}/{pool_id}/agents/%3{id}"),
        format!("GET {pool}/{pool_id}/jobrequests"),
        format!("POST {pool}/{pool_id}/sessions"),
        format!("DELETE {pool}/{pool_id}"),
        format!("POST {pool}"),
        "GET _apis/projects".to_owned(),
        "GET _apis/graph/users".to_owned(),
    ];
    let script: String = tries
        .iter()
        .map(|request| {
            let (method, path) = request.split_once(' ').unwrap();
            format!(
                "curl -sS --path-as-is -o /dev/null -w '%{{http_code}}\\n' -u :{TICKET} -X {method} -H 'Content-Type: application/json' \
                 -d '{{}}' \"$AZP_URL/{path}\" >> /azp/answers; "
            )
        })
        .collect();
    let demand = format!("Agent.Name -equals {}", pod.name());
    let job = stage
        .world
        .pool
        .queue_job(JobSpec::script(&script).demanding(&demand))
        .unwrap();
    succeeded(&stage, &pod, job).await;
    let answers = std::fs::read_to_string(pod.root(AGENT).join("azp/answers")).unwrap();
    let codes: Vec<&str> = answers.lines().collect();
    assert_eq!(codes.len(), tries.len(), "{answers}");
    for (request, code) in tries.iter().zip(&codes) {
        assert!(["400", "403", "404", "405"].contains(code), "{request}: {code}");
    }
    let agents = stage.world.pool.agents();
    assert!(
        agents
            .iter()
            .any(|agent| agent.id == id && agent.enabled && agent.online),
        "{agents:?}"
    );
    assert_no_token(&stage, &pod);
    for pod in [&pod, &other] {
        pod.delete(None);
        over(pod).await;
    }
    assert!(stage.world.pool.agents().is_empty());
}

//! Each generation of start scripts, unmodified, from start to removed, as root and as another user, with both agents.
//!
//! Without root the two users are one user of this machine with two numbers; that one can read what the other wrote is
//! tested on the real Kubernetes (`tests/cluster/suite/scripts.rs`).

use crate::pods::{BACK_OFF, GONE, assert_ended_with, assert_in_order, listens_again, online, over, succeeded};
use azure_emulators::ado::JobSpec;
use contract::Reason;
use stub_agent::AgentVersion;
use tests::agent_package::AgentChoice;
use tests::demo::stage::{AGENT, AgentImage, SCRIPTS, Stage, Workload, does_own_exchange};
use tests::kubelet::{Isolation, Pod};

/// A generation in both its users and with both agents, at once.
async fn from_start_to_removed(script: &'static str) {
    if let Isolation::Rewritten(reason) = Isolation::detect() {
        panic!("start scripts name paths of their image, which needs namespaces: {reason}");
    }
    assert!(SCRIPTS.contains(&script));
    let [older, newer] = AgentVersion::ALL.map(|version| with_agent(script, version));
    tokio::join!(older, newer);
}

async fn with_agent(script: &'static str, version: AgentVersion) {
    let agent = AgentChoice::stub(version).unwrap();
    let stage = Stage::with_agent(agent, BACK_OFF).await.unwrap();
    let life = |is_root| life(&stage, AgentImage { script, is_root });
    let (root, user) = tokio::join!(life(true), life(false));
    for pod in [&root, &user] {
        let nothing_left = stage.world.pool.agent(pod.name()).is_none();
        assert!(nothing_left, "{:?}\n{}", stage.world.pool.agents(), pod.describe());
    }
}

async fn life(stage: &Stage, image: AgentImage) -> Pod {
    let script = image.script;
    let mut template = stage.template(Workload::Deployment, image).unwrap();
    if does_own_exchange(script) {
        stage.as_azwi_does(&mut template);
    }
    let pod = stage.create(&template).await.unwrap();
    online(stage, &pod).await;
    let agent = stage.world.pool.agent(pod.name()).unwrap();
    // What shadows a secret of envFrom is empty.
    let published = ["AZP_TOKEN", "AZP_CLIENTSECRET"].map(|name| agent.system_capabilities.get(name));
    assert!(published.into_iter().flatten().all(String::is_empty), "{published:?}");

    // Whose agent it is does not matter for the job; it shows that whoever runs it really runs.
    let demand = format!("Agent.Name -equals {}", pod.name());
    let job = stage
        .world
        .pool
        .queue_job(JobSpec::script("test \"$(id -u)\" -ge 0").demanding(&demand))
        .unwrap();
    succeeded(stage, &pod, job).await;
    pod.delete(None);
    over(&pod).await;
    assert_in_order(&pod);
    if ["gen0", "gen0b", "foreground"].contains(&script) {
        // Nobody else could have done it.
        assert_ended_with(&pod, &[Reason::Removed]);
    } else {
        assert_ended_with(&pod, &GONE);
    }
    pod
}

macro_rules! generations {
    ($($test:ident: $script:literal,)+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            from_start_to_removed($script).await;
        })+

        #[test]
        fn every_start_script_has_a_test() {
            assert_eq!(SCRIPTS, [$($script),+]);
            let mut files: Vec<String> = std::fs::read_dir(tests::programs::repository().join("tests/agent/start"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let mut tested = SCRIPTS.map(|script| format!("{script}.sh"));
            tested.sort();
            assert_eq!(files, tested);
        }
    };
}

generations! {
    gen0_that_execs_the_service_wrapper_is_removed: "gen0",
    gen0b_that_deletes_the_token_file_is_removed: "gen0b",
    gen1_that_tries_the_removal_once_is_removed: "gen1",
    gen2_with_traps_and_an_endless_loop_is_removed: "gen2",
    gen3_with_a_user_of_its_own_is_removed: "gen3",
    gen4_that_checks_the_token_file_is_removed: "gen4",
    a_script_that_ignores_sigterm_is_removed: "foreground",
    a_script_that_reads_the_token_once_is_removed: "read-once",
    a_script_that_does_its_own_exchange_is_removed: "own-exchange",
    the_article_s_kind_of_script_is_removed: "article",
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_token_file_is_written_again_for_the_restarted_container() {
    let stage = Stage::set_up(BACK_OFF).await.unwrap();
    let image = AgentImage {
        script: "gen0b",
        is_root: false,
    };
    let pod = stage.start(Workload::Deployment, image).await.unwrap();
    online(&stage, &pod).await;
    pod.kill(AGENT).unwrap();
    listens_again(&stage, &pod).await;
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Removed]);
    assert!(stage.world.pool.agents().is_empty());
}

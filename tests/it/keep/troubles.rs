//! Everything around the program fails.

use azure_emulators::faults::Fault;
use serde_json::json;
use tests::apiserver::Mood;

use crate::stage::{NAMESPACE, Stage};
use crate::sweep::pool_lacks;

#[tokio::test(flavor = "multi_thread")]
async fn its_own_death_costs_nothing() {
    let stage = Stage::new().await;
    let dead = stage.pod("dead");
    let mut keep = stage.keep(&[]).await;
    stage.until_known(&keep, "dead", dead).await;
    keep.kill();
    stage.api.delete_pod(NAMESPACE, "dead");
    let keep = stage.keep(&[]).await;
    stage
        .until_swept(&keep, "it is removed", |stage| pool_lacks(stage, dead))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_between_two_rounds_is_remembered() {
    let stage = Stage::new().await;
    let keep = stage.keep(&["--interval=5"]).await;
    keep.until_ready(200).await;
    let requests = stage.world.ado.view().requests.len();
    let watches = || {
        let requests = stage.api.requests();
        requests
            .iter()
            .filter(|request| request.contains("/pods?") && request.contains("watch="))
            .count()
    };
    let before = watches();
    let short = stage.pod("short");
    // Whoever was shown it asks for what comes next.
    keep.until("the watch has shown it", || watches() > before).await;
    stage.api.delete_pod(NAMESPACE, "short");
    keep.until("another round", || stage.world.ado.view().requests.len() > requests + 2)
        .await;
    stage.until_known(&keep, "short", short).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_fails_or_shows_half_removes_nobody() {
    let stage = Stage::new().await;
    let agents: Vec<i64> = (0..4).map(|number| stage.pod(&format!("agent-{number}"))).collect();
    let keep = stage.keep(&[]).await;
    for (number, agent) in agents.iter().enumerate() {
        stage.until_known(&keep, &format!("agent-{number}"), *agent).await;
    }
    // Half of the pods are not listed any more, and are there.
    stage.api.show_half_of_the_pods(true);
    let rounds = async |minutes: usize| {
        for _ in 0..minutes {
            stage.later(60);
            let requests = stage.world.ado.view().requests.len();
            keep.until("another round", || stage.world.ado.view().requests.len() > requests + 1)
                .await;
        }
    };
    rounds(12).await;
    assert_eq!(stage.names().len(), 4, "{}", keep.log());
    stage.api.show_half_of_the_pods(false);
    // One is gone, and nobody says so.
    stage.api.answer_single_pods_with(Some(500));
    stage.api.delete_pod(NAMESPACE, "agent-0");
    rounds(12).await;
    assert_eq!(stage.names().len(), 4, "{}", keep.log());
    assert!(keep.until_ready(503).await.contains("the sweep was stopped"));
    stage.api.answer_single_pods_with(None);
    // Nobody says anything.
    stage.api.set_mood(Mood::Failing);
    keep.until_said("the ledger cannot be read").await;
    stage.later(600);
    stage.api.set_mood(Mood::Well);
    stage
        .until_swept(&keep, "it is removed", |stage| pool_lacks(stage, agents[0]))
        .await;
    assert_eq!(stage.names().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_devops_that_fails_in_any_way_costs_nobody_and_is_left_alone_when_it_asks_for_that() {
    let stage = Stage::new().await;
    let dead = stage.pod("dead");
    let keep = stage.keep(&[]).await;
    stage.until_known(&keep, "dead", dead).await;
    stage.api.delete_pod(NAMESPACE, "dead");
    let faults = stage.world.ado.faults();
    for fault in [
        Fault::Truncate,
        Fault::Garbage,
        Fault::SignInPage,
        Fault::Unauthorized,
        Fault::AccessDenied,
        Fault::ProxyPage,
        Fault::Status { status: 503 },
        Fault::Reset,
    ] {
        faults.always("**", fault);
        let struck = faults.struck();
        keep.until("it has met the fault", || faults.struck() > struck).await;
        stage.later(120);
        assert!(!keep.until_ready(503).await.is_empty());
        faults.clear();
    }
    assert_eq!(stage.names(), ["dead"]);
    faults.once(
        "**",
        Fault::Throttle {
            retry_after: Some("4".to_owned()),
        },
    );
    keep.until_said("is left alone").await;
    keep.until_ready(200).await;
    let requests = stage.world.ado.view().requests;
    let throttled = requests.iter().position(|request| request.status == 429).unwrap();
    let pause = requests[throttled + 1].time.0 - requests[throttled].time.0;
    assert!(
        pause >= 3_900,
        "not a request in the pause: the next came after {pause} ms"
    );
    stage
        .until_swept(&keep, "it is removed", |stage| pool_lacks(stage, dead))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_config_maps_or_with_others_it_says_so_and_removes_nothing() {
    let stage = Stage::new().await;
    stage.pod("agent");
    let other = json!({"version": 1, "organization": "https://dev.azure.com/fabrikam", "entries": {}});
    stage.api.set_config_map(
        contract::SYSTEM_NAMESPACE,
        "ado-agent-ledger-2",
        &json!({"ledger.json": other.to_string()}),
    );
    let keep = stage.keep(&[]).await;
    // It is not ready before its first round, either.
    let foreign = "it is of https://dev.azure.com/fabrikam";
    keep.until_said(foreign).await;
    assert!(keep.until_ready(503).await.contains(foreign));
    drop(keep);
    let keep = stage.keep(&["--ledger=missing"]).await;
    keep.until_said("there is no ledger").await;
    assert!(keep.until_ready(503).await.contains("apply manifests/components/keep"));
}

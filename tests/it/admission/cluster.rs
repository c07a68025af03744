//! What the webhook has to know of the cluster before it decides.

use serde_json::json;
use tests::apiserver::Mood;
use tests::apiserver::review::of_pod;
use tests::apiserver::webhook::Webhook;

use crate::accounts::{review, with_cache};
use crate::wire::Wire;
use crate::world::{CLIENT_ID, IMAGE, Running, api, deployment_pod, until};

#[tokio::test]
async fn no_review_is_decided_before_the_cluster_is_identified() {
    let api = api().await;
    api.set_mood(Mood::Forbidding);
    let webhook = Running::start(&api, &[], |_| {});
    until("readyz says why", async || {
        let (status, text) = webhook.get("/readyz").await;
        assert_eq!(status, 503, "{text}");
        text.contains("kube-system") && text.contains("403")
    })
    .await;
    assert_eq!(webhook.get("/livez").await.0, 200);
    let body = of_pod("team", &deployment_pod()).to_string();
    let answer = Wire::connect(&webhook).await.post(&body).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("kube-system"), "{answer:?}");
    api.set_mood(Mood::Well);
    webhook.wait_until_ready().await;
    let patched = webhook
        .create_pod(&api, &deployment_pod())
        .await
        .unwrap()
        .pod
        .to_string();
    assert!(
        patched.contains(&format!("ado-agent/v1/{}/team/", api.cluster_uid())),
        "{patched}"
    );
}

#[tokio::test]
async fn a_configured_cluster_id_needs_no_api_server() {
    let api = api().await;
    api.stop();
    let webhook = Running::ready(&api, &["--cluster-id=prod-eu"]).await;
    let mut pod = deployment_pod();
    pod["metadata"]["annotations"] =
        json!({contract::CLIENT_ID_ANNOTATION: CLIENT_ID, contract::TENANT_ID_ANNOTATION: CLIENT_ID});
    let patched = webhook.create_pod(&api, &pod).await.unwrap().pod.to_string();
    assert!(patched.contains("ado-agent/v1/prod-eu/team/"), "{patched}");
}

#[tokio::test]
async fn a_server_without_native_sidecars_denies_and_an_unknown_version_does_not() {
    let api = api().await;
    api.set_minor_version("28+");
    let webhook = with_cache(&api, 1).await;
    until("the version is known", async || {
        let response = review(&webhook, "agent").await;
        response["auditAnnotations"]["reason"] == "no-native-sidecars"
            && response["status"]["message"].as_str().unwrap().contains("1.29")
    })
    .await;
    api.set_minor_version("next");
    let webhook = with_cache(&api, 1).await;
    assert_eq!(review(&webhook, "agent").await["allowed"], true);
}

#[tokio::test]
async fn a_forbidden_watch_is_logged_without_the_raw_api_error() {
    let api = api().await;
    api.set_mood(Mood::Forbidding);
    let webhook = Webhook::start_unready(&api, &[IMAGE, "--cluster-id=c"]).await.unwrap();
    let sentence = "ServiceAccounts cannot be watched";
    until("the webhook says what it cannot do", async || {
        webhook.log().iter().any(|line| line.contains(sentence))
    })
    .await;
    let log = webhook.log().join("\n");
    assert!(!log.contains("Api(Status"), "{log}");
}

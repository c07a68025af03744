//! Requests that no API server sends, or should not.

use serde_json::{Value, json};
use tests::apiserver::ApiServer;
use tests::apiserver::review::of_pod;

use crate::wire::Wire;
use crate::world::{Running, api, deployment_pod};

pub(crate) async fn start() -> (ApiServer, Running) {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    (api, webhook)
}

pub(crate) fn review() -> Value {
    of_pod("team", &deployment_pod())
}

/// Every body gets a 400 with a sentence, on one connection that goes on living.
pub(crate) async fn are_refused(webhook: &Running, bodies: &[Vec<u8>]) {
    let mut wire = Wire::connect(webhook).await;
    for body in bodies {
        let answer = wire.post(body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
        assert_eq!(answer.status, 400, "{shown}: {answer:?}");
        assert!(
            answer.body.len() > 10 && answer.body.len() < 1000,
            "{shown}: {answer:?}"
        );
    }
    assert_eq!(
        wire.post(review().to_string()).await.status,
        200,
        "the webhook still works"
    );
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let (_api, webhook) = start().await;
    let whole = review().to_string();
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = |open: &str, close: &str| {
        let mut deep = review();
        deep["request"]["object"]["spec"]["deep"] = json!("HERE");
        deep.to_string()
            .replace("\"HERE\"", &(open.repeat(10_000) + "1" + &close.repeat(10_000)))
            .into_bytes()
    };
    let bodies = [
        b"not json".to_vec(),
        whole.as_bytes()[..whole.len() / 2].to_vec(),
        whole.as_bytes()[..whole.len() - 1].to_vec(),
        utf16,
        b"\0".to_vec(),
        whole.replace("team", "te\0am").into_bytes(),
        [whole.as_bytes(), b"x"].concat(),
        b"\xff\xfe{}".to_vec(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        "[".repeat(1_000_000).into_bytes(),
    ];
    are_refused(&webhook, &bodies).await;
    let rejected = "ado_agent_webhook_rejected_total{code=\"400\"}";
    assert_eq!(webhook.metric(rejected).await, bodies.len() as f64);
}

#[tokio::test]
async fn what_is_not_a_review_is_refused() {
    let (_api, webhook) = start().await;
    let mut without = review();
    without.as_object_mut().unwrap().remove("request");
    let mut null = review();
    null["request"] = Value::Null;
    let mut list = review();
    list["request"] = json!([1]);
    let bodies = ["", "{}", "[]", "\"x\"", "null", "1"].map(|body| body.as_bytes().to_vec());
    are_refused(&webhook, &bodies).await;
    are_refused(
        &webhook,
        &[without, null, list].map(|review| review.to_string().into_bytes()),
    )
    .await;
}

#[tokio::test]
async fn a_review_without_a_uid_is_refused() {
    let (_api, webhook) = start().await;
    let bodies = [Value::Null, json!(""), json!(7), json!("u".repeat(1024 * 1024))].map(|uid| {
        let mut review = review();
        review["request"]["uid"] = uid;
        review.to_string().into_bytes()
    });
    are_refused(&webhook, &bodies).await;
}

#[tokio::test]
async fn another_kind_or_version_of_review_is_refused() {
    let (_api, webhook) = start().await;
    let changes = [
        ("kind", "Pod"),
        ("kind", ""),
        ("apiVersion", "admission.k8s.io/v2"),
        ("apiVersion", "v1"),
        ("apiVersion", ""),
    ];
    let bodies = changes.map(|(key, value)| {
        let mut review = review();
        review[key] = json!(value);
        review.to_string().into_bytes()
    });
    are_refused(&webhook, &bodies).await;
}

#[tokio::test]
async fn a_beta_review_gets_a_beta_answer() {
    let (_api, webhook) = start().await;
    let mut review = review();
    review["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let answer = Wire::connect(&webhook).await.post(review.to_string()).await.json();
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1beta1");
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
}

/// The answer to a review that was changed: allowed, without a patch.
async fn is_allowed_as_it_is(wire: &mut Wire, change: impl FnOnce(&mut Value)) {
    let mut review = review();
    change(&mut review["request"]);
    let answer = wire.post(review.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    assert_eq!(answer["response"].get("patch"), None, "{answer}");
    assert_eq!(
        answer["response"]["auditAnnotations"]["reason"], "not-a-pod-creation",
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_not_a_pod_is_allowed_unchanged() {
    let (_api, webhook) = start().await;
    let mut wire = Wire::connect(&webhook).await;
    is_allowed_as_it_is(&mut wire, |request| {
        request["resource"] = json!({"group": "apps", "version": "v1", "resource": "deployments"});
    })
    .await;
    is_allowed_as_it_is(&mut wire, |request| {
        request["resource"]["resource"] = json!("configmaps")
    })
    .await;
    is_allowed_as_it_is(&mut wire, |request| request["subResource"] = json!("binding")).await;
    is_allowed_as_it_is(&mut wire, |request| request["resource"] = Value::Null).await;
    let metric =
        "ado_agent_webhook_requests_total{operation=\"CREATE\",outcome=\"skipped\",reason=\"not-a-pod-creation\"}";
    assert_eq!(webhook.metric(metric).await, 4.0);
}

#[tokio::test]
async fn operations_other_than_create_are_allowed_unchanged() {
    let (_api, webhook) = start().await;
    let mut wire = Wire::connect(&webhook).await;
    for operation in ["UPDATE", "DELETE", "CONNECT", "", "create"] {
        is_allowed_as_it_is(&mut wire, |request| {
            request["oldObject"] = request["object"].take();
            request["operation"] = json!(operation);
        })
        .await;
        is_allowed_as_it_is(&mut wire, |request| request["operation"] = json!(operation)).await;
    }
}

#[tokio::test]
async fn a_dry_run_gets_the_same_patch() {
    let (_api, webhook) = start().await;
    let mut wire = Wire::connect(&webhook).await;
    let mut review = review();
    let real = wire.post(review.to_string()).await;
    review["request"]["dryRun"] = json!(true);
    let dry = wire.post(review.to_string()).await;
    assert!(real.json()["response"]["patch"].is_string());
    assert_eq!(real.body, dry.body);
}

#[tokio::test]
async fn a_pod_with_wrong_types_is_denied_not_an_error() {
    let (_api, webhook) = start().await;
    let mut wire = Wire::connect(&webhook).await;
    for (pointer, value) in [
        ("/spec", json!("x")),
        ("/spec", Value::Null),
        ("/spec/containers", json!({"name": "agent"})),
        ("/spec/containers", json!([1, "x", null])),
        ("/spec/containers/0/env", json!("x")),
        ("/spec/containers/0/name", json!(["agent"])),
        ("/metadata/labels", json!({contract::INJECT_LABEL: 1})),
        ("/metadata/labels", json!(["x"])),
        ("/metadata/annotations", json!("x")),
        ("/metadata", json!(1)),
        ("", json!("a pod")),
        ("", Value::Null),
    ] {
        let mut review = review();
        *review["request"]["object"]
            .pointer_mut(pointer)
            .unwrap_or(&mut Value::Null) = value.clone();
        if pointer == "/metadata/annotations" {
            review["request"]["object"]["metadata"]["annotations"] = value.clone();
        }
        let answer = wire.post(review.to_string()).await;
        assert_eq!(answer.status, 200, "{pointer} = {value}: {answer:?}");
        let answer = answer.json();
        let response = &answer["response"];
        assert!(response.get("patch").is_none(), "{pointer} = {value}: {answer}");
        if response["allowed"] == json!(false) {
            assert!(
                response["status"]["message"].as_str().unwrap().len() > 20,
                "{pointer} = {value}: {answer}"
            );
            assert!(
                [json!(403), json!(422)].contains(&response["status"]["code"]),
                "{pointer} = {value}: {answer}"
            );
        }
    }
    for body in [json!({"uid": 1}), json!({"namespace": 1}), json!({"operation": []})] {
        let mut review = review();
        review["request"]
            .as_object_mut()
            .unwrap()
            .extend(body.as_object().unwrap().clone());
        assert_eq!(wire.post(review.to_string()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn the_last_of_duplicate_keys_counts() {
    let (_api, webhook) = start().await;
    let body = review().to_string();
    let twice = body.replace("\"uid\":\"", "\"uid\":\"first\",\"uid\":\"");
    assert_ne!(twice, body);
    let answer = Wire::connect(&webhook).await.post(&twice).await;
    // In the envelope, where a key means something to us, it is refused; in the object, the last one counts as in Go.
    assert_eq!(answer.status, 400, "{answer:?}");
    let twice = body.replace("\"generateName\":", "\"generateName\":\"x\",\"generateName\":");
    assert_ne!(twice, body);
    let mut wire = Wire::connect(&webhook).await;
    assert_eq!(wire.post(&twice).await.json()["response"]["allowed"], true);
    let odd = body.replace("\"spec\":{", "\"spec\":{\"a\":1e400,\"b\":\"\\ud83d\\ude00\",");
    assert_eq!(
        wire.post(&odd).await.status,
        400,
        "a number beyond every float is no JSON that could be patched"
    );
    let odd = body.replace(
        "\"spec\":{",
        "\"spec\":{\"a\":123456789012345678901234567890,\"b\":\"\\ud83d\\ude00\",",
    );
    assert_eq!(wire.post(&odd).await.json()["response"]["allowed"], true);
}

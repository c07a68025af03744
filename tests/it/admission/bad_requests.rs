//! Requests that no API server sends, or should not: rows 46 to 59.

use serde_json::{Value, json};
use tests::apiserver::ApiServer;
use tests::apiserver::review::of_pod;

use crate::wire::{Wire, head, tls};
use crate::world::{Running, api, deployment_pod};

async fn start() -> (ApiServer, Running) {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    (api, webhook)
}

fn review() -> Value {
    of_pod("team", &deployment_pod())
}

/// Every body gets a 400 with a sentence, on one connection that goes on living.
async fn are_refused(webhook: &Running, bodies: &[Vec<u8>]) {
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
async fn a_request_that_cannot_be_named_is_refused() {
    let (_api, webhook) = start().await;
    let bodies = [Value::Null, json!(""), json!(7), json!("u".repeat(1024 * 1024))].map(|uid| {
        let mut review = review();
        review["request"]["uid"] = uid;
        review.to_string().into_bytes()
    });
    are_refused(&webhook, &bodies).await;
}

#[tokio::test]
async fn another_kind_or_version_is_refused() {
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
async fn what_creates_nothing_is_allowed_unchanged() {
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
async fn a_pod_of_wrong_types_is_denied_and_never_an_error() {
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
async fn size_has_a_bound_that_is_known_early() {
    let (_api, webhook) = start().await;
    let mut large = review();
    large["request"]["object"]["metadata"]["annotations"] = json!({"filler": "x".repeat(3 * 1024 * 1024)});
    let answer = Wire::connect(&webhook).await.post(large.to_string()).await;
    assert_eq!(
        answer.status, 200,
        "a pod of 3 MiB, the largest that the API server takes"
    );
    assert!(answer.json()["response"]["patch"].is_string());

    // hyper itself refuses a length that is no 64-bit number.
    for (length, status) in [("4194305", 413), ("104857600", 413), ("99999999999999999999", 400)] {
        let mut wire = Wire::connect(&webhook).await;
        let headers = [("content-type", "application/json"), ("content-length", length)];
        wire.send(head("POST", "/mutate", &headers)).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, status, "{length}: {answer:?}");
        assert!(
            wire.ends_silently().await,
            "{length}: nothing more, and the connection is closed"
        );
    }

    let mut wire = Wire::connect(&webhook).await;
    wire.send(head(
        "POST",
        "/mutate",
        &[("content-type", "application/json"), ("transfer-encoding", "chunked")],
    ))
    .await;
    let chunk = format!("{:x}\r\n{}\r\n", 1024 * 1024, " ".repeat(1024 * 1024));
    for _ in 0..5 {
        // The webhook may close while we are still writing.
        if wire.try_send(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(wire.answer().await.status, 413, "chunked: found out on the way");

    let mut wire = Wire::connect(&webhook).await;
    wire.send(head(
        "POST",
        "/mutate",
        &[("content-type", "application/json"), ("transfer-encoding", "chunked")],
    ))
    .await;
    let body = review().to_string();
    wire.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).await;
    assert_eq!(wire.answer().await.status, 200, "chunked and small");
}

#[tokio::test]
async fn a_length_that_lies_costs_one_connection_and_its_own_time() {
    let (_api, webhook) = start().await;
    let body = review().to_string();
    let mut wire = Wire::connect(&webhook).await;
    let long = (body.len() + 10).to_string();
    let headers = [("content-type", "application/json"), ("content-length", long.as_str())];
    wire.send(head("POST", "/mutate?timeout=1s", &headers) + &body).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert_eq!(answer.headers["connection"], "close");

    let mut wire = Wire::connect(&webhook).await;
    let short = (body.len() - 10).to_string();
    let headers = [("content-type", "application/json"), ("content-length", short.as_str())];
    wire.send(head("POST", "/mutate", &headers) + &body).await;
    assert_eq!(wire.answer().await.status, 400);
}

#[tokio::test]
async fn only_json_is_accepted() {
    let (_api, webhook) = start().await;
    let body = review().to_string();
    let length = body.len().to_string();
    for (content_type, status) in [
        (Some("text/plain"), 415),
        (Some("application/yaml"), 415),
        (None, 415),
        (Some("application/json; charset=utf-8"), 200),
        (Some("APPLICATION/JSON"), 200),
    ] {
        let mut headers = vec![("content-length", length.as_str())];
        headers.extend(content_type.map(|content_type| ("content-type", content_type)));
        let mut wire = Wire::connect(&webhook).await;
        wire.send(head("POST", "/mutate", &headers) + &body).await;
        assert_eq!(wire.answer().await.status, status, "{content_type:?}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let (_api, webhook) = start().await;
    for (method, target, status) in [
        ("GET", "/mutate", 405),
        ("PUT", "/mutate", 405),
        ("DELETE", "/mutate?timeout=5s", 405),
        ("POST", "/", 404),
        ("POST", "/mutate/", 404),
        ("GET", "/readyz", 404),
        ("GET", "/metrics", 404),
    ] {
        let mut wire = Wire::connect(&webhook).await;
        wire.send(head(method, target, &[("content-length", "0")])).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, status, "{method} {target}");
        if status == 405 {
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
    assert_eq!(
        webhook.get("/mutate").await.0,
        404,
        "reviews are answered over TLS only"
    );
}

#[tokio::test]
async fn every_http_that_a_client_may_speak_works() {
    let (_api, webhook) = start().await;
    let body = review().to_string();
    let length = body.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];

    let mut wire = Wire::connect(&webhook).await;
    let expecting = [&headers[..], &[("expect", "100-continue")]].concat();
    wire.send(head("POST", "/mutate", &expecting)).await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send(&body).await;
    assert_eq!(wire.answer().await.status, 200);

    let mut wire = Wire::connect(&webhook).await;
    wire.send(head("POST", "/mutate", &headers).replace("HTTP/1.1", "HTTP/1.0") + &body)
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert!(wire.ends_silently().await, "HTTP/1.0 has no keep-alive");

    // HTTP/2 is not spoken: a client that offers both gets the other one, as every API server asks for.
    let config = azure_emulators::tls::client_config(&[&webhook.ca]).unwrap();
    let name = tests::apiserver::webhook::service_name();
    let stream = tls(webhook.tls, config.clone(), &name, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(tls(webhook.tls, config, &name, &["h2"]).await.is_err());
    let mut wire = Wire::connect(&webhook).await;
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(wire.ends_silently().await);
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

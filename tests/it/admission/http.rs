//! HTTP as far as the webhook speaks it: sizes, content types, methods, and every form in which a client may send a request.

use serde_json::json;

use crate::bad_requests::{review, start};
use crate::wire::{Wire, head, tls};

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length() {
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
async fn a_wrong_content_length_costs_only_its_own_connection() {
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
async fn every_form_of_http_1_works_and_http_2_does_not() {
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

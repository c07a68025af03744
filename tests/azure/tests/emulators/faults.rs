//! Every fault, as a client sees it.

use crate::{Answer, Asker, pool};
use azure_emulators::faults::{Fault, Rule};
use azure_emulators::world::World;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

const POOLS: &str = "distributedtask/pools";

#[tokio::test]
async fn what_azure_devops_answers_when_something_is_wrong() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let elsewhere = || "https://elsewhere.example/".to_owned();
    let cases = [
        (Fault::Status { status: 503 }, 503, ""),
        (
            Fault::Throttle {
                retry_after: Some("9".to_owned()),
            },
            429,
            "RequestBlockedException",
        ),
        (Fault::SignInPage, 203, ""),
        (Fault::SignInRedirect, 302, ""),
        (
            Fault::Redirect {
                status: 307,
                location: elsewhere(),
            },
            307,
            "",
        ),
        (Fault::Unauthorized, 401, ""),
        (Fault::IdentityUnknown, 401, "UnauthorizedRequestException"),
        (Fault::AccessDenied, 403, "AccessDeniedException"),
        (Fault::ProxyPage, 200, ""),
        (Fault::AgentExists, 409, "TaskAgentExistsException"),
        (Fault::JobStillRunning, 400, "TaskAgentJobStillRunningException"),
        (Fault::Aadsts { code: 90002 }, 500, ""),
    ];
    for (fault, status, type_key) in cases {
        world
            .ado
            .faults()
            .once("GET /_apis/distributedtask/pools", fault.clone());
        let answer = asker.get(POOLS).await;
        assert_eq!(answer.refusal(), (status, type_key), "{fault:?}");
        assert_eq!(world.ado.view().requests.last().unwrap().fault, Some(fault));
    }
    assert_eq!(asker.get(POOLS).await.ok()["count"], 1);
    world.ado.faults().once("**", Fault::PoolMissing);
    assert_eq!(asker.get(POOLS).await.ok()["count"], 0);
    world.ado.faults().once("**", Fault::EntitlementRefused);
    assert_eq!(asker.get(POOLS).await.ok()["isSuccess"], false);
}

#[tokio::test]
async fn a_successful_response_can_be_delayed_slow_truncated_or_ask_for_a_pause() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    for fault in [Fault::Delay { millis: 200 }, Fault::SlowBody { millis: 200 }] {
        world.ado.faults().once("**", fault);
        let started = Instant::now();
        assert_eq!(asker.get(POOLS).await.ok()["count"], 1);
        assert!(started.elapsed() >= Duration::from_millis(150));
    }
    world
        .ado
        .faults()
        .once("**", Fault::RetryAfterOnSuccess { seconds: 30 });
    let answer = asker.get(POOLS).await;
    assert_eq!((answer.status, answer.header("retry-after")), (200, "30"));

    world.ado.faults().once("**", Fault::Garbage);
    assert!(asker.get(POOLS).await.ok().is_string(), "no JSON");
    world.ado.faults().once("**", Fault::Truncate);
    let response = asker.request(Method::GET, POOLS).send().await.unwrap();
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn a_connection_can_be_reset_or_left_hanging() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    world.ado.faults().once("**", Fault::Reset);
    assert!(asker.request(Method::GET, POOLS).send().await.is_err());

    // Done, but the client cannot know.
    let id = world.pool.add_agent("pod-0", &[]);
    let path = pool(&world, &format!("/agents/{id}"));
    world.ado.faults().once("DELETE **", Fault::ResetAfter);
    assert!(asker.request(Method::DELETE, &path).send().await.is_err());
    assert_eq!(asker.delete(&path).await.status, 404);

    world.ado.faults().once("**", Fault::Hang);
    let hanging = asker
        .request(Method::GET, POOLS)
        .timeout(Duration::from_millis(300))
        .send()
        .await;
    assert!(hanging.unwrap_err().is_timeout());
    assert_eq!(asker.get(POOLS).await.status, 200);
}

#[tokio::test]
async fn a_response_can_lack_members_that_an_agent_needs() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let key = azure_emulators::jwt::SigningKey::from_pem(azure_emulators::jwt::INSECURE_STRANGER_KEY).public();
    use base64::Engine;
    let encode = |bytes: &[u8]| base64::prelude::BASE64_STANDARD.encode(bytes);
    let body = |name: &str| {
        json!({
            "name": name,
            "authorization": { "publicKey": { "modulus": encode(&key.n), "exponent": encode(&key.e) } },
        })
    };
    let path = pool(&world, "/agents");
    world.ado.faults().once("POST **", Fault::WithoutAuthorization);
    let added = asker.send(Method::POST, &path, &body("a")).await.ok();
    assert!(added.get("authorization").is_none());
    let added = asker.send(Method::POST, &path, &body("b")).await.ok();
    assert!(added["authorization"]["clientId"].is_string());
}

#[tokio::test]
async fn a_fault_begins_after_some_requests_and_ends_when_cleared() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    world
        .ado
        .faults()
        .add(Rule::new(Fault::Unauthorized).on("GET /_apis/**").after(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(asker.get(POOLS).await.status);
    }
    world.ado.faults().clear();
    seen.push(asker.get(POOLS).await.status);
    assert_eq!(seen, [200, 200, 401, 401, 200]);
}

#[tokio::test]
async fn entras_faults_look_like_entras() {
    let world = World::start().await.unwrap();
    let url = format!("{}/x/oauth2/v2.0/token", world.authority_url());
    let ask = || Answer::of(world.client().post(&url));
    world
        .entra
        .faults()
        .once("POST **", Fault::Throttle { retry_after: None });
    let throttled = ask().await;
    assert_eq!(
        (throttled.status, throttled.body["error_codes"][0].as_u64()),
        (429, Some(90055))
    );
    world.entra.faults().once("**", Fault::SignInPage);
    assert_eq!(ask().await.status, 500, "not one of Entra's");
    world.entra.faults().once("**", Fault::ProxyPage);
    assert!(ask().await.body.is_string());
}

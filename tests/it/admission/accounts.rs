//! The one read of the API server: what is answered from memory, what is read live, and what happens while nobody answers.

use std::cell::Cell;
use std::time::Duration;

use contract::AZWI_CLIENT_ID_ANNOTATION;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::apiserver::review::of_pod;
use tests::apiserver::{ApiServer, Mood};
use tokio::time::Instant;

use crate::wire::{Wire, head};
use crate::world::{CLIENT_ID, Running, api, deployment_pod, until};

const CACHED: &str = "ado_agent_webhook_accounts_cached";

fn pod_of(account: &str) -> Value {
    let mut pod = deployment_pod();
    pod["spec"]["serviceAccountName"] = json!(account);
    pod
}

/// Posts the review itself, past the double's own check that the account exists.
pub(crate) async fn review(webhook: &Running, account: &str) -> Value {
    let review = of_pod("team", &pod_of(account));
    Wire::connect(webhook).await.post(review.to_string()).await.json()["response"].clone()
}

fn lookups(result: &str) -> String {
    format!("ado_agent_webhook_account_lookups_total{{result=\"{result}\"}}")
}

fn live_reads(api: &ApiServer) -> usize {
    api.requests()
        .iter()
        .filter(|request| request.contains("/serviceaccounts/"))
        .count()
}

pub(crate) async fn with_cache(api: &ApiServer, accounts: usize) -> Running {
    let webhook = Running::ready(api, &[]).await;
    until("the watch has listed", async || {
        webhook.metric(CACHED).await == accounts as f64
    })
    .await;
    webhook
}

#[tokio::test]
async fn an_annotated_account_is_served_from_the_cache() {
    let api = api().await;
    let webhook = with_cache(&api, 1).await;
    for _ in 0..5 {
        assert_eq!(review(&webhook, "agent").await["allowed"], true);
    }
    assert_eq!(webhook.metric(&lookups("cached")).await, 5.0);
    assert_eq!(live_reads(&api), 0);
}

#[tokio::test]
async fn the_cache_follows_a_paged_list_and_watch_events() {
    let api = api().await;
    for number in 0..350 {
        api.set_account("many", &format!("plain-{number}"), &[]);
        api.set_account(
            "many",
            &format!("annotated-{number}"),
            &[(AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)],
        );
    }
    let webhook = with_cache(&api, 351).await;
    let pages = api
        .requests()
        .iter()
        .filter(|request| request.contains("limit=100"))
        .count();
    assert_eq!(pages, 8, "703 accounts: {:?}", api.requests());

    api.set_account("team", "late", &[(AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)]);
    until("a new account is known", async || webhook.metric(CACHED).await == 352.0).await;
    api.set_account("team", "late", &[]);
    until("an account that lost its annotation is forgotten", async || {
        webhook.metric(CACHED).await == 351.0
    })
    .await;
    api.delete_account("team", "agent");
    until("a deleted account is forgotten", async || {
        webhook.metric(CACHED).await == 350.0
    })
    .await;
    for number in 0..100 {
        api.set_account(
            "many",
            &format!("flood-{number}"),
            &[(AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)],
        );
    }
    until("a watcher that fell behind lists again", async || {
        webhook.metric(CACHED).await == 450.0
    })
    .await;
}

#[tokio::test]
async fn an_account_that_is_not_cached_is_read_live_before_a_denial() {
    let api = api().await;
    api.set_mood(Mood::Forbidding);
    let webhook = Running::start(&api, &["--cluster-id=c"], |_| {});
    webhook.wait_until_ready().await;
    api.set_mood(Mood::Well);
    // The watch backs off for a while; until then there is nothing in memory.
    assert_eq!(review(&webhook, "agent").await["allowed"], true);
    assert_eq!(
        webhook.metric(&lookups("live")).await + webhook.metric(&lookups("cached")).await,
        1.0
    );
}

#[tokio::test]
async fn an_account_that_is_applied_moments_after_its_pod_is_found() {
    let api = api().await;
    let webhook = with_cache(&api, 1).await;
    api.set_account("team", "late", &[]);
    let annotate = async {
        until("the webhook asks for it", async || live_reads(&api) > 0).await;
        api.set_account("team", "late", &[(AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)]);
    };
    let (response, ()) = tokio::join!(review(&webhook, "late"), annotate);
    assert_eq!(response["allowed"], true, "{response}");
}

#[tokio::test]
async fn accounts_without_identity_and_missing_ones_are_denied_and_cached() {
    let api = api().await;
    api.set_account("team", "plain", &[]);
    let webhook = with_cache(&api, 1).await;
    for (account, reason, word) in [
        ("plain", "no-identity", "client-id"),
        ("nobody", "account-missing", "nobody"),
    ] {
        let response = review(&webhook, account).await;
        assert_eq!(response["auditAnnotations"]["reason"], reason, "{response}");
        let sentence = response["status"]["message"].as_str().unwrap();
        assert!(sentence.contains(word) && sentence.contains(account), "{sentence}");
        let reads = live_reads(&api);
        assert_eq!(review(&webhook, account).await["auditAnnotations"]["reason"], reason);
        assert_eq!(live_reads(&api), reads, "the second answer comes from memory");
    }
    assert_eq!(webhook.metric(&lookups("cached-miss")).await, 2.0);
    until("a miss is forgotten soon", async || {
        let reads = live_reads(&api);
        review(&webhook, "plain").await;
        live_reads(&api) > reads
    })
    .await;
}

#[tokio::test]
async fn cached_accounts_survive_an_outage_of_the_api_server() {
    let api = api().await;
    let webhook = with_cache(&api, 1).await;
    api.stop();
    assert_eq!(review(&webhook, "agent").await["allowed"], true);
    let response = review(&webhook, "other").await;
    assert_eq!(
        response["auditAnnotations"]["reason"], "account-unreadable",
        "{response}"
    );
    let sentence = response["status"]["message"].as_str().unwrap();
    assert!(
        sentence.contains("other") && sentence.contains("cannot be reached"),
        "{sentence}"
    );
    assert_eq!(
        webhook.get("/readyz").await.0,
        200,
        "it goes on answering what it knows"
    );
    let mut own = pod_of("other");
    own["metadata"]["annotations"] =
        json!({contract::CLIENT_ID_ANNOTATION: CLIENT_ID, contract::TENANT_ID_ANNOTATION: CLIENT_ID});
    let own = of_pod("team", &own).to_string();
    assert_eq!(
        Wire::connect(&webhook).await.post(own).await.json()["response"]["allowed"],
        true,
        "a pod that names its own identity needs no account"
    );

    api.set_account("team", "other", &[(AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)]);
    api.restart().await.unwrap();
    until("the account is read once the API server is back", async || {
        review(&webhook, "other").await["allowed"] == true
    })
    .await;
}

#[tokio::test]
async fn a_denial_quotes_the_api_servers_error() {
    let api = api().await;
    let webhook = with_cache(&api, 1).await;
    for (mood, words) in [
        (Mood::Forbidding, &["403", "ClusterRole"][..]),
        (Mood::Failing, &["500", "no leader"]),
    ] {
        api.set_mood(mood);
        let response = review(&webhook, "other").await;
        let sentence = response["status"]["message"].as_str().unwrap();
        assert!(words.iter().all(|word| sentence.contains(word)), "{mood:?}: {sentence}");
    }
}

#[tokio::test]
async fn a_lookup_ends_before_the_timeout_of_the_review() {
    let api = api().await;
    let webhook = with_cache(&api, 1).await;
    api.set_mood(Mood::Hanging);
    let body = of_pod("team", &pod_of("other")).to_string();
    let started = Instant::now();
    let mut wire = Wire::connect(&webhook).await;
    let length = body.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    wire.send(head("POST", "/mutate?timeout=1s", &headers) + &body).await;
    let response = wire.answer().await.json()["response"].clone();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(
        response["auditAnnotations"]["reason"], "account-unreadable",
        "{response}"
    );
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .contains("did not answer within"),
        "{response}"
    );
}

/// Posts the review of a pod in another namespace.
async fn review_in(webhook: &Running, namespace: &str, account: &str) -> Value {
    let review = of_pod(namespace, &pod_of(account));
    Wire::connect(webhook).await.post(review.to_string()).await.json()["response"].clone()
}

#[tokio::test]
async fn at_most_eight_accounts_are_read_at_once_and_two_of_a_namespace() {
    let api = api().await;
    let webhook = with_cache(&api, 1).await;
    api.set_mood(Mood::Hanging);
    for (namespaces, expected) in [(1, 2), (20, 8)] {
        let before = live_reads(&api);
        let reviews = (0..20).map(|number| {
            let namespace = format!("team-{}", number % namespaces);
            let webhook = &webhook;
            async move { review_in(webhook, &namespace, &format!("unknown-{number}")).await }
        });
        // While all of them wait: those whose time is up make room for others.
        let looked = async {
            until("twenty reviews wait, some for their account", async || {
                let waiting = webhook.metric("ado_agent_webhook_requests_in_flight").await;
                waiting == 20.0 && live_reads(&api) - before >= expected
            })
            .await;
            live_reads(&api) - before
        };
        let (responses, reads) = tokio::join!(join_all(reviews), looked);
        assert!(
            responses
                .iter()
                .all(|response| response["auditAnnotations"]["reason"] == "account-unreadable")
        );
        assert_eq!(reads, expected);
    }
}

#[tokio::test]
async fn unknown_accounts_fill_the_queue_of_their_own_namespace_only() {
    let api = api().await;
    let webhook = with_cache(&api, 1).await;
    api.set_mood(Mood::Hanging);
    let refused = Cell::new(0);
    // As long as the API server may wait, so that the queue fills on a busy machine, too.
    let flood = join_all((0..70).map(|number| {
        let (webhook, refused) = (&webhook, &refused);
        async move {
            let review = of_pod("flood", &pod_of(&format!("unknown-{number}")));
            let mut wire = Wire::connect(webhook).await;
            let response = wire.post_to("/mutate?timeout=30s", review.to_string()).await.json();
            let sentence = response["response"]["status"]["message"].as_str().unwrap_or_default();
            refused.set(refused.get() + u32::from(sentence.contains("too many")));
        }
    }));
    let others = async {
        until("the queue is full", async || refused.get() > 0).await;
        assert_eq!(
            review(&webhook, "agent").await["allowed"],
            true,
            "what is known needs no turn"
        );
        let before = live_reads(&api);
        let reads = async { until("another namespace has its turn", async || live_reads(&api) > before).await };
        tokio::join!(review(&webhook, "other"), reads);
    };
    tokio::select! {
        _ = flood => panic!("nobody waits for the API server, which does not answer"),
        () = others => {}
    }
}

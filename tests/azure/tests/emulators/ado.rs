//! Azure DevOps: who is let in, who may do what, and agents over REST.

use crate::{Answer, Asker, pool};
use azure_emulators::ado::RateLimit;
use azure_emulators::world::World;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// An agent as a plain REST client adds it.
pub(crate) fn agent(name: &str) -> Value {
    json!({ "name": name, "version": "4.255.0", "osDescription": "Linux", "systemCapabilities": { "Agent.OS": "Linux" } })
}

#[tokio::test]
async fn an_agent_is_added_found_disabled_and_deleted() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let added = asker
        .send(Method::POST, &pool(&world, "/agents"), &agent("pod-0"))
        .await
        .ok();
    let id = added["id"].as_i64().unwrap();
    assert_eq!((&added["status"], &added["enabled"]), (&json!("offline"), &json!(true)));
    assert!(
        added.get("authorization").is_none(),
        "without a key it can never listen"
    );

    let again = asker
        .send(Method::POST, &pool(&world, "/agents"), &agent("POD-0"))
        .await;
    assert_eq!(again.refusal(), (409, "TaskAgentExistsException"));

    let plain = asker.get(&pool(&world, "/agents?agentName=pod-0")).await.ok();
    assert_eq!(plain["count"], 1);
    assert!(plain["value"][0].get("systemCapabilities").is_none());
    let full = asker
        .get(&pool(&world, "/agents?agentName=pod-0&includeCapabilities=True"))
        .await
        .ok();
    assert_eq!(full["value"][0]["systemCapabilities"]["Agent.OS"], "Linux");
    assert_eq!(asker.get(&pool(&world, "/agents?agentName=pod")).await.ok()["count"], 0);
    let matching = asker
        .get(&pool(&world, "/agents?demands=Agent.OS -equals Linux"))
        .await
        .ok();
    assert_eq!(matching["count"], 1);

    let path = pool(&world, &format!("/agents/{id}"));
    let patched = asker
        .send(Method::PATCH, &path, &json!({ "id": id, "enabled": false }))
        .await
        .ok();
    assert_eq!(patched["enabled"], false);
    let wrong = asker
        .send(Method::PATCH, &path, &json!({ "id": id + 1, "enabled": true }))
        .await;
    assert_eq!(wrong.status, 400);

    let mut replacement = patched;
    replacement["enabled"] = json!(true);
    replacement["systemCapabilities"] = json!({ "Agent.OS": "Linux", "new": "yes" });
    let replaced = asker.send(Method::PUT, &path, &replacement).await.ok();
    assert_eq!((&replaced["id"], &replaced["enabled"]), (&json!(id), &json!(false)));

    assert_eq!(asker.delete(&path).await.status, 204);
    assert_eq!(asker.delete(&path).await.refusal(), (404, "TaskAgentNotFoundException"));
    assert_eq!(asker.get(&path).await.refusal(), (404, "TaskAgentNotFoundException"));
    assert_eq!(world.pool.agents(), []);
}

#[tokio::test]
async fn an_agent_with_a_job_cannot_be_deleted_until_the_job_ends_or_its_lock_runs_out() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    for end in ["finished", "abandoned"] {
        let id = world.pool.add_agent("pod-0", &[]);
        let job = world.pool.make_busy(id);
        let path = pool(&world, &format!("/agents/{id}"));
        let shown = asker.get(&format!("{path}?includeAssignedRequest=true")).await.ok();
        assert_eq!(shown["assignedRequest"]["requestId"], job);
        assert!(asker.get(&path).await.ok().get("assignedRequest").is_none());
        let refused = asker.delete(&path).await;
        assert_eq!(refused.refusal(), (400, "TaskAgentJobStillRunningException"));
        assert_eq!(
            refused.body["message"],
            "Agent \"pod-0\" is running a job for pool \"linux\""
        );
        if end == "finished" {
            world.pool.finish_job(job, "succeeded");
        } else {
            world.ado.clock().advance(Duration::from_secs(601));
        }
        let last = asker
            .get(&format!("{path}?includeLastCompletedRequest=true"))
            .await
            .ok();
        let result = if end == "finished" { "succeeded" } else { "abandoned" };
        assert_eq!(last["lastCompletedRequest"]["result"], result);
        assert_eq!(asker.delete(&path).await.status, 204);
    }
}

#[tokio::test]
async fn the_same_routes_answer_under_azures_own_host_names() {
    let world = World::start().await.unwrap();
    let port = world.ado.address().port();
    let hosts = ["dev.azure.com", "contoso.visualstudio.com", "vsaex.dev.azure.com"];
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(world.authority.client_config())
        .no_proxy();
    for host in hosts {
        client = client.resolve(host, world.ado.address());
    }
    let client = client.build().unwrap();
    let get = |url: String| Answer::of(client.get(url).bearer_auth(world.access_token()));
    let pools = "_apis/DistributedTask/Pools?poolName=linux";
    for base in [
        format!("https://dev.azure.com:{port}/contoso"),
        format!("https://contoso.visualstudio.com:{port}"),
    ] {
        assert_eq!(get(format!("{base}/{pools}")).await.ok()["count"], 1);
        let data = get(format!("{base}/_apis/connectionData?connectOptions=1")).await.ok();
        assert_eq!(data["deploymentType"], "hosted");
    }
    assert_eq!(
        get(format!("https://vsaex.dev.azure.com:{port}/contoso/{pools}"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_agents_library_finds_locations_flags_and_packages() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let locations = Answer::of(asker.request(Method::OPTIONS, "")).await.ok();
    let ids: Vec<&str> = locations["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    for id in [
        "a8c47e17-4d56-4a56-92bb-de7ea7dc65be",
        "e298ef32-5878-4cab-993c-043836571f42",
    ] {
        assert!(ids.contains(&id));
    }
    let flag = asker
        .get("FeatureAvailability/FeatureFlags/DistributedTask.Agent.X")
        .await
        .ok();
    assert_eq!(
        (&flag["name"], &flag["effectiveState"]),
        (&json!("DistributedTask.Agent.X"), &json!("Off"))
    );

    let query = "distributedtask/packages/agent?platform=linux-x64&top=1";
    assert_eq!(asker.get(query).await.ok()["count"], 0);
    world.ado.set_agent_package([4, 255, 0], b"an archive".to_vec());
    let packages = asker.get(query).await.ok();
    assert_eq!(packages["count"], 1);
    let url = packages["value"][0]["downloadUrl"].as_str().unwrap();
    let archive = world.client().get(url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(archive.as_ref(), b"an archive");
}

#[tokio::test]
async fn the_emulated_clock_sets_dates_and_expiry() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    world.ado.clock().advance(2 * HOUR);
    let answer = asker.get("distributedtask/pools").await;
    assert_eq!(answer.status, 401);
    let shown = world.ado.clock().now();
    let minutes: Vec<String> = (-60_000..=60_000)
        .step_by(1000)
        .map(|off| azure_emulators::clock::Timestamp(shown.0 + off).http_date())
        .collect();
    assert!(
        minutes.iter().any(|date| date == answer.header("date")),
        "{}",
        answer.header("date")
    );
}

#[tokio::test]
async fn a_client_over_the_rate_limit_is_warned_then_delayed_then_blocked() {
    let world = World::start().await.unwrap();
    world.ado.set_rate_limit(Some(RateLimit {
        requests: 4,
        window_seconds: 300,
        delayed: 1,
        delay_millis: 200,
    }));
    let asker = Asker::agents(&world);
    let mut remaining = Vec::new();
    for _ in 0..4 {
        let answer = asker.get("distributedtask/pools").await;
        assert_eq!(answer.status, 200);
        remaining.push(answer.header("x-ratelimit-remaining").to_owned());
    }
    assert_eq!(remaining, ["", "2", "1", "0"]);
    let started = std::time::Instant::now();
    let delayed = asker.get("distributedtask/pools").await;
    assert_eq!((delayed.status, delayed.header("x-ratelimit-delay")), (200, "0.2"));
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert!((250..=300).contains(&delayed.header("retry-after").parse::<u64>().unwrap()));
    let blocked = asker.get("distributedtask/pools").await;
    assert_eq!(blocked.status, 429);
    assert!(blocked.body["message"].as_str().unwrap().starts_with("TF400733"));
    let wait: u64 = blocked.header("retry-after").parse().unwrap();
    assert!((250..=300).contains(&wait), "{wait}");
    world.ado.clock().advance(Duration::from_secs(wait + 1));
    asker.get("distributedtask/pools").await.ok();
}

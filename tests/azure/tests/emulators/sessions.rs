//! Sessions of agents that come back, are replaced or deleted; and jobs whose worker finishes them.

use crate::agent::{Agent, quick_polls};
use crate::{Answer, Asker, pool};
use azure_emulators::ado::{Behavior, DeletedAgent, JobSpec, JobState};
use azure_emulators::world::World;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_live_session_conflicts_until_five_minutes_have_passed() {
    let world = World::start().await.unwrap();
    quick_polls(&world);
    let agent = Agent::online(&world, "pod-0").await;
    for owner in ["pod-0", "another-pod"] {
        let conflict = agent.open_session(&world, owner).await;
        assert_eq!(
            conflict.refusal(),
            (409, "TaskAgentSessionConflictException"),
            "{owner}"
        );
        assert_eq!(
            conflict.body["message"],
            "The task agent pod-0 already has an active session for owner pod-0."
        );
    }
    world.ado.clock().advance(Duration::from_secs(200));
    agent.poll(&world, None).await;
    world.ado.clock().advance(Duration::from_secs(299));
    assert_eq!(
        agent.open_session(&world, "pod-0").await.status,
        409,
        "the poll kept it alive"
    );
    world.ado.clock().advance(Duration::from_secs(2));
    agent.open_session(&world, "pod-0").await.ok();
}

#[tokio::test]
async fn replacing_an_agent_keeps_its_id_and_retires_its_key() {
    for ends_session in [false, true] {
        let world = World::start().await.unwrap();
        world.ado.set_behavior(Behavior {
            replace_ends_session: ends_session,
            ..Behavior::default()
        });
        let mut agent = Agent::online(&world, "pod-0").await;
        let key = Agent::another_key();
        let replaced = agent.replace(&world, &key).await;
        let status = if ends_session { "offline" } else { "online" };
        assert_eq!(
            (&replaced["id"], &replaced["status"]),
            (&json!(agent.id), &json!(status))
        );
        assert_eq!(agent.token(&world, 0, 300).await.status, 400, "the old key is retired");
        agent.use_key(&world, key).await;
        let opened = agent.open_session(&world, "pod-0").await;
        let expected = if ends_session { 200 } else { 409 };
        assert_eq!(opened.status, expected, "ends_session {ends_session}");
    }
}

#[tokio::test]
async fn a_deleted_agent_may_be_an_unknown_client() {
    let world = World::start().await.unwrap();
    world.ado.set_behavior(Behavior {
        deleted_agent: DeletedAgent::InvalidClient,
        ..Behavior::default()
    });
    let agent = Agent::online(&world, "pod-0").await;
    let poll = agent.poll_while_deleted(&world).await;
    for answer in [poll, agent.poll(&world, None).await] {
        assert_eq!(answer.status, 401);
        let mut challenges = answer.headers.get_all("www-authenticate").iter();
        assert!(challenges.any(|challenge| challenge.to_str().unwrap().starts_with("Bearer ")));
    }
    for _ in 0..2 {
        let refused = agent.token(&world, 0, 300).await;
        assert_eq!(
            (refused.status, &refused.body["error"]),
            (400, &json!("invalid_client"))
        );
    }
}

/// Takes the next job. Returns the body of its message.
async fn take(world: &World, agent: &Agent) -> Value {
    let message = agent.poll(world, None).await.ok();
    agent
        .delete_message(world, message["messageId"].as_i64().unwrap())
        .await;
    serde_json::from_str(message["body"].as_str().unwrap()).unwrap()
}

/// The worker's event, as `JobServer` sends it.
async fn completed(world: &World, job: &Value, result: &str) -> Answer {
    let connection = &job["resources"]["endpoints"][0];
    let (plan, text) = (&job["plan"], |value: &Value| value.as_str().unwrap().to_owned());
    let url = format!(
        "{}{}/_apis/distributedtask/hubs/{}/plans/{}/events",
        text(&connection["url"]),
        text(&plan["scopeIdentifier"]),
        text(&plan["planType"]),
        text(&plan["planId"])
    );
    let token = text(&connection["authorization"]["parameters"]["AccessToken"]);
    let event =
        json!({ "name": "JobCompleted", "requestId": job["requestId"], "jobId": job["jobId"], "result": result });
    let request = world
        .client()
        .post(url)
        .bearer_auth(token)
        .header("accept", "application/json; api-version=5.1-preview.1");
    Answer::of(request.json(&event)).await
}

#[tokio::test]
async fn the_worker_finishes_its_job_and_a_renewal_after_that_is_refused() {
    let world = World::start().await.unwrap();
    let agent = Agent::online(&world, "pod-0").await;
    let job = world.pool.queue_job(JobSpec::script("true")).unwrap();
    let message = take(&world, &agent).await;
    assert_eq!(message["plan"]["version"], 8);
    assert!(message["variables"]["build.buildId"]["value"].is_string());

    let mut other = message.clone();
    other["jobId"] = json!("another");
    assert_eq!(completed(&world, &other, "failed").await.status, 404);
    completed(&world, &message, "succeeded").await.ok();
    let view = world.ado.view();
    let seen = view.job(job).unwrap();
    assert_eq!(
        (seen.state, seen.result.as_deref()),
        (JobState::Finished, Some("succeeded"))
    );

    let renewal = pool(
        &world,
        &format!("/jobrequests/{job}?lockToken=00000000-0000-0000-0000-000000000000"),
    );
    let renewed = agent
        .asker
        .send(Method::PATCH, &renewal, &json!({ "requestId": job }))
        .await;
    assert_eq!(renewed.refusal(), (400, "TaskAgentJobTokenExpiredException"));
    assert_eq!(
        completed(&world, &message, "succeeded").await.status,
        404,
        "once is enough"
    );
}

#[tokio::test]
async fn an_older_plan_is_finished_by_the_listener() {
    let world = World::start().await.unwrap();
    world.ado.set_behavior(Behavior {
        plan_version: 7,
        ..Behavior::default()
    });
    let agent = Agent::online(&world, "pod-0").await;
    let job = world.pool.queue_job(JobSpec::script("true")).unwrap();
    assert_eq!(take(&world, &agent).await["plan"]["version"], 7);
    let finish = json!({ "requestId": job, "finishTime": "2026-01-01T00:00:00Z", "result": "succeeded" });
    let path = pool(&world, &format!("/jobrequests/{job}?lockToken=x"));
    agent.asker.send(Method::PATCH, &path, &finish).await.ok();
    assert_eq!(world.ado.view().job(job).unwrap().state, JobState::Finished);
}

#[tokio::test]
async fn a_jobs_token_finishes_its_own_job_and_nothing_else() {
    let world = World::start().await.unwrap();
    let agent = Agent::online(&world, "pod-0").await;
    world.pool.queue_job(JobSpec::script("true")).unwrap();
    let message = take(&world, &agent).await;
    let token = &message["resources"]["endpoints"][0]["authorization"]["parameters"]["AccessToken"];
    let worker = Asker::new(&world, token.as_str().unwrap().to_owned());
    worker.get("connectionData").await.ok();
    assert_eq!(worker.get("distributedtask/pools").await.ok()["count"], 0);
    let path = pool(&world, &format!("/agents/{}", agent.id));
    assert_eq!(
        worker.delete(&path).await.refusal(),
        (404, "TaskAgentPoolNotFoundException")
    );
}

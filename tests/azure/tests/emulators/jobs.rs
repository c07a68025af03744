//! The queue: who gets a job, how long it stays, what KEDA sees of it.

use crate::agent::Agent;
use crate::{Asker, SOON, pool};
use azure_emulators::ado::{AdoView, JobRefused, JobSpec, JobState};
use azure_emulators::world::World;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn wait(world: &World, job: u64, state: JobState) -> AdoView {
    let reached = |view: &AdoView| view.job(job).is_some_and(|job| job.state == state);
    world.ado.wait_until("the job's state", SOON, reached).await.unwrap()
}

/// Takes the next job and returns its request id.
async fn take(world: &World, agent: &Agent) -> u64 {
    let message = agent.poll(world, None).await.ok();
    let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
    agent
        .delete_message(world, message["messageId"].as_i64().unwrap())
        .await;
    body["requestId"].as_u64().unwrap()
}

fn request(world: &World, job: u64) -> String {
    pool(
        world,
        &format!("/jobrequests/{job}?lockToken=00000000-0000-0000-0000-000000000000"),
    )
}

#[tokio::test]
async fn a_pool_without_a_matching_agent_refuses_jobs_and_an_offline_one_suffices() {
    let world = World::start().await.unwrap();
    let refused = world.pool.queue_job(JobSpec::seconds(1.0));
    assert!(matches!(refused, Err(JobRefused::NoAgent(_))), "{refused:?}");
    let placeholder = world
        .pool
        .add_agent("placeholder", &[("Agent.OS", "Linux"), ("Agent.Version", "4.255.0")]);
    world.pool.set_enabled(placeholder, false);
    let job = world.pool.queue_job(JobSpec::seconds(1.0)).unwrap();
    assert_eq!(world.ado.view().job(job).unwrap().state, JobState::Queued);

    for (demand, accepted) in [
        ("agent.os -equals linux", true),
        ("Agent.Version -gtVersion 2.163.1", true),
        ("Agent.Version -gtVersion 5.0.0", false),
        ("docker", false),
    ] {
        let queued = world.pool.queue_job(JobSpec::script("true").demanding(demand));
        assert_eq!(queued.is_ok(), accepted, "{demand}");
    }
}

#[tokio::test]
async fn an_online_enabled_agent_gets_the_job_renews_and_finishes_it() {
    let world = World::start().await.unwrap();
    let agent = Agent::online(&world, "pod-0").await;
    world.pool.set_enabled(agent.id, false);
    let job = world
        .pool
        .queue_job(JobSpec::script("make all").named("build").demanding("docker"))
        .unwrap();
    assert_eq!(
        world.ado.view().job(job).unwrap().state,
        JobState::Queued,
        "the agent is disabled"
    );
    world.pool.set_enabled(agent.id, true);
    wait(&world, job, JobState::Assigned).await;

    let message = agent.poll(&world, None).await.ok();
    let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&body["requestId"], &body["jobDisplayName"]),
        (&json!(job), &json!("build"))
    );
    assert_eq!(body["steps"][0]["inputs"]["script"], "make all");
    agent
        .delete_message(&world, message["messageId"].as_i64().unwrap())
        .await;

    world.ado.clock().advance(Duration::from_secs(400));
    let renewed = agent
        .asker
        .send(Method::PATCH, &request(&world, job), &json!({ "requestId": job }))
        .await
        .ok();
    assert!(renewed["lockedUntil"].as_str().unwrap() > world.ado.clock().now().iso().as_str());
    world.ado.clock().advance(Duration::from_secs(400));
    let finish = json!({ "requestId": job, "finishTime": "2026-01-01T00:00:00Z", "result": "succeeded" });
    agent
        .asker
        .send(Method::PATCH, &request(&world, job), &finish)
        .await
        .ok();
    let view = wait(&world, job, JobState::Finished).await;
    assert_eq!(view.job(job).unwrap().result.as_deref(), Some("succeeded"));
    assert_eq!(view.agent("linux", "pod-0").unwrap().job, None);
    let again = agent.asker.send(Method::PATCH, &request(&world, job), &finish).await;
    assert_eq!(again.refusal(), (400, "TaskAgentJobTokenExpiredException"));
}

#[tokio::test]
async fn a_job_stays_with_a_dead_agent_until_its_lock_runs_out() {
    let world = World::start().await.unwrap();
    let agent = Agent::online(&world, "pod-0").await;
    let job = world.pool.queue_job(JobSpec::seconds(60.0)).unwrap();
    assert_eq!(take(&world, &agent).await, job);
    world.pool.end_session(agent.id);
    let path = pool(&world, &format!("/agents/{}", agent.id));
    let admin = Asker::agents(&world);
    assert_eq!(
        admin.delete(&path).await.refusal(),
        (400, "TaskAgentJobStillRunningException")
    );
    world.ado.clock().advance(Duration::from_secs(599));
    assert_eq!(admin.delete(&path).await.status, 400, "a lock lives ten minutes");
    world.ado.clock().advance(Duration::from_secs(2));
    assert_eq!(world.ado.view().job(job).unwrap().result.as_deref(), Some("abandoned"));
    let late = agent
        .asker
        .send(Method::PATCH, &request(&world, job), &json!({ "requestId": job }))
        .await;
    assert_eq!(late.refusal(), (400, "TaskAgentJobTokenExpiredException"));
    assert_eq!(admin.delete(&path).await.status, 204);
}

#[tokio::test]
async fn a_job_whose_message_was_not_received_goes_to_another_agent() {
    let world = World::start().await.unwrap();
    let first = Agent::online(&world, "pod-0").await;
    let job = world.pool.queue_job(JobSpec::script("true")).unwrap();
    wait(&world, job, JobState::Assigned).await;
    first.close_session(&world).await;
    assert_eq!(world.ado.view().job(job).unwrap().state, JobState::Queued);
    let second = Agent::online(&world, "pod-1").await;
    assert_eq!(take(&world, &second).await, job);
}

#[tokio::test]
async fn jobs_are_given_out_in_order_one_for_each_agent() {
    let world = World::start().await.unwrap();
    let agent = Agent::online(&world, "pod-0").await;
    let jobs: Vec<u64> = (0..3)
        .map(|_| world.pool.queue_job(JobSpec::script("true")).unwrap())
        .collect();
    let stranger = Agent::register(&world, "pod-1").await;
    for job in jobs {
        assert_eq!(take(&world, &agent).await, job);
        let view = world.ado.view();
        let assigned = view
            .pool("linux")
            .unwrap()
            .jobs
            .iter()
            .filter(|job| job.state == JobState::Assigned);
        assert_eq!(assigned.count(), 1);
        let finish = json!({ "requestId": job, "result": 0 });
        let foreign = stranger.asker.send(Method::PATCH, &request(&world, job), &finish).await;
        assert_eq!(foreign.refusal(), (404, "TaskAgentJobNotFoundException"));
        agent
            .asker
            .send(Method::PATCH, &request(&world, job), &finish)
            .await
            .ok();
    }
}

#[tokio::test]
async fn keda_counts_queued_jobs_with_the_role_reader() {
    let world = World::start().await.unwrap();
    let token = world.entra.mint_token(&world.keda, Duration::from_secs(3600));
    let keda = Asker::new(&world, token);
    world.pool.add_agent("placeholder", &[]);
    let agent = Agent::online(&world, "pod-0").await;
    let running = world.pool.queue_job(JobSpec::script("true")).unwrap();
    assert_eq!(take(&world, &agent).await, running);
    let waiting = world.pool.queue_job(JobSpec::script("true")).unwrap();

    let pools = keda.get("distributedtask/pools?poolName=linux").await.ok();
    assert_eq!(pools["value"][0]["id"], world.pool.id());
    assert_eq!(
        keda.get(&format!("distributedtask/pools?poolID={}", world.pool.id()))
            .await
            .ok()["count"],
        1
    );
    let jobs = keda
        .get(&pool(&world, "/jobrequests?completedRequestCount=0"))
        .await
        .ok();
    let jobs = jobs["value"].as_array().unwrap();
    let counts = |job: &&Value| job.get("result").is_none() && job.get("receiveTime").is_none();
    let counted: Vec<u64> = jobs
        .iter()
        .filter(counts)
        .filter_map(|job| job["requestId"].as_u64())
        .collect();
    assert_eq!(counted, [waiting]);
    let matched: Vec<&str> = jobs[1]["matchedAgents"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|agent| agent["name"].as_str())
        .collect();
    assert_eq!(matched, ["placeholder", "pod-0"]);

    let top = keda.get(&pool(&world, "/jobrequests?$top=1")).await.ok();
    assert_eq!(
        (&top["count"], &top["value"][0]["requestId"]),
        (&json!(1), &json!(waiting))
    );
    assert!(top["value"][0].get("matchedAgents").is_none());
    let of_agent = keda
        .get(&pool(&world, &format!("/jobrequests?agentId={}", agent.id)))
        .await
        .ok();
    assert_eq!(of_agent["value"][0]["requestId"], running);
    assert_eq!(
        keda.delete(&pool(&world, &format!("/agents/{}", agent.id)))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn finished_jobs_are_not_in_kedas_responses() {
    let world = World::start().await.unwrap();
    let token = world.entra.mint_token(&world.keda, Duration::from_secs(3600));
    let keda = Asker::new(&world, token);
    world.pool.add_agent("placeholder", &[]);
    world.pool.add_history(10_000);
    let waiting = world.pool.queue_job(JobSpec::script("true")).unwrap();
    for (query, listed) in [("?completedRequestCount=0", 1), ("", 26), ("?$top=250", 200)] {
        let jobs = keda.get(&pool(&world, &format!("/jobrequests{query}"))).await.ok();
        assert_eq!(jobs["count"], listed, "{query}");
        assert_eq!(jobs["value"][0]["requestId"], waiting, "{query}");
    }
}

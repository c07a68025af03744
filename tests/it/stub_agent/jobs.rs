//! Jobs, and `--once`.

use crate::installed::{configured, eventually};
use azure_emulators::ado::{Behavior, JobSpec, JobState};
use azure_emulators::faults::{Fault, Rule};
use rustix::process::Signal;
use stub_agent::AgentVersion;

const RENEWALS: &str = "PATCH /_apis/distributedtask/pools/*/jobrequests/*";

#[tokio::test]
async fn once_ends_with_0_whatever_became_of_the_job() {
    for version in AgentVersion::ALL {
        let agent = configured(version).await;
        let mut listener = agent.listening(&["--once"]).await;
        let job = agent.world.pool.queue_job(JobSpec::script("exit 3")).unwrap();
        assert_eq!(listener.code().await, 0, "{version}");
        agent.job_is(job, "failed").await;
        assert!(!agent.agent().online, "{version}: its session is closed");
    }
}

#[tokio::test]
async fn under_once_a_job_can_be_canceled() {
    let agent = configured(AgentVersion::V5).await;
    let mut listener = agent.listening(&["--once"]).await;
    let script = "touch started; exec sleep 300";
    let job = agent.world.pool.queue_job(JobSpec::script(script)).unwrap();
    let started = agent.root().join("_work/started");
    eventually("the step", || started.exists(), || listener.log()).await;
    agent.world.pool.cancel_job(job);
    assert_eq!(listener.code().await, 0);
    agent.job_is(job, "canceled").await;
}

#[tokio::test]
async fn an_older_plan_is_finished_by_the_listener() {
    let agent = configured(AgentVersion::V5).await;
    for plan_version in [7, 8] {
        agent.world.ado.set_behavior(Behavior {
            plan_version,
            ..Behavior::default()
        });
        agent.world.ado.forget_requests();
        let mut listener = agent.listening(&["--once"]).await;
        let job = agent.world.pool.queue_job(JobSpec::script("true")).unwrap();
        assert_eq!(listener.code().await, 0);
        agent.job_is(job, "succeeded").await;
        // One renews the lock.
        let patches = agent.world.ado.view().count("PATCH jobrequests/{id}");
        assert_eq!(patches, if plan_version == 7 { 2 } else { 1 }, "plan {plan_version}");
    }
}

#[tokio::test]
async fn a_job_whose_lock_cannot_be_renewed_is_given_up_after_six_attempts() {
    let agent = configured(AgentVersion::V5).await.hurried(100);
    let unavailable = Fault::Status { status: 500 };
    agent.world.ado.faults().add(Rule::new(unavailable).on(RENEWALS));
    let mut listener = agent.listening(&["--once"]).await;
    let job = agent.world.pool.queue_job(JobSpec::script("true")).unwrap();
    assert_eq!(listener.code().await, 0);
    let view = agent.world.ado.view();
    assert_eq!(
        view.job(job).unwrap().state,
        JobState::Assigned,
        "nobody told the server"
    );
    assert_eq!(view.count("PATCH jobrequests/{id}"), 6);
}

#[tokio::test]
async fn a_lock_that_cannot_be_renewed_for_a_while_costs_no_job() {
    let agent = configured(AgentVersion::V5).await.hurried(100);
    let unavailable = Fault::Status { status: 500 };
    let rule = Rule::new(unavailable).on(RENEWALS).after(1).times(3);
    agent.world.ado.faults().add(rule);
    let _listener = agent.listening(&[]).await;
    let script = "until test -e finish; do sleep 0.05; done";
    let job = agent.world.pool.queue_job(JobSpec::script(script)).unwrap();
    let renewed = |view: &azure_emulators::ado::AdoView| view.count("PATCH jobrequests/{id}") > 5;
    agent.until("renewed again", renewed).await;
    std::fs::write(agent.root().join("_work/finish"), "").unwrap();
    agent.job_is(job, "succeeded").await;
}

#[tokio::test]
async fn a_step_that_leaves_its_output_open_is_waited_for_five_seconds() {
    let agent = configured(AgentVersion::V5).await;
    let listener = agent.listening(&[]).await;
    let script = "env -u VSTS_PROCESS_LOOKUP_ID sleep 300 & echo $! >left";
    let job = agent.world.pool.queue_job(JobSpec::script(script)).unwrap();
    let left = crate::installed::number_in(&agent, "left").await;
    let began = std::time::Instant::now();
    agent.job_is(job, "succeeded").await;
    assert!(
        began.elapsed() > std::time::Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    eventually("the end", || listener.log().contains("completed"), || listener.log()).await;
    crate::installed::send(left, Signal::KILL);
}

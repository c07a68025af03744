//! What the tests of this program share: a pod from its start to its end.

use azure_emulators::ado::{AdoView, JobSpec, Timing};
use contract::{Reason, SIDECAR_CONTAINER};
use std::time::Duration;
use tests::demo::stage::{AGENT, Stage};
use tests::kubelet::{Pod, What};

/// Longer than anything that is waited for takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The kubelet's first restart pause in these tests; the real one is 10 s.
pub(crate) const BACK_OFF: Duration = Duration::from_millis(200);

/// Last words of a sidecar whose image removes its agent itself: whichever of the two was first. The sidecar looks for the
/// agent when the pod is terminating; where the image was faster it has never seen one.
pub(crate) const GONE: [Reason; 3] = [Reason::Removed, Reason::AlreadyGone, Reason::NeverSeen];

/// Waits until an agent of the pod's name is online.
pub(crate) async fn online(stage: &Stage, pod: &Pod) {
    let name = pod.name().to_owned();
    let pool = stage.world.pool.name().to_owned();
    let waited = stage
        .world
        .ado
        .wait_until("the agent to be online", PATIENCE, |view| {
            view.agent(&pool, &name).is_some_and(|agent| agent.online)
        })
        .await;
    if let Err(error) = waited {
        panic!("{error}\n{}", pod.describe());
    }
}

/// Waits until the container's second life has registered, has met the session that its killed first life left open, and listens
/// once that has lapsed.
pub(crate) async fn listens_again(stage: &Stage, pod: &Pod) {
    let conflict = |view: &AdoView| {
        let mut requests = view.requests.iter();
        requests.any(|request| request.route == "POST sessions" && request.status == 409)
    };
    let ado = &stage.world.ado;
    if let Err(error) = ado.wait_until("a conflict of sessions", PATIENCE, conflict).await {
        panic!("{error}\n{}", pod.describe());
    }
    ado.clock().advance(Timing::default().session + Duration::from_secs(1));
    let waited = pod.wait_for("a second life that listens", PATIENCE, |state| {
        let log = pod.logs(AGENT);
        state.container(AGENT).restarts == 1
            && log
                .rsplit_once("Successfully replaced the agent")
                .is_some_and(|(_, second)| second.contains("Listening for Jobs"))
    });
    if let Err(error) = waited.await {
        panic!("{error}");
    }
}

/// Checks the sidecar's last word, once the pod is over.
#[track_caller]
pub(crate) fn assert_ended_with(pod: &Pod, expected: &[Reason]) {
    let message = pod
        .state()
        .container(SIDECAR_CONTAINER)
        .ended
        .map(|ended| ended.message);
    let message = message.unwrap_or_default();
    let word = message.split(':').next().and_then(Reason::parse);
    assert!(
        word.is_some_and(|word| expected.contains(&word)),
        "expected one of {expected:?}\n{}",
        pod.describe()
    );
}

/// Checks the order of the end: the hook, the agent container, then the sidecar.
#[track_caller]
pub(crate) fn assert_in_order(pod: &Pod) {
    let state = pod.state();
    let times = [
        state.time_of(SIDECAR_CONTAINER, |what| *what == What::HookStarted),
        state.time_of(AGENT, |what| matches!(what, What::Ended(_))),
        state.time_of(SIDECAR_CONTAINER, |what| matches!(what, What::Terminated { .. })),
    ];
    assert!(
        times.iter().all(Option::is_some) && times.is_sorted(),
        "{times:?}\n{}",
        pod.describe()
    );
}

/// A job that runs until [`finish_job`].
pub(crate) fn long_job() -> JobSpec {
    JobSpec::script("until test -e /azp/finish; do sleep 0.1; done")
}

/// Waits until the pod's agent runs this job.
pub(crate) async fn runs_job(stage: &Stage, pod: &Pod, job: u64) {
    let (pool, name) = (stage.world.pool.name().to_owned(), pod.name().to_owned());
    let assigned = stage
        .world
        .ado
        .wait_until("the agent to have the job", PATIENCE, |view| {
            view.agent(&pool, &name).is_some_and(|agent| agent.job == Some(job))
        });
    if let Err(error) = assigned.await {
        panic!("{error}\n{}", pod.describe());
    }
    let running = pod.wait_for("the job's first step", PATIENCE, |_| {
        pod.logs(AGENT).contains("Running job")
    });
    running.await.unwrap();
}

/// Lets the [`long_job`] of the agent container's present life come to its end.
pub(crate) fn finish_job(pod: &Pod) {
    std::fs::write(pod.root(AGENT).join("azp/finish"), "").unwrap();
}

/// Waits until the job has succeeded.
pub(crate) async fn succeeded(stage: &Stage, pod: &Pod, job: u64) {
    let done = stage.world.ado.wait_until("the job to succeed", PATIENCE, |view| {
        view.job(job)
            .is_some_and(|job| job.result.as_deref() == Some("succeeded"))
    });
    if let Err(error) = done.await {
        panic!("{error}\n{}", pod.describe());
    }
}

/// Waits for the pod's end.
pub(crate) async fn over(pod: &Pod) {
    if let Err(error) = pod.over(PATIENCE).await {
        panic!("{error}");
    }
}

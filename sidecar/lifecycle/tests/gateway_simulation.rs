//! The machine, the gateway, Azure DevOps and the kubelet in every order that the plans can make.

use crate::simulation::{cases, check_conduct, has_faults, pool_just_vanished, tail};
use crate::world::plan::{End, Plan, behind_the_gateway, fair_weather_behind_the_gateway};
use crate::world::pod::{Exit, Pod, START};
use contract::OutcomeReason;
use lifecycle::Jobs;
use proptest::prelude::*;

/// An outcome names what is true.
fn check_outcome(pod: &Pod, exit: &Exit) {
    let seen = || format!("{exit:?}\n{}", tail(pod));
    match exit.outcome.reason {
        OutcomeReason::Removed | OutcomeReason::AlreadyGone | OutcomeReason::NeverSeen => {
            assert!(
                exit.outcome.is_verified,
                "nothing registers behind the gateway's back: {}",
                seen()
            );
            assert!(
                exit.ours.is_empty() || pool_just_vanished(pod, exit),
                "an agent of ours stayed: {}",
                seen()
            );
        }
        OutcomeReason::JobStillAssigned => assert!(exit.busy || exit.since_job < 2_500, "no job: {}", seen()),
        OutcomeReason::LeftUnreachable | OutcomeReason::LeftRefused | OutcomeReason::LeftWithoutToken => {
            // Also where the job ended when there was no time left to remove its agent.
            let is_out_of_time = (exit.since_term < 2_000 || exit.since_job < 2_000)
                && exit.outcome.reason == OutcomeReason::LeftUnreachable;
            assert!(
                has_faults_or_crashes(pod) || is_out_of_time,
                "nothing was wrong: {}",
                seen()
            );
        }
        // Only for an unanswered registration counts what the agent says of itself: a job can change that, and a successor
        // may have got the name.
        OutcomeReason::LeftUnproven => {
            let may_be_another = pod.plan.marker_changes.is_some() || pod.plan.takeover.is_some();
            assert!(may_be_another && has_faults_or_crashes(pod), "it is known: {}", seen());
        }
        OutcomeReason::NotOurs | OutcomeReason::LeftUnseen | OutcomeReason::Kept => {
            panic!("what registered is known: {}", seen());
        }
    }
}

fn has_faults_or_crashes(pod: &Pod) -> bool {
    has_faults(pod) || !pod.plan.sidecar_crashes.is_empty() || pod.plan.crash_at_registration.is_some()
}

/// What holds in every run behind the gateway.
pub(crate) fn check(pod: &Pod) {
    check_conduct(pod);
    for exit in &pod.exits {
        check_outcome(pod, exit);
    }
}

/// What holds besides where nothing fails.
fn check_fair_weather(pod: &Pod) {
    let seen = || tail(pod);
    if pod.plan.end == End::Deleted && !pod.sidecar_lost {
        let last = pod.exits.last().unwrap_or_else(|| panic!("it never ended\n{}", seen()));
        let is_clean = last.outcome.is_clean() || last.outcome.reason == OutcomeReason::JobStillAssigned;
        assert!(is_clean || last.since_term < 2_000, "{last:?}\n{}", seen());
    }
    // The checks, and for each registration at most a lookup for each question, the removal of the one before and of a leftover.
    let checks = 3 + usize::from(!pod.plan.tenant_known);
    let registrations = pod.gateway.asked * 2;
    let removals = 3 * (1 + pod.plan.sidecar_edits.len());
    // Until the sidecar ends, which waits for the lock of a job that was killed.
    let ended = pod.exits.last().map_or(pod.now, |exit| exit.at);
    let drained = ended.saturating_sub(pod.terminating.unwrap_or(ended)) / 1000;
    // A restarted kubelet counts again.
    let drained = drained + pod.plan.kubelet_restart.unwrap_or(0);
    let edits: u64 = u64::try_from(pod.plan.sidecar_edits.len()).expect("few") * pod.plan.grace;
    let jobs = if pod.plan.jobs.is_empty() {
        0
    } else {
        // Two checks a minute, and each time that the pod begins to terminate six at its beginning, twelve towards the end of the
        // grace and four where the end of the job is not everywhere yet; then the lock.
        let times = 1 + pod.plan.sidecar_edits.len() + usize::from(pod.plan.kubelet_restart.is_some());
        usize::try_from((drained + edits) / 24).expect("a short run") + 22 * times
    };
    assert!(
        pod.ado_requests.len() <= checks + registrations + removals + jobs,
        "{} requests, {} questions\n{}",
        pod.ado_requests.len(),
        pod.gateway.asked,
        seen()
    );
}

fn quiet(seed: u64, jobs: Jobs) -> Plan {
    Plan {
        gateway: Some(jobs),
        restarts: jobs == Jobs::Many,
        ..Plan::quiet(seed)
    }
}

#[test]
fn an_idle_agent_costs_five_requests_and_is_gone_before_sigterm() {
    for seed in 0..200 {
        let pod = Pod::run(&quiet(seed, Jobs::Many));
        check(&pod);
        check_fair_weather(&pod);
        let reasons: Vec<OutcomeReason> = pod.exits.iter().map(|exit| exit.outcome.reason).collect();
        assert_eq!(reasons, [OutcomeReason::Removed], "{}", tail(&pod));
        assert!(
            pod.ado_requests.len() <= 6,
            "{} requests\n{}",
            pod.ado_requests.len(),
            tail(&pod)
        );
        let returned = pod.hook_returned.map(|at| at - START - 7_200_000);
        assert!(
            returned.is_some_and(|after| after < 1_500),
            "{returned:?}\n{}",
            tail(&pod)
        );
    }
}

#[test]
fn an_agent_with_one_job_is_gone_within_a_second_of_its_end() {
    for seed in 0..200 {
        let pod = Pod::run(&Plan {
            jobs: vec![(100, 500), (700, 100)],
            ..quiet(seed, Jobs::One)
        });
        check(&pod);
        check_fair_weather(&pod);
        let reasons: Vec<OutcomeReason> = pod.exits.iter().map(|exit| exit.outcome.reason).collect();
        assert_eq!(reasons, [OutcomeReason::Removed], "{}", tail(&pod));
        assert_eq!((pod.gateway.jobs, pod.registrations), (1, 1), "{}", tail(&pod));
        assert!(
            pod.ado_requests.len() <= 6,
            "{} requests\n{}",
            pod.ado_requests.len(),
            tail(&pod)
        );
        let ended = pod.exits.last().map(|exit| exit.at);
        assert!(
            ended.is_some_and(|at| at < START + 640_000),
            "{ended:?}\n{}",
            tail(&pod)
        );
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn every_run_with_a_gateway_ends_clean_or_says_why(plan in behind_the_gateway()) {
        check(&Pod::run(&plan));
    }

    #[test]
    fn without_faults_no_agent_stays_and_none_outlives_its_job(plan in fair_weather_behind_the_gateway()) {
        let pod = Pod::run(&plan);
        check(&pod);
        check_fair_weather(&pod);
    }
}

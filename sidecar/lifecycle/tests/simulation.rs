//! Every order of events that the plans can make, with what must hold in each.

use crate::world::plan::{AdoFault, End, Naming, Plan, fair_weather, plan};
use crate::world::pod::{Exit, Pod, START};
use contract::OutcomeReason;
use proptest::prelude::*;

/// So many cases, or as many as `PROPTEST_CASES` says, which proptest reads by itself.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: std::env::var_os("PROPTEST_CASES").map_or(usual, |_| config.cases),
        max_shrink_iters: 4000,
        ..config
    }
}

/// The most requests in any `seconds` of `times` (milliseconds).
fn peak(times: &[u64], seconds: u64) -> usize {
    times
        .iter()
        .enumerate()
        .map(|(index, start)| {
            times[index..]
                .iter()
                .take_while(|time| **time < start + seconds * 1000)
                .count()
        })
        .max()
        .unwrap_or(0)
}

pub(crate) fn tail(pod: &Pod) -> String {
    let from = pod
        .log
        .len()
        .saturating_sub(if pod.plan.gateway.is_some() { 400 } else { 60 });
    let lines: Vec<String> = pod.log[from..]
        .iter()
        .filter(|(_, what)| !what.is_poll())
        .map(|(at, what)| format!("{at} {what:?}"))
        .collect();
    lines.join("\n")
}

/// What holds in every run.
pub(crate) fn check(pod: &Pod) {
    check_conduct(pod);
    for exit in &pod.exits {
        check_outcome(pod, exit);
    }
}

/// What holds in every run, whatever comes out.
pub(crate) fn check_conduct(pod: &Pod) {
    let violations: Vec<&String> = pod.violations.iter().chain(&pod.ado.violations).collect();
    assert!(violations.is_empty(), "{violations:#?}\n{}", tail(pod));
    let crash = usize::from(pod.plan.crash_at_registration.is_some());
    let restarts = pod.plan.sidecar_crashes.len() + pod.plan.sidecar_edits.len() + 1 + crash;
    for (what, times, minute, quarter) in [
        ("Azure DevOps", &pod.ado_requests, 24, 110),
        ("Entra", &pod.entra_requests, 10, 40),
    ] {
        let (in_minute, in_quarter) = (peak(times, 60), peak(times, 900));
        assert!(
            in_minute <= minute * restarts,
            "{in_minute} requests to {what} in a minute\n{}",
            tail(pod)
        );
        assert!(
            in_quarter <= quarter * restarts,
            "{in_quarter} requests to {what} in a quarter of an hour\n{}",
            tail(pod)
        );
    }
    let mut may_start = false;
    for (at, status) in &pod.statuses {
        assert!(
            status.agent_may_start || !may_start,
            "{at}: an agent that was allowed to start is taken back\n{}",
            tail(pod)
        );
        may_start |= status.agent_may_start;
    }
}

pub(crate) fn has_faults(pod: &Pod) -> bool {
    !pod.plan.ado.is_empty() || !pod.plan.entra.is_empty()
}

/// A listing is trusted for ten seconds: whether the pool vanished since, so that a 404 was taken for the agent's.
pub(crate) fn pool_just_vanished(pod: &Pod, exit: &Exit) -> bool {
    let is_missing = |at| pod.plan.ado_fault(at) == Some(AdoFault::PoolMissing);
    let end = exit.at.saturating_sub(START) / 1000;
    (end.saturating_sub(12)..end).any(|second| !is_missing(second) && is_missing(second + 1))
}

/// In two seconds not all agents can be fetched one by one.
fn is_out_of_time(pod: &Pod, exit: &Exit) -> bool {
    exit.outcome.reason == OutcomeReason::LeftUnreachable
        && exit.since_term < 2_000
        && (exit.ours.is_empty() || pod.plan.image.naming != Naming::Expected)
}

/// Whether it was not checked that a removed agent did not register again.
fn is_unverified(exit: &Exit) -> bool {
    let is_gone = matches!(exit.outcome.reason, OutcomeReason::Removed | OutcomeReason::AlreadyGone);
    is_gone && !exit.outcome.is_verified
}

/// An outcome names what is true.
fn check_outcome(pod: &Pod, exit: &Exit) {
    let seen = || format!("{exit:?}\n{}", tail(pod));
    // An image that invents names and restarts in place may leave several behind; then only one is provably ours.
    let leaves_several = pod.plan.image.naming != Naming::Expected && pod.registrations > 1;
    match exit.outcome.reason {
        OutcomeReason::Removed | OutcomeReason::AlreadyGone | OutcomeReason::NeverSeen | OutcomeReason::LeftUnseen => {
            // It was looked up after one minute and after five.
            let lived = pod.terminating.unwrap_or(exit.at).saturating_sub(START);
            assert!(
                exit.outcome.reason != OutcomeReason::LeftUnseen || lived > 240_000,
                "it was not looked up: {}",
                seen()
            );
            let is_unverified = is_unverified(exit);
            assert!(
                !is_unverified || has_faults(pod) || pod.ado_requests.len() >= 9,
                "nothing was wrong, and there were requests to spare: {}",
                seen()
            );
            // While its container keeps running, the agent may register again at any moment.
            // A changed marker under an invented name is any other pod's agent, unless it was seen before. So is one under the
            // pod's own name, where the agent that was seen is gone: a successor looks the same.
            let is_disguised = pod.plan.marker_changes.is_some()
                && (pod.plan.image.naming != Naming::Expected || pod.registrations > 1);
            let is_excused =
                exit.agent_lives || leaves_several || is_unverified || is_disguised || pool_just_vanished(pod, exit);
            assert!(
                exit.ours.is_empty() || is_excused,
                "an agent of ours stayed: {}",
                seen()
            );
        }
        OutcomeReason::NotOurs => {
            assert!(
                pod.plan.leftover || pod.plan.takeover.is_some(),
                "no other agent has our name: {}",
                seen()
            );
            assert!(
                exit.ours.is_empty() || pod.plan.marker_changes.is_none() || pod.plan.leftover,
                "an agent of ours stayed: {}",
                seen()
            );
        }
        OutcomeReason::LeftUnproven => {
            assert!(
                pod.plan.takeover.is_some() || pod.plan.marker_changes.is_some(),
                "no marker was changed: {}",
                seen()
            );
        }
        // The last lookup is two seconds before the end.
        OutcomeReason::JobStillAssigned => assert!(exit.busy || exit.since_job < 2_500, "no job: {}", seen()),
        OutcomeReason::LeftUnreachable if is_out_of_time(pod, exit) => {}
        OutcomeReason::LeftUnreachable | OutcomeReason::LeftRefused | OutcomeReason::LeftWithoutToken => {
            assert!(has_faults(pod), "nothing was wrong: {}", seen());
        }
        OutcomeReason::Kept => panic!("no agent holds a place in this world: {}", seen()),
    }
}

/// What holds besides where nothing fails.
pub(crate) fn check_fair_weather(pod: &Pod) {
    let seen = || tail(pod);
    if pod.plan.end == End::Deleted && !pod.sidecar_lost {
        let last = pod.exits.last().unwrap_or_else(|| panic!("it never ended\n{}", seen()));
        if last.outcome.reason != OutcomeReason::JobStillAssigned && !is_out_of_time(pod, last) {
            let leaves_several = pod.plan.image.naming != Naming::Expected && pod.registrations > 1;
            let is_unprovable = pod.plan.image.scrubs && pod.plan.leftover;
            let is_unverified = is_unverified(last);
            assert!(
                last.ours.is_empty() || leaves_several || is_unprovable || is_unverified,
                "{last:?}\n{}",
                seen()
            );
        }
    }
    let lived = pod.terminating.unwrap_or(pod.now).saturating_sub(START);
    if lived > 20_000 {
        assert!(
            pod.admitted_at.is_some_and(|at| at < START + 20_000),
            "not ready in 15 s\n{}",
            seen()
        );
    }
    if pod.plan.jobs.is_empty()
        && pod.plan.sidecar_edits.is_empty()
        && pod.registrations <= 1
        && pod.plan.kubelet_restart.is_none()
    {
        // An agent container that does not end is looked up again and again.
        let lingered = pod
            .terminated
            .unwrap_or(pod.now)
            .saturating_sub(pod.terminating.unwrap_or(pod.now))
            / 1000;
        let lookups = [1, 3, 7, 15, 31].iter().filter(|at| **at <= lingered).count()
            + usize::try_from(lingered / 30).expect("a short run");
        // An agent with a name of its image's own that appears meanwhile is fetched from the list.
        let fetched = usize::from(pod.plan.image.naming != Naming::Expected);
        assert!(
            pod.ado_requests.len() <= 10 + lookups + fetched,
            "{} requests\n{}",
            pod.ado_requests.len(),
            seen()
        );
    }
}

/// The grace period, when the job ends after the pod began to terminate, and the rest of the world: how late the sidecar's hook comes, the
/// grace period that the pod says where it is not this one, and a seed.
fn short_grace() -> impl Strategy<Value = (u64, u64, Plan)> {
    let rest = (0_u64..3_500, prop::option::of(60_u64..4_000), any::<u64>());
    (1_u64..60)
        .prop_flat_map(|grace| (Just(grace), 0..grace))
        .prop_flat_map(move |(grace, ends)| {
            rest.clone().prop_map(move |(late, said, seed)| {
                let plan = Plan {
                    end_at: 200,
                    grace: said.unwrap_or(grace),
                    shortened: said.map(|_| grace),
                    late,
                    ..Plan::quiet(seed)
                };
                (grace, ends, plan)
            })
        })
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn every_run_ends_clean_or_says_why(plan in plan()) {
        check(&Pod::run(&plan));
    }

    #[test]
    fn without_faults_no_agent_stays(plan in fair_weather()) {
        let pod = Pod::run(&plan);
        check(&pod);
        check_fair_weather(&pod);
    }

    #[test]
    fn a_job_that_ends_within_the_grace_period_is_not_lost_however_short_that_is((grace, ends, plan) in short_grace()) {
        let pod = Pod::run(&Plan { jobs: vec![(199, ends + 1)], ..plan });
        check(&pod);
        check_fair_weather(&pod);
        let reasons: Vec<OutcomeReason> = pod.exits.iter().map(|exit| exit.outcome.reason).collect();
        prop_assert_eq!(reasons, [OutcomeReason::Removed], "{}", tail(&pod));
        // The agent is out and its script gets SIGTERM soon after the end of the job.
        let left = if pod.plan.shortened.is_some() { 12 } else { (grace - ends) / 3 };
        let pause = ends.min(left).clamp(2, 12);
        let notices = pod.plan.late + 1_200 * pause + 1_500;
        let returned = pod.hook_returned.map(|at| at.saturating_sub(START + (200 + ends) * 1_000));
        prop_assert!(
            returned.is_some_and(|after| after <= notices) || (grace - ends) * 1_000 <= notices,
            "{returned:?} ms after the job's end, {ends} s after the deletion\n{}", tail(&pod)
        );
        // One check in twelve seconds, and nine more at the beginning and towards the end.
        let lookups = usize::try_from(grace / 12).expect("a short grace") + 9;
        prop_assert!(pod.ado_requests.len() <= 10 + lookups, "{} requests\n{}", pod.ado_requests.len(), tail(&pod));
    }

    #[test]
    fn an_idle_agent_is_removed_at_once_however_short_the_grace_period_is((grace, _, plan) in short_grace()) {
        let pod = Pod::run(&plan);
        check(&pod);
        check_fair_weather(&pod);
        let reasons: Vec<OutcomeReason> = pod.exits.iter().map(|exit| exit.outcome.reason).collect();
        prop_assert_eq!(reasons, [OutcomeReason::Removed], "{}", tail(&pod));
        let returned = pod.hook_returned.map(|at| at - START - 200_000);
        let at_once = pod.plan.late + 1_600;
        prop_assert!(
            returned.is_some_and(|after| after <= at_once) || grace * 1_000 <= at_once,
            "{returned:?} ms after the deletion\n{}", tail(&pod)
        );
    }

    #[test]
    fn an_agent_starts_once_the_faults_are_over(plan in plan()) {
        let plan = Plan {
            ado: plan.ado.iter().copied().filter(|window| window.fault != AdoFault::Hang).collect(),
            sidecar_crashes: Vec::new(),
            sidecar_edits: Vec::new(),
            takeover: None,
            marker_changes: None,
            end: End::Deleted,
            end_at: 60_000,
            ..plan
        };
        let over = plan.ado.iter().map(|window| window.to).chain(plan.entra.iter().map(|window| window.to)).max().unwrap_or(0);
        let pod = Pod::run(&plan);
        check(&pod);
        let at = pod.admitted_at.unwrap_or(u64::MAX);
        // The longest pause that a server can ask for is ten minutes, and one tenth of jitter; Entra and Azure DevOps may each.
        prop_assert!(at < START + (over + 2 * 660 + 120) * 1000, "ready at {at} ms, faults over at {over} s\n{}", tail(&pod));
    }
}

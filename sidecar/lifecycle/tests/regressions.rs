//! Worlds in which the simulation once failed.

use crate::gateway_simulation::check as check_gateway;
use crate::simulation::{check, check_fair_weather, tail};
use crate::world::plan::{Image, Naming, OnTerm, Plan};
use crate::world::pod::Pod;
use contract::OutcomeReason;
use lifecycle::Jobs;

/// The job goes on in this pod, but nothing shows that the agent is still this pod's, so SIGTERM is not held back.
#[test]
fn a_job_whose_agent_a_successor_took_over_is_not_waited_for() {
    for seed in (0..200).chain([3158650976393563917]) {
        let quiet = Plan::quiet(seed);
        let pod = Pod::run(&Plan {
            image: Image {
                on_term: OnTerm::End {
                    after: 27,
                    waits: false,
                    removes: true,
                },
                once: true,
                deletes_file: true,
                registers_after: 15,
                ..quiet.image
            },
            jobs: vec![(18, 706)],
            end_at: 105,
            grace: 911,
            takeover: Some(18),
            ..quiet
        });
        check(&pod);
    }
}

/// It registers after the first lookup, which found the agent from before instead, and so seems to have another name.
#[test]
fn an_agent_that_takes_over_a_leftover_while_the_pod_terminates_is_found() {
    for seed in (0..200).chain([8038421917885526194]) {
        let quiet = Plan::quiet(seed);
        let pod = Pod::run(&Plan {
            image: Image {
                on_term: OnTerm::Ignore,
                once: true,
                deletes_file: true,
                registers_after: 83,
                ends_when_removed: true,
                ..quiet.image
            },
            end_at: 70,
            grace: 2438,
            leftover: true,
            ..quiet
        });
        check(&pod);
        check_fair_weather(&pod);
    }
}

#[test]
fn an_agent_of_ours_with_another_marker_is_named_rather_than_one_that_has_our_name() {
    for seed in 0..200 {
        let quiet = Plan::quiet(seed);
        let pod = Pod::run(&Plan {
            image: Image {
                naming: Naming::Akin,
                on_term: OnTerm::End {
                    after: 22,
                    waits: true,
                    removes: false,
                },
                registers_after: 34,
                ..quiet.image
            },
            jobs: vec![(40, 1363)],
            end_at: 254,
            grace: 1988,
            takeover: Some(0),
            marker_changes: Some(260),
            ..quiet
        });
        check(&pod);
        let reasons: Vec<OutcomeReason> = pod.exits.iter().map(|exit| exit.outcome.reason).collect();
        assert_eq!(reasons, [OutcomeReason::LeftUnproven], "{}", tail(&pod));
    }
}

/// The sidecar crashes between a registration and its answer, and then nothing but its marker would prove the agent this pod's: a
/// pod has one agent at a time, so none registers beside it under another name, and the end says what may have stayed.
#[test]
fn an_agent_whose_registration_was_not_answered_and_whose_marker_changed_is_named() {
    let mut left = 0;
    for (index, seed) in (0..200).chain([8933418586707311815]).enumerate() {
        let quiet = Plan::quiet(seed);
        let at = u64::try_from(index % 12).expect("small");
        let pod = Pod::run(&Plan {
            image: Image {
                naming: Naming::Invented,
                ..quiet.image
            },
            gateway: Some(Jobs::Many),
            crash_at_registration: Some(1),
            marker_changes: Some(22 + at),
            end_at: 1_000,
            ..quiet
        });
        check_gateway(&pod);
        let reasons: Vec<OutcomeReason> = pod.exits.iter().map(|exit| exit.outcome.reason).collect();
        match reasons.as_slice() {
            [OutcomeReason::LeftUnproven] => {
                left += 1;
                assert_eq!(pod.registrations, 1, "{}", tail(&pod));
            }
            reasons => assert_eq!(reasons, [OutcomeReason::Removed], "{}", tail(&pod)),
        }
    }
    assert!(left > 50, "only {left} runs met it");
}

/// The agent is killed while the sidecar is edited in place: nothing is started in a pod that is complete, so there is no sidecar
/// to find what registered after the last lookup.
#[test]
fn a_pod_that_completes_while_its_sidecar_is_replaced_ends_without_one() {
    for seed in (0..200).chain([9498006987683882001]) {
        let quiet = Plan::quiet(seed);
        let pod = Pod::run(&Plan {
            image: Image {
                naming: Naming::Invented,
                on_term: OnTerm::End {
                    after: 34,
                    waits: true,
                    removes: false,
                },
                once: true,
                deletes_file: true,
                registers_after: 14,
                ..quiet.image
            },
            restarts: false,
            end_at: 21,
            grace: 0,
            sidecar_edits: vec![15],
            agent_kills: vec![17],
            ..quiet
        });
        check(&pod);
        check_fair_weather(&pod);
    }
}

/// The agent is restarted, registers under a name of its own while the pod ends, and an agent from before has our name: three
/// agents are fetched one by one.
#[test]
fn an_agent_with_another_name_that_registers_late_costs_one_more_request() {
    for seed in (0..200).chain([5018232177029770874]) {
        let quiet = Plan::quiet(seed);
        let pod = Pod::run(&Plan {
            image: Image {
                naming: Naming::Akin,
                on_term: OnTerm::End {
                    after: 31,
                    waits: true,
                    removes: false,
                },
                deletes_file: true,
                registers_after: 63,
                ..quiet.image
            },
            end_at: 126,
            grace: 26,
            agent_kills: vec![57],
            leftover: true,
            ..quiet
        });
        check(&pod);
        check_fair_weather(&pod);
    }
}

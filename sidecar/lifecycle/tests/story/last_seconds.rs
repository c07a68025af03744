//! SIGTERM, and the two seconds after it.

use super::{
    busy, by_name, delete, disable, draining, found, get_agent, idle_agent_is_removed, no_agents, outlasted_by_its_job,
    ready, serving,
};
use crate::steps::{POOL, Script, agent, at, failure};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId};
use contract::OutcomeReason;
use lifecycle::Event;
use std::time::Duration;

/// The grace period has run out: SIGTERM comes with two seconds left.
fn at_the_very_end(last_seen: Agent) -> Script {
    let mut script = draining();
    script.at(700.0);
    script.answer(&get_agent(), found(last_seen));
    if script.open().is_some() {
        script.answer(&disable(), AdoResponse::Done);
    }
    script.event(Event::Terminate);
    assert_eq!(script.open(), Some(&delete()), "the removal goes out at once");
    assert_eq!(script.timeout(), Duration::from_millis(1500));
    script
}

/// What the removal meets, and how it ends.
#[test]
fn two_seconds_are_enough_for_an_outcome() {
    for (meets, reason) in [
        (Some(AdoErrorKind::JobRunning), OutcomeReason::JobStillAssigned),
        (Some(AdoErrorKind::Unreachable), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::Unavailable), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::Throttled), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::UnexpectedResponse), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::Unauthorized), OutcomeReason::LeftWithoutToken),
        (Some(AdoErrorKind::Forbidden), OutcomeReason::LeftRefused),
        (Some(AdoErrorKind::Refused), OutcomeReason::LeftRefused),
        (None, OutcomeReason::JobStillAssigned),
    ] {
        let mut script = at_the_very_end(busy());
        if let Some(kind) = meets {
            script.fail(&delete(), failure(kind), Some(Duration::from_secs(60)));
        }
        while !script.has_ended() {
            let (due, why) = script.wait();
            assert!(due <= at(701.8), "{meets:?}: {why} at {due:?}");
        }
        assert_eq!(script.exit().reason, reason, "{meets:?}");
        assert!(script.exit().sentence.contains("agent-0"), "{}", script.exit().sentence);
    }
}

#[test]
fn a_connection_that_breaks_is_tried_once_more_within_two_seconds() {
    let mut script = at_the_very_end(busy());
    script.fail(&delete(), failure(AdoErrorKind::Unreachable), None);
    script.wait();
    script.expect([(get_agent(), found(agent(7))), (delete(), AdoResponse::Done)]);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert!(script.now() < at(701.8), "{:?}", script.now());
}

/// On a machine with much to do the hook comes late, and the kubelet has counted from the deletion on, at 100 s.
#[test]
fn a_late_hook_does_not_prevent_the_removal() {
    let mut script = serving();
    script.at(102.7).event(Event::PreStop);
    script.expect([(by_name(), found(busy())), (disable(), AdoResponse::Done)]);
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    outlasted_by_its_job(&mut script);
    assert_eq!(script.exit().reason, OutcomeReason::JobStillAssigned);
    assert!(script.now() < at(699.0), "killed at 700 s: {:?}", script.now());
}

#[test]
fn a_late_response_to_a_canceled_request_is_ignored() {
    let mut script = draining();
    let (due, _) = script.wait();
    let number = script.number();
    assert_eq!(script.open(), Some(&get_agent()));
    script.at(due.0.as_secs_f64() + 5.0).event(Event::Terminate);
    assert_eq!(script.open(), Some(&delete()), "the open request is given up");
    script.reply(number, Ok(no_agents()), None);
    assert_eq!(script.open(), Some(&delete()));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn a_response_from_before_sigterm_counts_only_if_it_found_the_agent() {
    for is_there in [true, false] {
        let mut script = ready();
        script.at(50.0).event(Event::PreStop);
        script.at(50.1).event(Event::Terminate);
        let agents = if is_there { vec![agent(7)] } else { vec![] };
        script.answer(&by_name(), AdoResponse::Agents(agents));
        if !is_there {
            // It registered behind the request.
            script.answer(&by_name(), found(agent(7)));
        }
        script.answer(&delete(), AdoResponse::Done);
        assert_eq!(script.exit().reason, OutcomeReason::Removed);
    }
}

#[test]
fn a_removal_in_flight_at_sigterm_is_followed_by_a_last_lookup() {
    for registered_again in [false, true] {
        let mut script = serving();
        script.at(100.0).event(Event::PreStop);
        script.expect([(by_name(), found(agent(7))), (disable(), AdoResponse::Done)]);
        script.at(100.5).event(Event::Terminate);
        // Between the removal and SIGTERM a start script that was just restarted has registered.
        script.answer(&delete(), AdoResponse::Done);
        if registered_again {
            script.answer(&by_name(), found(agent(9)));
            script.fail(&get_agent(), failure(AdoErrorKind::NotFound), None);
            script.answer(&AdoRequest::Delete(POOL, AgentId(9)), AdoResponse::Done);
        } else {
            script.answer(&by_name(), no_agents());
        }
        assert_eq!(script.exit().reason, OutcomeReason::Removed);
    }
}

#[test]
fn a_removal_that_could_not_be_verified_says_so() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    idle_agent_is_removed(&mut script);
    // Entra could not be reached since, and the last token has expired.
    script.at(4000.0).event(Event::Terminate);
    let outcome = script.exit();
    assert_eq!(outcome.reason, OutcomeReason::Removed);
    assert!(!outcome.is_verified, "{}", outcome.sentence);
}

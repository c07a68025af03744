//! Who removed an agent that is answered with 404: we, where an earlier removal of ours may have arrived.

use super::{agents, by_name, delete, disable, get_agent, listening, ours, terminating_busy};
use crate::steps::{Script, failure};
use azure_protocol::{AdoErrorKind, AdoResponse};
use contract::OutcomeReason;
use lifecycle::{Event, Jobs};

/// The removal that goes out now finds no agent, and the pod ends.
fn ends_with_404(mut script: Script) -> OutcomeReason {
    script.fail(&delete(), failure(AdoErrorKind::NotFound), None);
    script.answer(&by_name(), agents(&[]));
    script.event(Event::Terminate);
    script.exit().reason
}

#[test]
fn a_removal_that_sigterm_gives_up_may_have_been_the_one() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    let given_up = script.number();
    script.at(101.0).event(Event::Terminate);
    assert_ne!(script.number(), given_up, "it is sent again");
    assert_eq!(ends_with_404(script), OutcomeReason::Removed);
}

#[test]
fn a_removal_that_failed_before_sigterm_may_have_been_the_one() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    script.fail(&delete(), failure(AdoErrorKind::Unreachable), None);
    script.at(100.1).event(Event::Terminate);
    assert_eq!(ends_with_404(script), OutcomeReason::Removed);
}

#[test]
fn without_a_removal_before_sigterm_it_was_somebody_else() {
    let mut script = terminating_busy();
    script.answer(&disable(), AdoResponse::Done);
    script.at(100.5).event(Event::Terminate);
    assert_eq!(ends_with_404(script), OutcomeReason::AlreadyGone);
}

/// How the removal before the last one failed, and who removed the agent.
#[test]
fn a_removal_that_was_refused_was_not_the_one() {
    for (failed, reason) in [
        (AdoErrorKind::Unreachable, OutcomeReason::Removed),
        (AdoErrorKind::Unavailable, OutcomeReason::Removed),
        (AdoErrorKind::Forbidden, OutcomeReason::AlreadyGone),
        (AdoErrorKind::Refused, OutcomeReason::AlreadyGone),
    ] {
        let mut script = listening(Jobs::Many);
        script.at(100.0).event(Event::PreStop);
        script.fail(&delete(), failure(failed), None);
        script.wait();
        // Nothing but a look tells whether it is still there.
        script.answer(&get_agent(), agents(&[ours()]));
        assert_eq!(ends_with_404(script), reason, "{failed:?}");
    }
}

#[test]
fn a_request_to_disable_it_removed_nothing() {
    let mut script = terminating_busy();
    script.fail(&disable(), failure(AdoErrorKind::Unavailable), None);
    script.wait();
    script.answer(&get_agent(), agents(&[ours()]));
    assert_eq!(ends_with_404(script), OutcomeReason::AlreadyGone);
}

//! Ten requests are enough for the life of a pod: the last look, after SIGTERM, is made only where they leave some.

use super::{by_name, delete, disable, found, get_agent, no_agents, ready};
use crate::steps::{agent, failure};
use azure_protocol::{AdoErrorKind, AdoResponse, Agent};
use contract::OutcomeReason;
use lifecycle::Event;

struct Life {
    /// The image gives its agent a name of its own, so that the last look is a list and perhaps one agent of it.
    invents_its_name: bool,
    /// A person disabled the agent, so that we do not.
    is_disabled: bool,
    /// How often the removal fails; each time the agent is looked at again.
    failures: usize,
    /// How many requests it took to remove it.
    spent: usize,
    has_a_last_look: bool,
}

#[test]
fn a_removal_is_looked_at_again_as_far_as_requests_are_left() {
    let life = |invents_its_name, is_disabled, failures, spent, has_a_last_look| Life {
        invents_its_name,
        is_disabled,
        failures,
        spent,
        has_a_last_look,
    };
    for life in [
        life(false, false, 0, 6, true),
        life(false, true, 2, 9, true),
        life(false, false, 2, 10, false),
        life(true, false, 0, 8, true),
        life(true, true, 1, 9, false),
        life(true, false, 1, 10, false),
    ] {
        let ours = Agent {
            name: if life.invents_its_name { "invented" } else { "agent-0" }.to_owned(),
            enabled: !life.is_disabled,
            ..agent(7)
        };
        let mut script = ready();
        script.at(20.0).event(Event::PreStop);
        if life.invents_its_name {
            script.answer(&by_name(), no_agents());
            script.list(std::slice::from_ref(&ours));
            script.answer(&get_agent(), found(ours.clone()));
        } else {
            script.answer(&by_name(), found(ours.clone()));
        }
        if !life.is_disabled {
            script.answer(&disable(), AdoResponse::Done);
        }
        for _ in 0..life.failures {
            script.fail(&delete(), failure(AdoErrorKind::Unavailable), None);
            script.wait();
            let disabled = Agent {
                enabled: false,
                ..ours.clone()
            };
            script.answer(&get_agent(), found(disabled));
        }
        script.answer(&delete(), AdoResponse::Done);
        assert_eq!(script.requests(), life.spent);

        script.event(Event::Terminate);
        if life.has_a_last_look && life.invents_its_name {
            script.list(&[]);
        } else if life.has_a_last_look {
            script.answer(&by_name(), no_agents());
        }
        let outcome = script.exit();
        assert_eq!(outcome.reason, OutcomeReason::Removed);
        assert_eq!(
            outcome.is_verified, life.has_a_last_look,
            "after {} requests",
            life.spent
        );
    }
}

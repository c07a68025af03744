//! Events in every order, the impossible ones included: the machine neither panics nor turns in circles.

mod drawn;

use crate::simulation::cases;
use crate::steps::{at, settings};
use contract::Reason;
use drawn::{any_duration, any_event, any_handoff, any_snapshot};
use lifecycle::{Command, Event, Lifecycle, Settings, Time, TokenId};
use proptest::prelude::*;
use std::time::Duration;

/// Takes all commands; returns the number of the newest request and whether the process ended.
fn drain(machine: &mut Lifecycle, newest: &mut u64) -> bool {
    let mut ended = false;
    while let Some(command) = machine.poll_command() {
        assert!(!ended, "nothing comes after the end, but {command:?}");
        match command {
            Command::CallAdo { number, timeout, .. } => {
                assert!(number > *newest, "numbers rise");
                assert!(!timeout.is_zero());
                *newest = number;
            }
            Command::Exit(outcome) => {
                assert!(outcome.sentence.ends_with(['.', ')']), "{}", outcome.sentence);
                ended = true;
            }
            Command::RequestToken { .. }
            | Command::WriteTokenFile(_)
            | Command::WriteDrainFile(_)
            | Command::OpenGate(_)
            | Command::AnswerRegistration { .. }
            | Command::Report(_)
            | Command::Persist(_)
            | Command::Note { .. } => {}
        }
    }
    ended
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn no_saved_state_delays_anything_for_longer_than_the_longest_pause(restored in any_snapshot(), seed in any::<u64>()) {
        let mut now = at(10.0);
        let latest = Time(now.0 + Duration::from_secs(661));
        let mut machine = Lifecycle::new(settings(), restored.clone(), seed, now);
        let was_admitted = restored.as_ref().is_some_and(|snapshot| snapshot.admitted);
        let is_draining = machine.status().reason == Reason::Draining;
        // With a token, the checks or the removal begin; nothing has to be asked while the agent runs or where none started.
        let mut awaits_request = was_admitted == is_draining;
        let mut awaits_exchange = true;
        loop {
            while let Some(command) = machine.poll_command() {
                if let Command::RequestToken { .. } = command {
                    awaits_exchange = false;
                    let lifetime = Duration::from_secs(3600);
                    machine.handle(Event::TokenIssued { token: TokenId(1), lifetime, refresh_in: None }, now);
                }
                awaits_request &= !matches!(command, Command::CallAdo { .. });
            }
            if !awaits_exchange && !awaits_request {
                break;
            }
            let next = machine.poll_timeout();
            let due = next.map(|(at, _)| at).filter(|at| *at <= latest);
            prop_assert!(due.is_some(), "exchange: {awaits_exchange}, request: {awaits_request}, {next:?} after {restored:?}");
            now = due.unwrap_or(now);
            machine.handle_timeout(now);
        }
    }

    #[test]
    fn every_order_of_events_ends_by_the_deadline(
        restored in any_snapshot(),
        knows_tenant in any::<bool>(),
        handoff in any_handoff(),
        grace in any_duration(),
        seed in any::<u64>(),
        events in prop::collection::vec((any_event(), 0_u64..20_000), 1..80),
    ) {
        let settings = Settings {
            tenant: knows_tenant.then(|| "tenant".to_owned()),
            grace,
            handoff,
            ..settings()
        };
        let mut now = at(10.0);
        let mut newest = 0;
        let mut machine = Lifecycle::new(settings, restored, seed, now);
        let mut ended = drain(&mut machine, &mut newest);
        for (event, millis) in events {
            match event {
                Some(Event::AdoResponded { number, result, retry_after, date }) => {
                    let number = newest.saturating_sub(number);
                    machine.handle(Event::AdoResponded { number, result, retry_after, date }, now);
                }
                Some(event) => machine.handle(event, now),
                None => match machine.poll_timeout() {
                    Some((due, _)) if due > now => now = due.min(Time(now.0 + Duration::from_secs(86_400))),
                    Some(_) | None => now = Time(now.0 + Duration::from_millis(millis)),
                },
            }
            machine.handle_timeout(now);
            prop_assert!(!ended || machine.poll_command().is_none(), "it has ended");
            ended |= drain(&mut machine, &mut newest);
            if let Some((due, why)) = machine.poll_timeout() {
                prop_assert!(due > now, "{why} was due at {due:?} and still is at {now:?}");
            }
        }
        // Whatever was before: it ends at SIGTERM, by its own deadline.
        machine.handle(Event::Terminate, now);
        ended |= drain(&mut machine, &mut newest);
        let last = Time(now.0.saturating_add(grace).saturating_add(Duration::from_secs(2)));
        for _ in 0..5_000 {
            let Some((due, _)) = machine.poll_timeout() else { break };
            prop_assert!(due <= last || due.0 > Duration::from_secs(u64::MAX / 2), "{due:?} is after {last:?}");
            if due.0 > Duration::from_secs(100_000_000) {
                return Ok(());
            }
            machine.handle_timeout(due);
            ended |= drain(&mut machine, &mut newest);
        }
        prop_assert!(ended, "it never ended: {machine:?}");
    }
}

//! Events in every order, the impossible ones included: the machine neither panics nor turns in circles.

use crate::steps::{POOL, agent, at, failure, settings};
use azure_protocol::{
    AdoError, AdoErrorKind, AdoResponse, Agent, Criteria, EntraError, EntraErrorKind, ServerTime, Shortlist,
};
use contract::Reason;
use lifecycle::{Command, Event, Lifecycle, Settings, Snapshot, Time, TokenId};
use proptest::prelude::*;
use std::time::Duration;

const KINDS: [AdoErrorKind; 10] = [
    AdoErrorKind::Unreachable,
    AdoErrorKind::UnexpectedResponse,
    AdoErrorKind::Unavailable,
    AdoErrorKind::Throttled,
    AdoErrorKind::Unauthorized,
    AdoErrorKind::IdentityUnknown,
    AdoErrorKind::Forbidden,
    AdoErrorKind::NotFound,
    AdoErrorKind::JobRunning,
    AdoErrorKind::Refused,
];

fn any_agent() -> impl Strategy<Value = Agent> {
    let owner = prop::sample::select(vec![
        None,
        Some(agent(1).owner.expect("a marker")),
        Some("ado-agent/v1/a/b/c/d".to_owned()),
        Some("nonsense".to_owned()),
    ]);
    let name = prop::sample::select(vec!["agent-0", "AGENT-0", "other", ""]);
    let created = prop::option::of(prop::sample::select(vec![i64::MIN, 0, 1_700_000_020, i64::MAX]));
    (
        1_i64..5,
        name,
        created,
        any::<bool>(),
        any::<bool>(),
        any::<Option<bool>>(),
        owner,
    )
        .prop_map(|(id, name, created, enabled, online, assigned, owner)| Agent {
            name: name.to_owned(),
            created: created.map(ServerTime),
            enabled,
            online,
            assigned,
            owner,
            ..agent(id)
        })
}

fn any_result() -> impl Strategy<Value = Result<AdoResponse, AdoError>> {
    prop_oneof![
        any::<bool>().prop_map(|known| Ok(AdoResponse::Tenant(known.then(|| "theirs".to_owned())))),
        any::<bool>().prop_map(|known| Ok(AdoResponse::Pool(known.then_some(POOL)))),
        any::<bool>().prop_map(|may| Ok(AdoResponse::MayManage(may))),
        prop::collection::vec(any_agent(), 0..4).prop_map(|agents| Ok(AdoResponse::Agents(agents))),
        prop::collection::vec(any_agent(), 0..4).prop_map(|agents| {
            let mut shortlist = Shortlist::new(Criteria {
                agent_name: settings().agent_name,
                pod_name: settings().marker.pod,
                started: None,
                seen: Vec::new(),
                most: 2,
            });
            agents.into_iter().for_each(|agent| shortlist.offer(agent));
            Ok(AdoResponse::Shortlist(shortlist))
        }),
        Just(Ok(AdoResponse::Done)),
        (prop::sample::select(KINDS.to_vec()), any::<bool>()).prop_map(|(kind, tenant)| Err(AdoError {
            tenant: tenant.then(|| "theirs".to_owned()),
            ..failure(kind)
        })),
    ]
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0_u64..10_000).prop_map(Duration::from_millis),
        (0_u64..100_000).prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ]
}

/// What happens: an event with a number relative to the newest request, or the next deadline.
fn any_event() -> impl Strategy<Value = Option<Event>> {
    let date = prop::option::of(prop::sample::select(vec![i64::MIN, 1_700_000_000, i64::MAX]));
    prop_oneof![
        4 => Just(None),
        6 => (any_result(), prop::option::of(any_duration()), date, 0_u64..3).prop_map(
            |(result, retry_after, date, number)| Some(Event::AdoResponded {
                number,
                result,
                retry_after,
                date: date.map(ServerTime),
            })
        ),
        2 => (0_u64..5, any_duration(), prop::option::of(any_duration())).prop_map(|(token, lifetime, refresh_in)| {
            Some(Event::TokenIssued { token: TokenId(token), lifetime, refresh_in })
        }),
        1 => (any_entra_error_kind(), prop::option::of(any_duration()), any::<bool>()).prop_map(
            |(kind, retry_after, assertion_changed)| Some(Event::TokenRefused(EntraError {
                kind,
                detail: "seen".to_owned(),
                retry_after,
                assertion_changed,
            }))
        ),
        1 => (0_u64..5).prop_map(|token| Some(Event::TokenFileWritten(TokenId(token)))),
        1 => Just(Some(Event::TokenFileFailed("no space".to_owned()))),
        1 => Just(Some(Event::TokenFileRemoved)),
        1 => Just(Some(Event::PreStop)),
        1 => Just(Some(Event::Terminate)),
    ]
}

fn any_entra_error_kind() -> impl Strategy<Value = EntraErrorKind> {
    prop::sample::select(vec![
        EntraErrorKind::AssertionMissing,
        EntraErrorKind::AssertionExpired,
        EntraErrorKind::AssertionRejected,
        EntraErrorKind::AssertionTooLong,
        EntraErrorKind::CredentialMissing,
        EntraErrorKind::IssuerUnreachable,
        EntraErrorKind::ApplicationUnknown,
        EntraErrorKind::TenantUnknown,
        EntraErrorKind::ResourceUnknown,
        EntraErrorKind::ConditionalAccess,
        EntraErrorKind::BindingRefused,
        EntraErrorKind::Throttled,
        EntraErrorKind::LoopDetected,
        EntraErrorKind::Unavailable,
        EntraErrorKind::Unreachable,
        EntraErrorKind::UnexpectedResponse,
        EntraErrorKind::Refused,
    ])
}

/// A time of a snapshot, also one that no run of this boot can have written.
fn any_time() -> impl Strategy<Value = Time> {
    prop::sample::select(vec![at(0.0), at(5.0), at(50.0), at(1e9), Time(Duration::MAX)])
}

fn any_snapshot() -> impl Strategy<Value = Option<Snapshot>> {
    prop::option::of((any::<[bool; 7]>(), any::<u32>(), any_time(), any_time()).prop_map(
        |(flags, failures, begun, pause)| Snapshot {
            started: flags[0].then_some(ServerTime(1_700_000_000)),
            pinned: flags[1].then_some((agent(1).id, None)),
            pool: flags[2].then_some(POOL),
            admitted: flags[3],
            tenant: flags[4].then(|| "theirs".to_owned()),
            disabled: flags[5].then_some(agent(1).id),
            draining_since: flags[6].then_some(begun),
            ended: flags[0] && flags[6],
            exchange_failures: failures,
            exchange_not_before: flags[1].then_some(pause),
            ado_failures: failures,
            ado_not_before: flags[2].then_some(pause),
        },
    ))
}

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
            | Command::Report(_)
            | Command::Persist(_)
            | Command::Note { .. } => {}
        }
    }
    ended
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_saved_state_delays_anything_for_longer_than_the_longest_pause(restored in any_snapshot(), seed in any::<u64>()) {
        let now = at(10.0);
        let mut machine = Lifecycle::new(settings(), restored.clone(), seed, now);
        let may_wait = Time(now.0 + Duration::from_secs(661));
        let asks_at_once = std::iter::from_fn(|| machine.poll_command())
            .any(|command| matches!(command, Command::RequestToken { .. } | Command::CallAdo { .. }));
        let next = machine.poll_timeout();
        let is_over = machine.status().reason == Reason::NeverSeen;
        prop_assert!(asks_at_once || is_over || next.is_some_and(|(at, _)| at <= may_wait), "{next:?} after {restored:?}");
    }

    #[test]
    fn no_order_of_events_confuses_it(
        restored in any_snapshot(),
        knows_tenant in any::<bool>(),
        grace in any_duration(),
        seed in any::<u64>(),
        events in prop::collection::vec((any_event(), 0_u64..20_000), 1..80),
    ) {
        let settings = Settings {
            tenant: knows_tenant.then(|| "tenant".to_owned()),
            grace,
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
        // Whatever was before: it ends when it is told to, by its own deadline.
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

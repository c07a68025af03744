//! Any event that the machine may get, and any snapshot of a run before.

use crate::steps::{POOL, agent, at, failure, settings};
use azure_protocol::{
    AdoError, AdoErrorKind, AdoResponse, Agent, AgentId, Criteria, EntraError, EntraErrorKind, ServerTime, Shortlist,
};
use lifecycle::{
    Event, Found, GatewayEvent, Handoff, Jobs, Registered, Registration, RegistrationFailure, Remover, Snapshot, Time,
    TokenId,
};
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

pub(super) fn any_agent() -> impl Strategy<Value = Agent> {
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

pub(super) fn any_result() -> impl Strategy<Value = Result<AdoResponse, AdoError>> {
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

pub(super) fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0_u64..10_000).prop_map(Duration::from_millis),
        (0_u64..100_000).prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ]
}

/// What happens: an event with a number relative to the newest request, or the next deadline.
pub(super) fn any_event() -> impl Strategy<Value = Option<Event>> {
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
        6 => any_gateway_event().prop_map(|event| Some(Event::Gateway(event))),
        1 => Just(Some(Event::PreStop)),
        1 => Just(Some(Event::Terminate)),
    ]
}

/// What a gateway may say, also of agents that do not exist and answers that are not awaited.
pub(super) fn any_gateway_event() -> impl Strategy<Value = GatewayEvent> {
    let name = || prop::sample::select(vec!["agent-0", "AGENT-0", "other", ""]).prop_map(str::to_owned);
    let agent = || (1_i64..4).prop_map(AgentId);
    let created = prop::option::of(prop::sample::select(vec![i64::MIN, 0, 1_700_000_020, i64::MAX]));
    let failure = prop::sample::select(vec![RegistrationFailure::Unanswered, RegistrationFailure::Refused]);
    let found = prop::sample::select(vec![Found::Agent, Found::Nothing, Found::Unknown]);
    prop_oneof![
        2 => (0_u64..9, name()).prop_map(|(number, name)| GatewayEvent::RegistrationAsked { number, name }),
        3 => (0_u64..9, name()).prop_map(|(number, name)| GatewayEvent::RegistrationBegins { number, name }),
        3 => (agent(), created, name()).prop_map(|(id, created, name)| GatewayEvent::Registered {
            id,
            created: created.map(ServerTime),
            name,
        }),
        2 => failure.prop_map(GatewayEvent::RegistrationFailed),
        1 => agent().prop_map(|id| GatewayEvent::Unregistered { id }),
        1 => agent().prop_map(|agent| GatewayEvent::SessionOpened { agent }),
        1 => agent().prop_map(|agent| GatewayEvent::SessionClosed { agent }),
        1 => agent().prop_map(|agent| GatewayEvent::PollOpened { agent }),
        1 => (agent(), found).prop_map(|(agent, found)| GatewayEvent::PollAnswered { agent, found }),
        1 => agent().prop_map(|agent| GatewayEvent::PollClosed { agent }),
        2 => agent().prop_map(|agent| GatewayEvent::JobRenewed { agent }),
        1 => agent().prop_map(|agent| GatewayEvent::JobEnded { agent }),
        1 => (0_u64..5).prop_map(|token| GatewayEvent::TokenRejected { token: TokenId(token) }),
    ]
}

pub(super) fn any_handoff() -> impl Strategy<Value = Handoff> {
    prop::sample::select(vec![
        Handoff::TokenFile,
        Handoff::Gateway(Jobs::Many),
        Handoff::Gateway(Jobs::One),
    ])
}

pub(super) fn any_registration() -> impl Strategy<Value = Option<Registration>> {
    let name = || "agent-0".to_owned();
    prop_oneof![
        Just(None),
        Just(Some(Registration::Begun {
            name: name(),
            since: None
        })),
        any::<bool>().prop_map(move |is_online| Some(Registration::Known(Registered {
            id: agent(1).id,
            created: None,
            name: name(),
            is_online,
        }))),
        Just(Some(Registration::Gone {
            id: agent(1).id,
            name: name(),
            by: Remover::Another,
        })),
    ]
}

pub(super) fn any_entra_error_kind() -> impl Strategy<Value = EntraErrorKind> {
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
pub(super) fn any_time() -> impl Strategy<Value = Time> {
    prop::sample::select(vec![at(0.0), at(5.0), at(50.0), at(1e9), Time(Duration::MAX)])
}

pub(super) fn any_snapshot() -> impl Strategy<Value = Option<Snapshot>> {
    prop::option::of(
        (
            any::<[bool; 8]>(),
            any::<u32>(),
            any_time(),
            any_time(),
            any_registration(),
        )
            .prop_map(|(flags, failures, begun, pause, registration)| Snapshot {
                started: flags[0].then_some(ServerTime(1_700_000_000)),
                pinned: flags[1].then_some((agent(1).id, None)),
                registration,
                used: flags[7],
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
            }),
    )
}

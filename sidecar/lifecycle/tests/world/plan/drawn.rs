//! Plans as proptest draws them.

use super::{AdoFault, End, EntraFault, Image, Naming, OnTerm, Plan, Window};
use azure_protocol::EntraErrorKind;
use lifecycle::Jobs;
use proptest::prelude::*;

fn ado_fault() -> impl Strategy<Value = AdoFault> {
    prop_oneof![
        Just(AdoFault::Hang),
        Just(AdoFault::Reset),
        Just(AdoFault::LostAnswer),
        Just(AdoFault::Html),
        Just(AdoFault::Unavailable),
        (0_u64..1200).prop_map(AdoFault::Throttled),
        (0_u64..1200).prop_map(AdoFault::RetryAfterOnSuccess),
        Just(AdoFault::Unauthorized),
        Just(AdoFault::IdentityUnknown),
        Just(AdoFault::RoleMissing),
        Just(AdoFault::PoolMissing),
    ]
}

fn entra_fault() -> impl Strategy<Value = EntraFault> {
    let refusal = prop_oneof![
        Just(EntraErrorKind::AssertionMissing),
        Just(EntraErrorKind::AssertionExpired),
        Just(EntraErrorKind::CredentialMissing),
        Just(EntraErrorKind::ApplicationUnknown),
        Just(EntraErrorKind::Unreachable),
        Just(EntraErrorKind::Unavailable),
        Just(EntraErrorKind::Throttled),
    ];
    prop_oneof![
        1 => Just(EntraFault::Hang),
        6 => (refusal, prop::option::of(0_u64..1200)).prop_map(|(reason, after)| EntraFault::Refuse(reason, after)),
    ]
}

fn windows<F: std::fmt::Debug + Clone>(
    fault: impl Strategy<Value = F>,
    until: u64,
) -> impl Strategy<Value = Vec<Window<F>>> {
    let length = prop_oneof![1_u64..20, 20_u64..900, 900_u64..20_000];
    prop::collection::vec(
        (0..until, length, fault).prop_map(|(from, length, fault)| Window {
            from,
            to: from + length,
            fault,
        }),
        0..3,
    )
}

fn image() -> impl Strategy<Value = Image> {
    let naming = prop_oneof![
        4 => Just((Naming::Expected, false)),
        1 => Just((Naming::Expected, true)),
        1 => Just((Naming::Akin, false)),
        1 => Just((Naming::Invented, false)),
    ];
    let on_term = prop_oneof![
        1 => Just(OnTerm::Ignore),
        3 => (0_u64..40, any::<bool>(), any::<bool>())
            .prop_map(|(after, waits, removes)| OnTerm::End { after, waits, removes }),
    ];
    (naming, on_term, any::<bool>(), any::<bool>(), 1_u64..90, any::<bool>()).prop_map(
        |((naming, scrubs), on_term, once, deletes_file, registers_after, ends_when_removed)| Image {
            naming,
            scrubs,
            on_term,
            once,
            deletes_file,
            registers_after,
            ends_when_removed,
        },
    )
}

/// Any run.
pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let end_at = prop_oneof![0_u64..30, 30_u64..600, 600_u64..30_000];
    let end = prop_oneof![6 => Just(End::Deleted), 1 => Just(End::Forced), 1 => Just(End::NodeLost)];
    let grace = prop_oneof![Just(0_u64), 1_u64..40, 40_u64..4000];
    (end_at, end, grace, any::<u64>(), image()).prop_flat_map(|(end_at, end, grace, seed, image)| {
        let until = end_at + grace + 60;
        let rarely = |until: u64| prop::collection::vec(0..until, 0..2);
        let often_none = |until: u64| prop::option::weighted(0.15, 0..until);
        let pod = (
            any::<bool>(),
            prop::collection::vec((0..until, prop_oneof![1_u64..60, 60_u64..5000]), 0..4),
            rarely(until),
            prop::option::weighted(0.1, 0..grace + 1),
            0_u64..3_500,
            prop::option::weighted(0.1, 1..grace + 2)
                .prop_map(move |shortened| shortened.map(|shortened| shortened.min(grace))),
        );
        let sidecar = (rarely(until), rarely(until), any::<bool>());
        let server = (
            windows(ado_fault(), until),
            windows(entra_fault(), until),
            prop_oneof![Just(3600_u64), Just(86_399)],
            any::<bool>(),
            often_none(until),
            often_none(until),
            often_none(until),
        );
        (pod, sidecar, server).prop_map(move |(pod, sidecar, server)| Plan {
            seed,
            image,
            restarts: pod.0,
            jobs: pod.1,
            end,
            end_at,
            grace,
            shortened: pod.5,
            ado: server.0,
            entra: server.1,
            lifetime: server.2,
            tenant_known: sidecar.2,
            sidecar_crashes: sidecar.0,
            sidecar_edits: sidecar.1,
            agent_kills: pod.2,
            kubelet_restart: pod.3,
            late: pod.4,
            leftover: server.3,
            takeover: server.4,
            person_disables: server.5,
            marker_changes: server.6,
            gateway: None,
            removed_outside: None,
            crash_at_registration: None,
        })
    })
}

/// A run in which Entra and Azure DevOps work, and the sidecar does not crash.
pub(crate) fn fair_weather() -> impl Strategy<Value = Plan> {
    plan().prop_map(clear_up)
}

fn clear_up(plan: Plan) -> Plan {
    Plan {
        ado: Vec::new(),
        entra: Vec::new(),
        sidecar_crashes: Vec::new(),
        takeover: None,
        marker_changes: None,
        crash_at_registration: None,
        ..plan
    }
}

/// Any run with the handoff `gateway`.
pub(crate) fn behind_the_gateway() -> impl Strategy<Value = Plan> {
    let jobs = prop_oneof![Just(Jobs::Many), Just(Jobs::One)];
    let removed = prop::option::weighted(0.1, 0_u64..4_000);
    let crash = prop::option::weighted(0.15, 1_u32..3);
    (plan(), jobs, removed, crash).prop_map(|(plan, jobs, removed_outside, crash_at_registration)| Plan {
        gateway: Some(jobs),
        removed_outside,
        crash_at_registration,
        ..plan
    })
}

/// The same in which Entra and Azure DevOps work, and the sidecar does not crash.
pub(crate) fn fair_weather_behind_the_gateway() -> impl Strategy<Value = Plan> {
    behind_the_gateway().prop_map(clear_up)
}

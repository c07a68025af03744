//! What happens in one run: drawn by proptest, so that a failing run is made small.

use azure_protocol::EntraErrorKind;
use proptest::prelude::*;

/// A fault of Azure DevOps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdoFault {
    Hang,
    Reset,
    /// The request takes effect, the answer is lost.
    LostAnswer,
    Html,
    Unavailable,
    Throttled(u64),
    /// Answers, and asks for a pause nevertheless.
    RetryAfterOnSuccess(u64),
    Unauthorized,
    IdentityUnknown,
    RoleMissing,
    PoolMissing,
}

/// A fault of Entra.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntraFault {
    Hang,
    Refuse(EntraErrorKind, Option<u64>),
}

/// A fault from one second to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<F> {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) fault: F,
}

/// How the start script names its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    Expected,
    /// A name that contains ours.
    Akin,
    Invented,
}

/// What the start script does on SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTerm {
    Ignore,
    /// Ends after so many seconds; waits for a running job or not; removes its agent or not.
    End {
        after: u64,
        waits: bool,
        removes: bool,
    },
}

/// A start script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image {
    pub(crate) naming: Naming,
    /// Runs the agent through `sudo`, so that it carries no marker.
    pub(crate) scrubs: bool,
    pub(crate) on_term: OnTerm,
    pub(crate) once: bool,
    pub(crate) deletes_file: bool,
    pub(crate) registers_after: u64,
    pub(crate) ends_when_removed: bool,
}

/// How the pod ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `kubectl delete`, drain, scale down.
    Deleted,
    /// `--force --grace-period=0`, hard eviction.
    Forced,
    /// Everything is gone at once.
    NodeLost,
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) image: Image,
    pub(crate) restarts: bool,
    pub(crate) jobs: Vec<(u64, u64)>,
    pub(crate) end: End,
    pub(crate) end_at: u64,
    /// The grace that the pod says.
    pub(crate) grace: u64,
    /// The one that the kubelet was given instead (`kubectl delete --grace-period`).
    pub(crate) shortened: Option<u64>,
    pub(crate) ado: Vec<Window<AdoFault>>,
    pub(crate) entra: Vec<Window<EntraFault>>,
    pub(crate) lifetime: u64,
    pub(crate) tenant_known: bool,
    pub(crate) sidecar_crashes: Vec<u64>,
    pub(crate) sidecar_edits: Vec<u64>,
    pub(crate) agent_kills: Vec<u64>,
    /// Seconds after the pod began to leave.
    pub(crate) kubelet_restart: Option<u64>,
    /// How late the sidecar's hook comes, in milliseconds.
    pub(crate) late: u64,
    pub(crate) left_over: bool,
    pub(crate) takeover: Option<u64>,
    pub(crate) person_disables: Option<u64>,
    /// A job gives the pod's agent another marker.
    pub(crate) marker_changes: Option<u64>,
}

impl Plan {
    /// A pod of the usual kind in which nothing happens: the agent registers 20 s after it may start, the pod is deleted
    /// after two hours and has ten minutes of grace.
    pub(crate) fn quiet(seed: u64) -> Self {
        Self {
            seed,
            image: Image {
                naming: Naming::Expected,
                scrubs: false,
                on_term: OnTerm::End {
                    after: 3,
                    waits: true,
                    removes: true,
                },
                once: false,
                deletes_file: false,
                registers_after: 20,
                ends_when_removed: true,
            },
            restarts: true,
            jobs: Vec::new(),
            end: End::Deleted,
            end_at: 7_200,
            grace: 600,
            shortened: None,
            ado: Vec::new(),
            entra: Vec::new(),
            lifetime: 3_600,
            tenant_known: true,
            sidecar_crashes: Vec::new(),
            sidecar_edits: Vec::new(),
            agent_kills: Vec::new(),
            kubelet_restart: None,
            late: 0,
            left_over: false,
            takeover: None,
            marker_changes: None,
            person_disables: None,
        }
    }

    /// The grace by which the kubelet goes, in seconds.
    pub(crate) fn real_grace(&self) -> u64 {
        match self.end {
            End::Deleted | End::NodeLost => self.shortened.unwrap_or(self.grace),
            End::Forced => 1,
        }
    }

    /// The fault of Azure DevOps in a second after the start.
    pub(crate) fn ado_fault(&self, second: u64) -> Option<AdoFault> {
        fault(&self.ado, second)
    }

    /// The fault of Entra in a second after the start.
    pub(crate) fn entra_fault(&self, second: u64) -> Option<EntraFault> {
        fault(&self.entra, second)
    }
}

fn fault<F: Copy>(windows: &[Window<F>], second: u64) -> Option<F> {
    windows
        .iter()
        .find(|window| (window.from..window.to).contains(&second))
        .map(|window| window.fault)
}

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
            left_over: server.3,
            takeover: server.4,
            person_disables: server.5,
            marker_changes: server.6,
        })
    })
}

/// A run in which Entra and Azure DevOps work, and the sidecar does not crash.
pub(crate) fn fair_weather() -> impl Strategy<Value = Plan> {
    plan().prop_map(|plan| Plan {
        ado: Vec::new(),
        entra: Vec::new(),
        sidecar_crashes: Vec::new(),
        takeover: None,
        marker_changes: None,
        ..plan
    })
}

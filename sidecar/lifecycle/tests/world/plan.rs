//! What happens in one run: drawn by proptest, so that a failing run is made small.

mod drawn;

pub(crate) use drawn::{behind_the_gateway, fair_weather, fair_weather_behind_the_gateway, plan};

use azure_protocol::EntraErrorKind;
use lifecycle::Jobs;

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
    /// The grace period that the pod says.
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
    /// Seconds after the pod began to terminate.
    pub(crate) kubelet_restart: Option<u64>,
    /// How late the sidecar's hook comes, in milliseconds.
    pub(crate) late: u64,
    pub(crate) leftover: bool,
    pub(crate) takeover: Option<u64>,
    pub(crate) person_disables: Option<u64>,
    /// A job gives the pod's agent another marker.
    pub(crate) marker_changes: Option<u64>,
    /// The handoff `gateway`, and how many jobs an agent may do.
    pub(crate) gateway: Option<Jobs>,
    /// A person, or a sweep from outside the pod, removes the pod's agent.
    pub(crate) removed_outside: Option<u64>,
    /// The sidecar crashes just when Azure DevOps has got this registration, the first being 1.
    pub(crate) crash_at_registration: Option<u32>,
}

impl Plan {
    /// A pod of the usual kind in which nothing happens: the agent registers 20 s after it may start, the pod is deleted
    /// after two hours and has ten minutes of grace period.
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
            leftover: false,
            takeover: None,
            marker_changes: None,
            person_disables: None,
            gateway: None,
            removed_outside: None,
            crash_at_registration: None,
        }
    }

    /// The grace period that the kubelet applies, in seconds.
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

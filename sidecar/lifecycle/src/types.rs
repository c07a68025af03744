//! What goes in and what comes out: the whole surface between behavior and IO.

use crate::gateway::{Admission, Gate, GatewayEvent, Handoff};
use crate::registration::Registration;
use crate::sentences;
use azure_protocol::{AdoError, AdoRequest, AdoResponse, AgentId, EntraError, PoolId, ServerTime};
use contract::{Drain, Marker, OutcomeReason, Reason, RefusalReason};
use std::time::Duration;

/// A point in time: since the boot of the machine (`CLOCK_BOOTTIME`), so that it means the same to the next run of the
/// container, which reads it from the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub Duration);

impl Time {
    /// This much later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the machine has to know of its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name under which the agent is expected to register.
    pub agent_name: String,
    /// The marker that our agent carries.
    pub marker: Marker,
    /// Pool, by name.
    pub pool: String,
    /// Organization URL, for messages.
    pub url: String,
    /// Client ID, for messages.
    pub client_id: String,
    /// Configured tenant; `None`: the organization is asked for it before the first exchange.
    pub tenant: Option<String>,
    /// The pod's termination grace period.
    pub grace: Duration,
    /// Whether the agent only holds a place in the pool, and stays there when the pod ends.
    pub placeholder: bool,
    /// How the agent container gets what it needs.
    pub handoff: Handoff,
}

/// Why nothing will work until somebody changes the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Machine-readable reason.
    pub reason: RefusalReason,
    /// What to do, for the user.
    pub sentence: String,
}

/// Names a token that the driver holds; the machine never sees the token itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u64);

/// One thing to do. The driver performs commands in order; [`Command::RequestToken`], [`Command::CallAdo`] and
/// [`Command::WriteTokenFile`] are answered by an event each, whatever happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read the assertion and trade it for an access token. Answered by [`Event::TokenIssued`] or [`Event::TokenRefused`].
    RequestToken {
        /// The tenant to ask at: the configured or the discovered one.
        tenant: String,
    },
    /// Write the token file. Answered by [`Event::TokenFileWritten`] or [`Event::TokenFileFailed`].
    WriteTokenFile(TokenId),
    /// Write this to the drain file; not answered.
    WriteDrainFile(Drain),
    /// Send a request to Azure DevOps. Answered by [`Event::AdoResponded`] with the same number. At most one request is open
    /// at a time, except after [`Event::Terminate`] and where an event of the gateway made it unnecessary: then the driver cancels
    /// the open one when a new one comes.
    CallAdo {
        /// Number of the request.
        number: u64,
        /// The token to send; `None`: none.
        token: Option<TokenId>,
        /// The request.
        request: AdoRequest,
        /// How long the response may take.
        timeout: Duration,
    },
    /// The gateway applies this from now on; not answered.
    OpenGate(Gate),
    /// Answers [`GatewayEvent::RegistrationAsked`] or [`GatewayEvent::RegistrationBegins`]. What it presupposes of the gate and
    /// of what is persisted was commanded before it.
    AnswerRegistration {
        /// Number of the question.
        number: u64,
        /// Whether the request continues.
        answer: Admission,
    },
    /// The status changed: log it, write the termination message, answer probes with it.
    Report(Status),
    /// Persist this for the next run of the container.
    Persist(Snapshot),
    /// Log a line that does not change the status.
    Note {
        /// Whether it needs attention.
        severity: Severity,
        /// Machine-readable reason.
        reason: Reason,
        /// What happened.
        sentence: String,
    },
    /// End the process; nothing comes after it.
    Exit(Outcome),
}

/// Whether a log line needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Informational.
    Info,
    /// Needs attention.
    Warning,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Entra issued a token.
    TokenIssued {
        /// The driver's name for it.
        token: TokenId,
        /// Its lifetime, counted from just before the request was sent.
        lifetime: Duration,
        /// When Entra suggests to refresh, counted likewise.
        refresh_in: Option<Duration>,
    },
    /// Entra issued none.
    TokenRefused(EntraError),
    /// The token file holds this token.
    TokenFileWritten(TokenId),
    /// It could not be written; the old content, if any, is intact.
    TokenFileFailed(String),
    /// The token file was removed.
    TokenFileRemoved,
    /// Azure DevOps responded, or the request failed.
    AdoResponded {
        /// Number of the request.
        number: u64,
        /// The response.
        result: Result<AdoResponse, AdoError>,
        /// `Retry-After` of the response, whatever its status.
        retry_after: Option<Duration>,
        /// `Date` of the response.
        date: Option<ServerTime>,
    },
    /// An event of the gateway.
    Gateway(GatewayEvent),
    /// The pod begins to terminate (the `preStop` hook): T0.
    PreStop,
    /// SIGTERM: the agent container has ended, or the grace period has run out and 2 seconds are left.
    Terminate,
}

/// What probe output, termination message and log say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Machine-readable reason.
    pub reason: Reason,
    /// One plain sentence: what, where, what to do.
    pub sentence: String,
    /// Whether the startup probe succeeds.
    pub agent_may_start: bool,
    /// Whether the readiness probe succeeds: with the gateway, the agent has a session and the pod does not terminate.
    pub is_ready: bool,
}

/// Age of the access token, for `probe --json`; not part of the [`Status`], which is reported on every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenAge {
    /// Time since it was issued.
    pub age: Duration,
    /// Time until it expires; zero where it has.
    pub remaining: Duration,
}

/// The outcome of the removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Machine-readable reason.
    pub reason: OutcomeReason,
    /// One plain sentence.
    pub sentence: String,
    /// Whether Azure DevOps confirmed it after SIGTERM, where that was needed: otherwise the agent may have registered again
    /// since. Never where an agent may have stayed.
    pub is_verified: bool,
}

impl Outcome {
    /// An outcome that needs no further check of the pool.
    pub(crate) fn verified(reason: OutcomeReason, sentence: String) -> Self {
        Self {
            reason,
            sentence,
            is_verified: true,
        }
    }

    /// The agent was never allowed to start; `why` where it is known.
    pub(crate) fn never_started(why: &str) -> Self {
        Self::verified(OutcomeReason::NeverSeen, sentences::never_started(why))
    }

    /// Whether no agent of this pod stayed in the pool.
    pub fn is_clean(&self) -> bool {
        match self.reason {
            OutcomeReason::Removed
            | OutcomeReason::AlreadyGone
            | OutcomeReason::Kept
            | OutcomeReason::NeverSeen
            | OutcomeReason::NotOurs => true,
            OutcomeReason::JobStillAssigned
            | OutcomeReason::LeftUnseen
            | OutcomeReason::LeftUnreachable
            | OutcomeReason::LeftRefused
            | OutcomeReason::LeftUnproven
            | OutcomeReason::LeftWithoutToken => false,
        }
    }
}

/// What survives a restart of the container (not of the pod).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// When the first run started, in the server's time as soon as it is known: agents created before are not ours.
    pub started: Option<ServerTime>,
    /// The agent that was first seen with our marker, with its `createdOn`.
    pub pinned: Option<(AgentId, Option<ServerTime>)>,
    /// The agent that this pod registered last (handoff `gateway`).
    pub registration: Option<Registration>,
    /// Whether the pod has had its one job ([`Jobs::One`](crate::Jobs)).
    pub used: bool,
    /// Pool ID.
    pub pool: Option<PoolId>,
    /// Whether the agent container was ever allowed to start: until then this pod cannot have an agent.
    pub admitted: bool,
    /// Tenant that the organization trusts.
    pub tenant: Option<String>,
    /// The agent that we disabled ourselves.
    pub disabled: Option<AgentId>,
    /// T0: when the pod began to terminate.
    pub draining_since: Option<Time>,
    /// Whether the run ended by itself after SIGTERM (a run after that starts over: only the container was restarted).
    pub ended: bool,
    /// Number of failed exchanges in a row, and when the next may be made: backoff survives a restart.
    pub exchange_failures: u32,
    /// See [`Self::exchange_failures`].
    pub exchange_not_before: Option<Time>,
    /// The same for Azure DevOps.
    pub ado_failures: u32,
    /// See [`Self::ado_failures`].
    pub ado_not_before: Option<Time>,
}

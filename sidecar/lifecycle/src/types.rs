//! What goes in and what comes out: the whole surface between behavior and IO.

use crate::{Criteria, Shortlist};
use contract::{Drain, Marker, Reason};
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

/// A point in the server's time: seconds since 1970-01-01T00:00:00Z, as in `Date` headers and `createdOn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTime(pub i64);

/// What the machine has to know of its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name under which the agent is expected to register.
    pub agent_name: String,
    /// The marker that our agent carries.
    pub marker: Marker,
    /// Pool, by name.
    pub pool: String,
    /// Organization URL, for sentences.
    pub url: String,
    /// Client id, for sentences.
    pub client_id: String,
    /// Configured tenant; `None`: the organization is asked for it before the first exchange.
    pub tenant: Option<String>,
    /// The pod's termination grace period.
    pub grace: Duration,
    /// Whether the agent only holds a place in the pool, and stays there when the pod ends.
    pub placeholder: bool,
    /// A configuration that can never work (unknown contract version, Azure DevOps Server, host not allowed, …): the
    /// machine then asks nobody for anything, lets no agent start and says so until it is told to end.
    pub refusal: Option<Refusal>,
}

/// Why nothing will work until somebody changes the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The word.
    pub reason: Reason,
    /// What to do, for the user.
    pub sentence: String,
}

/// Names a token that the driver holds; the machine never sees the token itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u64);

/// Id of an agent pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub i64);

/// Id of an agent within its pool. `--replace` keeps it, so it says nothing about whose agent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub i64);

/// An agent as Azure DevOps describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// When it was created; `None` where the answer has no readable `createdOn`.
    pub created: Option<ServerTime>,
    /// Whether Azure DevOps may assign jobs to it.
    pub enabled: bool,
    /// Whether it has a session.
    pub online: bool,
    /// Whether a job is assigned to it; `None` where the answer was asked without.
    pub assigned: Option<bool>,
    /// Value of the capability `ADO_AGENT_OWNER`; `None` where the agent has none or the answer was asked without capabilities.
    pub owner: Option<String>,
}

/// One thing to do. The driver performs commands in order; [`Command::RequestToken`], [`Command::Ask`] and
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
    /// Let the drain file say this; not answered.
    WriteDrainFile(Drain),
    /// Ask Azure DevOps. Answered by [`Event::Answer`] with the same number. At most one question is open at a time, but
    /// for [`Event::Terminate`], after which the driver gives up the open one when a new one comes.
    Ask {
        /// Number of the question.
        number: u64,
        /// With this token; `None`: without any.
        token: Option<TokenId>,
        /// What is asked.
        question: Question,
        /// How long an answer may take.
        patience: Duration,
    },
    /// The status changed: log it, write the termination message, answer probes with it.
    Report(Status),
    /// Persist this for the next run of the container.
    Persist(Snapshot),
    /// Log a line that is no change of status.
    Note {
        /// Whether somebody should look at it.
        warning: bool,
        /// The word.
        reason: Reason,
        /// The sentence.
        sentence: String,
    },
    /// End the process; nothing comes after it.
    Exit(Outcome),
}

/// A question to Azure DevOps, one request each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Which tenant does the organization trust? (An unauthenticated request.)
    Tenant,
    /// Which pool has the name of the settings?
    Pool,
    /// May we manage the pool?
    MayManage(PoolId),
    /// Which agent has this name? (With capabilities and assigned request.)
    AgentByName(PoolId, String),
    /// Which agents of the pool may be ours? (Without capabilities.)
    Agents(PoolId, Criteria),
    /// One agent. (With capabilities and assigned request.)
    Agent(PoolId, AgentId),
    /// Take the agent out of service, or back.
    SetEnabled(PoolId, AgentId, bool),
    /// Remove the agent.
    Delete(PoolId, AgentId),
}

/// What Azure DevOps answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Tenant`]; `None`: it did not say.
    Tenant(Option<String>),
    /// To [`Question::Pool`]; `None`: missing or not visible.
    Pool(Option<PoolId>),
    /// To [`Question::MayManage`].
    MayManage(bool),
    /// To [`Question::AgentByName`] and [`Question::Agent`].
    Agents(Vec<Agent>),
    /// To [`Question::Agents`].
    Shortlist(Shortlist),
    /// To [`Question::SetEnabled`] and [`Question::Delete`].
    Done,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What was seen, for the sentence: status, server's message, activity id, cause. Never a secret.
    pub detail: String,
    /// The tenant that the organization trusts, where the answer said so (`X-VSS-ResourceTenant`).
    pub tenant: Option<String>,
}

/// Kinds of failure of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// No answer: name, connection, TLS, timeout.
    Unreachable,
    /// An answer that is not Azure DevOps': a proxy's HTML, a body that is no JSON, an unknown shape.
    Garbled,
    /// 5xx.
    Unavailable,
    /// 429.
    Throttled,
    /// 401, 203, 302: the token is not accepted.
    Unauthorized,
    /// The identity is no user of the organization (TF401444 and kin).
    IdentityUnknown,
    /// 403.
    Forbidden,
    /// 404: pool, agent or organization is not there.
    NotFound,
    /// 400 `TaskAgentJobStillRunningException`.
    JobRunning,
    /// Any other 4xx.
    Refused,
}

/// How Entra refused, by what it means for us (facts of the token endpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRefusal {
    /// The word; one of the Entra reasons.
    pub reason: Reason,
    /// What was seen, for the sentence: AADSTS code, trace and correlation id, issuer, subject and audience of the assertion. Never a secret.
    pub detail: String,
    /// How long Entra asks us to wait.
    pub retry_after: Option<Duration>,
    /// Whether the assertion file has other content than the last exchange had, so that an immediate retry makes sense.
    pub assertion_changed: bool,
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
    TokenRefused(TokenRefusal),
    /// The token file holds this token.
    TokenFileWritten(TokenId),
    /// It could not be written; the old content, if any, is intact.
    TokenFileFailed(String),
    /// Somebody removed the token file.
    TokenFileRemoved,
    /// Azure DevOps answered, or did not.
    Answer {
        /// Number of the question.
        number: u64,
        /// The answer.
        result: Result<Answer, Failure>,
        /// `Retry-After` of the answer, whatever its status.
        retry_after: Option<Duration>,
        /// `Date` of the answer.
        date: Option<ServerTime>,
    },
    /// The pod begins to leave (the `preStop` hook): T0.
    PreStop,
    /// SIGTERM: the agent container has ended, or the grace is used up and 2 seconds are left.
    Terminate,
}

/// What probe output, termination message and log say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The word.
    pub reason: Reason,
    /// One plain sentence: what, where, what to do.
    pub sentence: String,
    /// Whether the startup probe succeeds.
    pub agent_may_start: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The word; one of the outcomes.
    pub reason: Reason,
    /// One plain sentence.
    pub sentence: String,
}

impl Outcome {
    /// Whether nothing of ours stayed in the pool.
    pub fn is_clean(&self) -> bool {
        matches!(
            self.reason,
            Reason::Removed | Reason::AlreadyGone | Reason::Kept | Reason::NeverSeen | Reason::NotOurs
        )
    }
}

/// What survives a restart of the container (not of the pod).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// When the first run started, in the server's time as soon as it is known: agents created before are not ours.
    pub started: Option<ServerTime>,
    /// The agent that was first seen with our marker, with its `createdOn`.
    pub pinned: Option<(AgentId, Option<ServerTime>)>,
    /// Pool id.
    pub pool: Option<PoolId>,
    /// Whether the agent container was ever let start: until then there can be no agent of ours.
    pub admitted: bool,
    /// Tenant that the organization told us.
    pub tenant: Option<String>,
    /// The agent that we disabled ourselves.
    pub disabled: Option<AgentId>,
    /// When the pod began to leave.
    pub leaving_since: Option<Time>,
    /// Whether the run ended by itself after SIGTERM (a restart after that begins a new life).
    pub ended: bool,
    /// Number of failed exchanges in a row, and when the next may be made: back-off is not lost by restarting.
    pub exchange_failures: u32,
    /// See [`Self::exchange_failures`].
    pub exchange_not_before: Option<Time>,
    /// The same for Azure DevOps.
    pub ado_failures: u32,
    /// See [`Self::ado_failures`].
    pub ado_not_before: Option<Time>,
}

//! The messages between the machine and the gateway (handoff `gateway`).
//!
//! The gateway is a proxy in the pod: the agent talks to Azure DevOps through it. It allows a closed list of requests and adds the
//! token; the machine decides what depends on the pod's lifecycle: who may register, which polls end, when the agent is removed.

mod admissions;
mod observed;

pub(crate) use admissions::{ClosedReason, Operation, RegistrationPhase};
pub(crate) use observed::Gateway;

use crate::TokenId;
use azure_protocol::{AgentId, PoolId, ServerTime};

/// How the agent container gets what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handoff {
    /// The token, in a file.
    TokenFile,
    /// The gateway's address; the token stays in the sidecar.
    Gateway(Jobs),
}

/// How many jobs the agents of a pod may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// As many as come; a container that starts again registers again.
    Many,
    /// One: then the agent is removed, and nothing registers in this pod any more (annotation `once`).
    One,
}

/// The rules that the gateway applies until it gets new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The pool of the closed list. `None`: requests with the ticket are held for a while, then refused with `sentence`.
    pub pool: Option<PoolId>,
    /// The token that replaces the ticket. `None`: likewise.
    pub token: Option<TokenId>,
    /// The agent that this pod registered: requests with the ticket may name it by ID, and no other.
    pub own: Option<AgentId>,
    /// Agents of this pod that are gone: their polls and sessions, the open ones included, are answered "agent not found" at once,
    /// since the service does so only when a poll's time is up. The newest few.
    pub ended: Vec<AgentId>,
    /// What is still served.
    pub traffic: Traffic,
    /// The sidecar's status, for refusals.
    pub sentence: String,
}

/// What the gateway still serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Everything that is allowed.
    All,
    /// After SIGTERM the sidecar's CPU time is for the removal and for the listener, whose job may run on.
    OnlyPolls,
}

/// The answer to a registration, or to the lookup before one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The request continues.
    Go,
    /// It is refused with this sentence, which `config.sh` prints.
    Refused(String),
}

/// An event that the gateway reports. Sessions, polls and jobs count as far as they are of this pod's agent; a job can fake them,
/// and thereby harm its own pod only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayEvent {
    /// An agent is looked up by name with the ticket: what `config.sh` does before it registers, and before it removes. Answered
    /// by [`Command::AnswerRegistration`](crate::Command::AnswerRegistration) within a minute. A registration that is impossible is
    /// refused here, since `config.sh` tries a refused replacement again and again.
    RegistrationAsked {
        /// Number of the question.
        number: u64,
        /// The agent's name.
        name: String,
    },
    /// An agent is about to be registered with the ticket. Answered likewise; [`Admission::Go`] is followed by exactly one of
    /// [`Self::Registered`] and [`Self::RegistrationFailed`], also where nothing was sent.
    RegistrationBegins {
        /// Number of the question.
        number: u64,
        /// The agent's name.
        name: String,
    },
    /// Azure DevOps registered an agent.
    Registered {
        /// Its ID.
        id: AgentId,
        /// When it was created.
        created: Option<ServerTime>,
        /// Its name.
        name: String,
    },
    /// It did not, or its response was lost.
    RegistrationFailed(RegistrationFailure),
    /// Azure DevOps removed an agent by a request with the ticket.
    Unregistered {
        /// Its ID.
        id: AgentId,
    },
    /// A session of an agent was opened.
    SessionOpened {
        /// Which agent's.
        agent: AgentId,
    },
    /// A session of an agent was deleted: what a listener does last, after its job.
    SessionClosed {
        /// Which agent's.
        agent: AgentId,
    },
    /// A poll began. Every poll begins, and ends by one of the next two.
    PollOpened {
        /// Which agent's.
        agent: AgentId,
    },
    /// A poll was answered.
    PollAnswered {
        /// Which agent's.
        agent: AgentId,
        /// What the answer says of the agent.
        found: Found,
    },
    /// The client of a poll disconnected.
    PollClosed {
        /// Which agent's.
        agent: AgentId,
    },
    /// The lock of a job was renewed: a job runs. The listener does so every minute, the first time before the job starts.
    JobRenewed {
        /// Which agent's.
        agent: AgentId,
    },
    /// A job ended: it was reported finished, or its lock could not be renewed any more.
    JobEnded {
        /// Which agent's.
        agent: AgentId,
    },
    /// Azure DevOps did not accept the token that the gateway added.
    TokenRejected {
        /// Which token.
        token: TokenId,
    },
}

/// Why there is no new agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationFailure {
    /// The request was sent, and no answer came: it may have been registered.
    Unanswered,
    /// It was refused, or not sent.
    Refused,
}

/// What the response to a poll says about the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It exists, and its session is open.
    Agent,
    /// Azure DevOps does not know it any more.
    Nothing,
    /// Nothing about it: a failure of any other kind.
    Unknown,
}

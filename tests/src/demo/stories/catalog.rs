//! Which stories there are, with names and titles.

/// A story that the demo can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// A Deployment's pod, from apply to scale to 0.
    Deployment,
    /// A Job with `--once`, to completion.
    Job,
    /// Through the gateway: a job looks for a token, and the pod leaves while another one runs.
    Gateway,
    /// The token is replaced while the agent runs.
    TokenRefreshed,
    /// The federated credential comes late.
    CredentialLate,
    /// The agent is killed while idle.
    KilledIdle,
    /// The agent is killed while a job runs.
    KilledBusy,
    /// Three `--once` jobs in one Deployment pod.
    Restarts,
    /// Azure DevOps cannot be reached at the end.
    AdoDown,
}

impl Story {
    /// All stories, the demo's own first.
    pub const ALL: [Self; 9] = [
        Self::Deployment,
        Self::Job,
        Self::Gateway,
        Self::TokenRefreshed,
        Self::CredentialLate,
        Self::KilledIdle,
        Self::KilledBusy,
        Self::Restarts,
        Self::AdoDown,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Job => "job",
            Self::Gateway => "gateway",
            Self::TokenRefreshed => "token-refreshed",
            Self::CredentialLate => "credential-late",
            Self::KilledIdle => "killed-idle",
            Self::KilledBusy => "killed-busy",
            Self::Restarts => "restarts",
            Self::AdoDown => "ado-down",
        }
    }

    /// What it shows, in one sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Deployment => "A Deployment's pod registers, runs a job, is scaled to 0, and is gone from the pool.",
            Self::Job => "A Job runs one pipeline job with --once, completes, and is gone from the pool.",
            Self::Gateway => {
                "Through the gateway: a job looks for a token and finds none, and the pod leaves while another job runs."
            }
            Self::TokenRefreshed => {
                "The token is replaced while the agent runs; the removal at the end uses the new one. (About a minute.)"
            }
            Self::CredentialLate => {
                "The federated credential is created late and takes time to be known; nothing has to be restarted."
            }
            Self::KilledIdle => "The idle agent is killed with -9: the sidecar removes it.",
            Self::KilledBusy => {
                "The agent is killed with -9 under a job: Azure DevOps keeps it, and the sidecar says exactly that."
            }
            Self::Restarts => {
                "Three --once jobs in one Deployment pod: the container restarts in place and no stale agent stays."
            }
            Self::AdoDown => {
                "Azure DevOps cannot be reached at the end: the sidecar says that the agent may have stayed."
            }
        }
    }

    /// Finds a story by name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|story| story.name() == name)
    }
}

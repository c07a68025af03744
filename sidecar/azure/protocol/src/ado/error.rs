//! Why a request to Azure DevOps failed.

/// Why a request to Azure DevOps failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoError {
    /// What kind of error.
    pub kind: AdoErrorKind,
    /// What was seen, for a person: status, server's message, activity ID, cause. Never a secret.
    pub detail: String,
    /// The tenant that the organization trusts, where the response said so (`X-VSS-ResourceTenant`).
    pub tenant: Option<String>,
}

impl AdoError {
    /// An error of this kind, without anything that the server said of the tenant.
    pub fn new(kind: AdoErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            tenant: None,
        }
    }
}

/// What is said of a response that is longer than any that is read.
pub(super) const TOO_LONG: &str = "the response is longer than 16 MiB";

/// Kinds of errors of a request to Azure DevOps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdoErrorKind {
    /// No response: name, connection, TLS, timeout.
    Unreachable,
    /// A response that is not Azure DevOps': a proxy's HTML, a body that is not JSON or has an unknown shape.
    UnexpectedResponse,
    /// 5xx, 408.
    Unavailable,
    /// 429.
    Throttled,
    /// 401, 203, 302: the token is not accepted.
    Unauthorized,
    /// The identity is not a user of the organization (TF401444 and similar).
    IdentityUnknown,
    /// 403.
    Forbidden,
    /// 404, 410: pool, agent or organization does not exist.
    NotFound,
    /// 400 `TaskAgentJobStillRunningException`.
    JobRunning,
    /// Any other 4xx.
    Refused,
}

//! The webhook's decision and its patch: what happens to a pod, as functions on values.
//!
//! **Invariant:** no clock, no IO, no randomness; the same input gives the same bytes. **Invariant:** the patch is made
//! against the raw object, so fields that our Kubernetes types do not know survive. **Invariant:** no input panics.

mod settings;

pub use settings::{FederatedToken, LogLevel, Settings};

use contract::Reason;
use serde_json::Value;

/// What the admission request says beside the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Namespace of the request; the object's own may be missing.
    pub namespace: &'a str,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// API group of the resource, empty for core.
    pub group: &'a str,
    /// Plural name of the resource.
    pub resource: &'a str,
    /// Subresource, empty for none.
    pub subresource: &'a str,
}

/// What is known of the pod's ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceAccount {
    /// It exists, with these annotations of azwi's (empty strings are absent).
    Found {
        /// `azure.workload.identity/client-id`.
        client_id: Option<String>,
        /// `azure.workload.identity/tenant-id`.
        tenant_id: Option<String>,
    },
    /// It does not exist.
    Missing,
    /// It could not be read; the sentence says why.
    Unreadable(String),
    /// Nobody asked, since [`needs`] said `None`.
    NotAsked,
}

/// What happens to the object.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The sidecar is injected.
    Inject(Box<Plan>),
    /// The object stays as it is.
    Skip(Reason),
    /// The object is refused.
    Deny(Denial),
}

/// Why an object is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The word for logs and metrics.
    pub reason: Reason,
    /// The sentence that a user reads: key, value and what to do.
    pub sentence: String,
}

/// What will be added to the pod, before it is a patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    _unfinished: (),
}

/// Name of the ServiceAccount (in the request's namespace) whose annotations the decision depends on; `None` where it can
/// be made without.
pub fn needs(_pod: &Value, _request: &Request<'_>, _settings: &Settings) -> Option<String> {
    None
}

/// Decides what happens to the object.
pub fn decide(_pod: &Value, _request: &Request<'_>, _account: &ServiceAccount, _settings: &Settings) -> Decision {
    Decision::Skip(Reason::NotAPodCreation)
}

impl Plan {
    /// The patch against the raw object.
    pub fn patch(&self, _pod: &Value) -> json_patch::Patch {
        json_patch::Patch(Vec::new())
    }

    /// What the user should know; each fits the API server's 256 characters.
    pub fn warnings(&self) -> &[String] {
        &[]
    }
}

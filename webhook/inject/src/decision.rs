//! The decision: inject, skip or deny.

use crate::candidate::Candidate;
use crate::eligibility::creates_pod;
use crate::identity::{self, Identity};
use crate::plan::Plan;
use crate::review::MOST_VALUES;
use crate::{Context, Denial, patch};
use contract::{DenyReason, SkipReason};
use serde_json::Value;

/// What the admission request says besides the object.
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

impl<'a> Request<'a> {
    /// The creation of a pod.
    pub const fn create_pod(namespace: &'a str) -> Self {
        Self {
            namespace,
            operation: "CREATE",
            group: "",
            resource: "pods",
            subresource: "",
        }
    }
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
    /// It could not be read; the text says why.
    Unreadable(String),
}

/// What happens to the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The sidecar is injected.
    Inject(Injection),
    /// The object stays as it is.
    Skip {
        /// Why.
        reason: SkipReason,
        /// What the user should know, within the same bounds as of an [`Injection`].
        warnings: Vec<String>,
    },
    /// The object is refused.
    Deny(Denial),
}

/// What happens to a pod that gets the sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// A JSON Patch (RFC 6902) against the raw object, as its JSON text.
    pub patch: Vec<u8>,
    /// What the user should know; each fits the API server's 256 characters, and all of them its 4096.
    pub warnings: Vec<String>,
}

impl Decision {
    pub(crate) fn skip(reason: SkipReason) -> Self {
        let warnings = Vec::new();
        Self::Skip { reason, warnings }
    }

    /// `injected`, `skipped` or `denied`, for logs and metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Inject(_) => "injected",
            Self::Skip { .. } => "skipped",
            Self::Deny(_) => "denied",
        }
    }

    /// The reason's word, for logs and metrics; an injection has none of its own and repeats its outcome.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Inject(_) => self.outcome(),
            Self::Skip { reason, .. } => reason.as_str(),
            Self::Deny(denial) => denial.reason.as_str(),
        }
    }

    /// What the user should know.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Inject(injection) => &injection.warnings,
            Self::Skip { warnings, .. } => warnings,
            Self::Deny(_) => &[],
        }
    }
}

impl From<Denial> for Decision {
    fn from(denial: Denial) -> Self {
        Self::Deny(denial)
    }
}

/// What can be said of an object before its ServiceAccount is known.
#[derive(Debug)]
pub enum Inspection<'a> {
    /// Everything.
    Decided(Decision),
    /// The decision depends on annotations of the pod's ServiceAccount.
    NeedsAccount(Box<Pending<'a>>),
}

/// A pod whose ServiceAccount has to be looked up.
#[derive(Debug)]
pub struct Pending<'a> {
    candidate: Candidate<'a>,
    object: &'a Value,
    namespace: &'a str,
    context: Context<'a>,
}

/// What is decided about an object that has too many values to be read: such a pod is denied, since the API server sends
/// only pods that ask for the sidecar.
pub(crate) fn decide_too_large(values: usize, request: &Request<'_>) -> Decision {
    if !creates_pod(request) {
        return Decision::skip(SkipReason::NotAPodCreation);
    }
    Decision::Deny(Denial::new(
        DenyReason::PodTooLarge,
        format!(
            "the pod consists of {values} JSON values and the webhook reads at most {MOST_VALUES}; shorten its longest \
             lists (environment variables, annotations, containers), for instance by moving them into a ConfigMap, or \
             remove label {}",
            contract::INJECT_LABEL
        ),
    ))
}

/// Inspects the object, and decides where that needs no ServiceAccount.
pub fn inspect<'a>(object: &'a Value, request: &Request<'a>, context: Context<'a>) -> Inspection<'a> {
    let candidate = match Candidate::find(object, request, context) {
        Ok(candidate) => candidate,
        Err(decision) => return Inspection::Decided(decision),
    };
    let pending = Pending {
        candidate,
        object,
        namespace: request.namespace,
        context,
    };
    match identity::of_pod(&pending.candidate.overrides, &pending.candidate.azwi) {
        Some(identity) => Inspection::Decided(pending.inject(&identity)),
        None => Inspection::NeedsAccount(Box::new(pending)),
    }
}

/// Decides what happens to the object where its ServiceAccount is known already.
pub fn decide(object: &Value, request: &Request<'_>, account: &ServiceAccount, context: Context<'_>) -> Decision {
    match inspect(object, request, context) {
        Inspection::Decided(decision) => decision,
        Inspection::NeedsAccount(pending) => pending.decide(account),
    }
}

impl Pending<'_> {
    /// Name of the ServiceAccount, in the request's namespace. It is a valid name, whatever the pod says.
    pub fn account(&self) -> &str {
        self.candidate.account
    }

    /// Decides what happens to the object.
    pub fn decide(self, account: &ServiceAccount) -> Decision {
        match identity::of_account(
            &self.candidate.overrides,
            self.candidate.account,
            account,
            self.context.settings,
        ) {
            Ok(identity) => self.inject(&identity),
            Err(denial) => denial.into(),
        }
    }

    fn inject(self, identity: &Identity<'_>) -> Decision {
        match Plan::new(self.candidate, identity, self.namespace, self.context) {
            Ok(plan) => Decision::Inject(Injection {
                patch: patch::patch(&plan, self.object),
                warnings: plan.warnings,
            }),
            Err(denial) => denial.into(),
        }
    }
}

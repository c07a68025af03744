//! The decision: inject, skip or deny.

use crate::agent;
use crate::azwi::{self, Azwi};
use crate::environment::Environment;
use crate::identity;
use crate::organization::{self, Organization};
use crate::overrides::Overrides;
use crate::plan::Plan;
use crate::raw::{self, Container, Pod};
use crate::review::MOST_VALUES;
use crate::text::quote;
use crate::values::{is_label, is_subdomain};
use crate::{Settings, injected, limits, node, patch};
use contract::Reason;
use serde_json::Value;

/// Annotation of a static pod's mirror (kubernetes/kubernetes `pkg/kubelet/types`, `ConfigMirrorAnnotationKey`).
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

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
    /// Nobody asked, since [`Inspection::account`] said `None`.
    NotAsked,
}

/// What happens to the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The sidecar is injected.
    Inject(Injection),
    /// The object stays as it is.
    Skip {
        /// Why.
        reason: Reason,
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

/// Why an object is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The word for logs and metrics.
    pub reason: Reason,
    /// The sentence that a user reads: key, value and what to do.
    pub sentence: String,
}

impl Denial {
    pub(crate) fn new(reason: Reason, sentence: String) -> Self {
        Self { reason, sentence }
    }
}

impl Decision {
    fn skip(reason: Reason) -> Self {
        let warnings = Vec::new();
        Self::Skip { reason, warnings }
    }
}

impl From<Denial> for Decision {
    fn from(denial: Denial) -> Self {
        Self::Deny(denial)
    }
}

/// A pod that will be injected unless its identity says otherwise.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) pod: Pod<'a>,
    /// Position of the agent in `spec.containers`.
    pub(crate) position: usize,
    pub(crate) agent: Container<'a>,
    /// The agent's place, for sentences.
    pub(crate) path: String,
    pub(crate) overrides: Overrides<'a>,
    pub(crate) azwi: Azwi<'a>,
    pub(crate) environment: Environment<'a>,
    pub(crate) organization: Organization<'a>,
    pub(crate) account: &'a str,
}

/// What can be said of an object before its ServiceAccount is known. A review makes it once: the look-up of the account
/// comes between the inspection and the decision.
#[derive(Debug)]
pub struct Inspection<'a> {
    found: Result<Candidate<'a>, Decision>,
    object: &'a Value,
    namespace: &'a str,
    settings: &'a Settings,
}

/// What is decided about an object that has too many values to be read: such a pod is denied, since the API server sends
/// only pods that ask for the sidecar.
pub fn decide_too_large(values: usize, request: &Request<'_>) -> Decision {
    if !creates_pod(request) {
        return Decision::skip(Reason::NotAPodCreation);
    }
    Decision::Deny(Denial::new(
        Reason::PodTooLarge,
        format!(
            "the pod consists of {values} JSON values and the webhook reads at most {MOST_VALUES}; shorten its longest \
             lists (environment variables, annotations, containers), for instance by moving them into a ConfigMap, or \
             remove label {}",
            contract::INJECT_LABEL
        ),
    ))
}

/// Inspects the object.
pub fn inspect<'a>(object: &'a Value, request: &Request<'a>, settings: &'a Settings) -> Inspection<'a> {
    Inspection {
        found: candidate(object, request, settings),
        object,
        namespace: request.namespace,
        settings,
    }
}

/// Decides what happens to the object where its ServiceAccount is known already.
pub fn decide(object: &Value, request: &Request<'_>, account: &ServiceAccount, settings: &Settings) -> Decision {
    inspect(object, request, settings).decide(account)
}

impl Inspection<'_> {
    /// Name of the ServiceAccount (in the request's namespace) whose annotations the decision depends on; `None` where it
    /// can be made without. The name is a valid one, whatever the pod says.
    pub fn account(&self) -> Option<&str> {
        let candidate = self.found.as_ref().ok()?;
        identity::needs_account(&candidate.overrides, &candidate.azwi).then_some(candidate.account)
    }

    /// Decides what happens to the object.
    pub fn decide(self, account: &ServiceAccount) -> Decision {
        self.try_decide(account).unwrap_or_else(|decision| decision)
    }

    fn try_decide(self, account: &ServiceAccount) -> Result<Decision, Decision> {
        let candidate = self.found?;
        let identity = identity::resolve(
            &candidate.overrides,
            &candidate.azwi,
            candidate.account,
            account,
            self.settings,
        )?;
        let plan = Plan::new(candidate, &identity, self.namespace, self.settings)?;
        Ok(Decision::Inject(Injection {
            patch: patch::patch(&plan, self.object),
            warnings: plan.warnings,
        }))
    }
}

/// Everything that can be decided without the ServiceAccount, in the order that `docs/what-the-webhook-does.md` gives.
fn candidate<'a>(object: &'a Value, request: &Request<'_>, settings: &'a Settings) -> Result<Candidate<'a>, Decision> {
    let pod = asks(object, request)?;
    can_run(&pod, request, settings)?;
    agent::check_names(&pod)?;
    let overrides = Overrides::read(&pod, settings)?;
    limits::check(&overrides, settings)?;
    let containers = pod.containers("containers")?;
    let position = agent::choose(&containers, &overrides)?;
    let agent = containers[position];
    let path = format!("spec.containers[{position}].");
    agent::check_agent(agent, &path)?;
    let azwi = azwi::read(&pod, agent.name, &overrides, settings)?;
    let environment = Environment::read(agent, &path)?;
    let organization = organization::find(agent.name, &environment, &overrides, settings)?;
    let account = pod.service_account()?;
    if !is_subdomain(account) {
        return Err(malformed(format!(
            "spec.serviceAccountName is {}, which is no name of a ServiceAccount",
            quote(account)
        )));
    }
    Ok(Candidate {
        pod,
        position,
        agent,
        path,
        overrides,
        azwi,
        environment,
        organization,
        account,
    })
}

fn creates_pod(request: &Request<'_>) -> bool {
    let Request {
        namespace: _,
        operation,
        group,
        resource,
        subresource,
    } = request;
    (*operation, *group, *resource, *subresource) == ("CREATE", "", "pods", "")
}

/// Whether the object is a pod that asks for the sidecar and does not have it yet.
fn asks<'a>(object: &'a Value, request: &Request<'_>) -> Result<Pod<'a>, Decision> {
    let is_pod_creation = creates_pod(request)
        && object
            .get("kind")
            .and_then(Value::as_str)
            .is_none_or(|kind| kind == "Pod");
    if !is_pod_creation {
        return Err(Decision::skip(Reason::NotAPodCreation));
    }
    let root = raw::as_object(object, "the object")?;
    let metadata = raw::object(root, "metadata", "")?;
    let part = |key| metadata.map_or(Ok(None), |metadata| raw::object(metadata, key, "metadata."));
    let (labels, annotations) = (part("labels")?, part("annotations")?);
    let empty = Pod {
        metadata,
        labels,
        annotations,
        spec: root,
    };
    if annotations.is_some_and(|annotations| annotations.contains_key(MIRROR_ANNOTATION)) {
        return Err(Decision::skip(Reason::MirrorPod));
    }
    match empty.label(contract::INJECT_LABEL)? {
        None => return Err(Decision::skip(Reason::NotLabeled)),
        Some("false") => return Err(Decision::skip(Reason::OptedOut)),
        Some("true") => {}
        Some(other) => {
            return Err(Decision::Deny(Denial::new(
                Reason::BadLabel,
                format!(
                    "label {} is {}; expected \"true\" (inject the sidecar) or \"false\" (leave the pod alone)",
                    contract::INJECT_LABEL,
                    quote(other)
                ),
            )));
        }
    }
    let spec =
        raw::object(root, "spec", "")?.ok_or_else(|| malformed("the pod is malformed: spec is missing".to_owned()))?;
    let pod = Pod {
        metadata,
        labels,
        annotations,
        spec,
    };
    match injected::before(&pod)? {
        None => Ok(pod),
        Some(decision) => Err(decision),
    }
}

/// Whether the sidecar can work in this pod at all.
fn can_run(pod: &Pod<'_>, request: &Request<'_>, settings: &Settings) -> Result<(), Decision> {
    // It becomes part of the ownership marker and of the path of an API call.
    if !is_label(request.namespace) {
        return Err(malformed(format!(
            "the request's namespace is {}, which is no name of a namespace",
            quote(request.namespace)
        )));
    }
    if let Some(place) = node::windows(pod)? {
        return Err(Decision::Deny(Denial::new(
            Reason::WindowsPod,
            format!(
                "{place} makes it a Windows pod, but the sidecar is a Linux program; remove label {}",
                contract::INJECT_LABEL
            ),
        )));
    }
    if !settings.native_sidecars {
        return Err(Decision::Deny(Denial::new(
            Reason::NoNativeSidecars,
            "the API server does not keep an init container's restartPolicy, so the pod would wait for the sidecar forever; \
             the sidecar needs Kubernetes 1.29 or later"
                .to_owned(),
        )));
    }
    Ok(())
}

fn malformed(sentence: String) -> Decision {
    Decision::Deny(Denial::new(Reason::MalformedPod, sentence))
}

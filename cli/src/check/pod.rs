//! What the API server, and through it the webhook, says of a labeled pod in the namespace: a server-side dry run.

use super::CheckReason;
use super::intent::sidecar;
use super::looked::{Looked, not_permitted};
use super::webhook::NAME;
use crate::problem::{Finding, shared};
use contract::DenyReason;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// What was seen of namespace and pod.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The namespace's name.
    pub(crate) namespace: String,
    /// Its labels.
    pub(crate) labels: Looked<BTreeMap<String, String>>,
    /// What came of the dry run; `None`: the webhook is not to be there yet.
    pub(crate) tried: Option<Tried>,
}

/// What came of creating the pod, which the API server then did not keep.
#[derive(Debug, Clone)]
pub(crate) enum Tried {
    /// It would be created like this.
    Created(Box<Pod>),
    /// It would be refused.
    Refused {
        /// HTTP status.
        code: u16,
        /// The API server's sentence.
        message: String,
    },
    /// The API server could not be asked.
    Failed(String),
}

impl Tried {
    /// The pod as it would be created.
    pub(crate) fn pod(&self) -> Option<&Pod> {
        match self {
            Self::Created(pod) => Some(pod),
            Self::Refused { .. } | Self::Failed(_) => None,
        }
    }
}

/// Labels on a namespace that keep the webhook away, as the shipped selector has them.
const KEEPS_AWAY: [(&str, Option<&str>); 2] =
    [("control-plane", None), ("kubernetes.azure.com/managedby", Some("aks"))];
const POD: &str = "pod (dry run)";

/// What that means.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let label = label(facts);
    let is_labeled = label.problem.is_none();
    let mut findings = vec![label];
    if let Some(tried) = &facts.tried {
        findings.push(of_pod(tried, &facts.namespace, is_labeled));
    }
    findings
}

fn label(facts: &Facts) -> Finding {
    const SUBJECT: &str = "namespace";
    let name = &facts.namespace;
    let missing = || {
        Finding::bad(
            SUBJECT,
            format!("Namespace {name} does not exist."),
            CheckReason::NamespaceMissing.fix(format!(
                "Create it (`kubectl create namespace {name}`), or name another one with --namespace."
            )),
        )
    };
    let labels = match facts.labels.or_finding(SUBJECT, missing) {
        Ok(labels) => labels,
        Err(finding) => return finding,
    };
    let inject = contract::INJECT_LABEL;
    if labels.get(inject).map(String::as_str) != Some("true") {
        let sentence = match labels.get(inject) {
            Some(other) => {
                format!("Namespace {name} has the label {inject} with the value \"{other}\" instead of \"true\".")
            }
            None => format!("Namespace {name} has not opted in: it lacks the label {inject}."),
        };
        let fix = format!("kubectl label namespace {name} {inject}=true --overwrite");
        return Finding::bad(
            SUBJECT,
            sentence,
            CheckReason::NamespaceNotLabeled.fix(format!("`{fix}`")),
        );
    }
    let away = KEEPS_AWAY.iter().find(|(key, value)| {
        labels
            .get(*key)
            .is_some_and(|found| value.is_none_or(|value| found == value))
    });
    match away {
        Some((key, _)) => Finding::bad(
            SUBJECT,
            format!("Namespace {name} has the label {key}, which keeps webhooks away."),
            CheckReason::NamespaceNotLabeled.fix("Use a namespace of your own for the agents."),
        ),
        None => Finding::good(SUBJECT, format!("{name} has opted in.")),
    }
}

fn of_pod(tried: &Tried, namespace: &str, is_labeled: bool) -> Finding {
    match tried {
        Tried::Created(pod) if sidecar(pod).is_some() => {
            Finding::good(POD, format!("A labeled pod in {namespace} would get its sidecar."))
        }
        Tried::Created(_) => Finding::bad(
            POD,
            format!("A labeled pod in {namespace} would start without a sidecar: the API server did not ask the webhook."),
            CheckReason::NotInjected.fix(if is_labeled {
                "Look at the selectors and the matchConditions of the registration: `kubectl get mutatingwebhookconfiguration ado-agent-injector -o yaml`."
            } else {
                "Label the namespace, as said above."
            }),
        ),
        Tried::Failed(why) => Finding::bad(
            POD,
            format!("The API server could not be asked: {why}"),
            CheckReason::ClusterUnreachable.fix("Run this again."),
        ),
        Tried::Refused { code, message } => refused(*code, message),
    }
}

/// Whose refusal it is.
fn refused(code: u16, message: &str) -> Finding {
    if let Some(sentence) = message.split_once(&format!("admission webhook \"{NAME}\" denied the request: ")) {
        return denied(sentence.1);
    }
    if message.contains(&format!("failed calling webhook \"{NAME}\"")) {
        return not_called(message);
    }
    if code == 403 && message.contains("cannot create resource \"pods\"") {
        return not_permitted(POD, message);
    }
    Finding::bad(
        POD,
        format!("The API server refuses it: {message}"),
        CheckReason::PodRefused.fix("If it names the container \"agent\" of the trial pod, what it asks for is asked of your agents, too: a limit, a user, a label. Make room in the quota, or change the policy."),
    )
}

/// The webhook's sentence begins with its reason.
fn denied(sentence: &str) -> Finding {
    let known = sentence.split_once(": ").and_then(|(word, rest)| {
        let reason = DenyReason::ALL.iter().find(|reason| reason.as_str() == word)?;
        Some((*reason, rest))
    });
    let Some((reason, sentence)) = known else {
        return Finding::bad(
            POD,
            format!("The webhook denies it: {sentence}"),
            CheckReason::PodRefused.fix("The sentence says what to change."),
        );
    };
    Finding::bad(
        POD,
        format!("The webhook denies it: {sentence}"),
        shared(reason, what_to_do(reason)),
    )
}

/// What a person does about a denial of the trial pod, beyond what the webhook's sentence says.
fn what_to_do(reason: DenyReason) -> &'static str {
    const KNOWN: [(DenyReason, &str); 5] = [
        (
            DenyReason::NoIdentity,
            "Annotate the ServiceAccount: `kubectl annotate serviceaccount NAME azure.workload.identity/client-id=CLIENT-ID`.",
        ),
        (
            DenyReason::AccountMissing,
            "Create the ServiceAccount, or name the one that your agents use with --service-account.",
        ),
        (
            DenyReason::NoUrl,
            "Name the organization with --url (or AZP_URL), as your pod template does in AZP_URL.",
        ),
        (
            DenyReason::BadUrl,
            "Correct --url (or AZP_URL), or let the operator of the webhook allow its host.",
        ),
        (
            DenyReason::AccountUnreadable,
            "Look at the ClusterRoleBinding ado-agent-webhook and at the webhook's log.",
        ),
    ];
    let known = KNOWN.iter().find(|(one, _)| *one == reason);
    known.map_or("The sentence says what to change; the page says why.", |(_, fix)| fix)
}

fn not_called(message: &str) -> Finding {
    let cause = message
        .rsplit_once("failed to call webhook: ")
        .map_or(message, |(_, cause)| cause);
    if cause.contains("x509: certificate") || cause.contains("certificate signed by unknown authority") {
        return Finding::bad(
            POD,
            format!("The API server refuses the webhook's certificate: {cause}"),
            CheckReason::CaMismatch.fix("See the line about the webhook's certificate."),
        );
    }
    Finding::bad(
        POD,
        format!("The API server cannot call the webhook: {cause}"),
        CheckReason::WebhookUnreachable.fix("If the webhook's pods are ready, the control plane cannot reach port 10250 of its pods: firewall rules of private clusters, NetworkPolicies, an overlay network. `kubectl -n ado-agent-system get pods,endpointslices`"),
    )
}

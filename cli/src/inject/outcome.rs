//! What becomes of each pod of the manifests.

use super::{Automount, Purpose, World, apply, pod};
use crate::manifest::workload::{Workload, workloads};
use crate::manifest::{Document, joined};
use contract::INJECT_LABEL;
use inject::review::Incoming;
use inject::{Context, Decision, Inspection};
use serde_json::{Value, json};

/// What becomes of one pod.
#[derive(Debug)]
pub struct Outcome {
    /// Position of the document in the stream.
    pub document: usize,
    /// The file, and the line on which the document begins.
    pub place: String,
    /// What makes the pod.
    pub workload: Workload,
    /// Its namespace.
    pub namespace: String,
    /// The pod, as the webhook would see it.
    pub pod: Value,
    /// What happens to it.
    pub verdict: Verdict,
}

/// What happens to a pod.
#[derive(Debug)]
pub enum Verdict {
    /// The webhook decides.
    Decided {
        /// What it decides.
        decision: Decision,
        /// Its JSON Patch; empty where it changes nothing.
        patch: Vec<Value>,
    },
    /// The API server does not send it; the sentence says why.
    NotSent(String),
}

impl Outcome {
    /// Whether the pod would not be created.
    pub fn is_refused(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Decided {
                decision: Decision::Deny(_),
                ..
            }
        )
    }

    /// The pod as the webhook would leave it.
    pub fn patched(&self) -> Value {
        let mut pod = self.pod.clone();
        if let Verdict::Decided { patch, .. } = &self.verdict {
            apply(&mut pod, patch);
        }
        pod
    }
}

/// Decides about every pod of the manifests.
pub fn outcomes(documents: &[Document], world: &World, purpose: Purpose) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        for workload in workloads(&document.value) {
            let Some(template) = document.value.pointer(&workload.pod) else {
                continue;
            };
            let namespace = workload.namespace.clone().unwrap_or_else(|| world.namespace.clone());
            let automount = account_of(template).map_or(Automount::Yes, |account| {
                world.accounts.get(&namespace, account).automount
            });
            let pod = pod::created(&workload, template, &namespace, automount);
            outcomes.push(Outcome {
                document: position,
                place: format!("{}:{}", document.source, document.first_line()),
                verdict: verdict(&pod, &namespace, world, purpose),
                workload,
                namespace,
                pod,
            });
        }
    }
    outcomes
}

/// Name of the ServiceAccount that a template names.
pub(super) fn account_of(template: &Value) -> Option<&str> {
    let name = |key: &str| template["spec"][key].as_str().filter(|name| !name.is_empty());
    name("serviceAccountName")
        .or_else(|| name("serviceAccount"))
        .or(Some("default"))
}

fn verdict(pod: &Value, namespace: &str, world: &World, purpose: Purpose) -> Verdict {
    let labels = world.namespaces.get(namespace);
    let asks = pod["metadata"]["labels"].get(INJECT_LABEL).is_some();
    if purpose == Purpose::Preview
        && asks
        && let Some(sentence) = world.selectors.keeps_away(pod, (namespace, labels))
    {
        return Verdict::NotSent(sentence);
    }
    let decision = decide(pod, namespace, world);
    let patch = match &decision {
        Decision::Inject(injection) => serde_json::from_slice(&injection.patch).unwrap_or_default(),
        Decision::Skip { .. } | Decision::Deny(_) => Vec::new(),
    };
    Verdict::Decided { decision, patch }
}

/// Decides as the webhook does, from the review on: it also counts what the pod consists of.
fn decide(pod: &Value, namespace: &str, world: &World) -> Decision {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "manifest", "operation": "CREATE", "namespace": namespace, "object": pod,
        "resource": {"group": "", "version": "v1", "resource": "pods"},
    }});
    let incoming = Incoming::parse(review.to_string().as_bytes()).expect("the review was made just now");
    let context = Context {
        settings: &world.settings,
        cluster: &world.facts,
    };
    match incoming.inspect(context) {
        Inspection::Decided(decision) => decision,
        Inspection::NeedsAccount(pending) => {
            let account = world.accounts.get(namespace, pending.account()).identity.clone();
            pending.decide(&account)
        }
    }
}

/// The manifests with the pods as the webhook would leave them. What it does not change is as it was, byte for byte.
pub fn injected(documents: &[Document], outcomes: &[Outcome]) -> String {
    joined(documents.iter().enumerate().map(|(position, document)| {
        let mut value = document.value.clone();
        for outcome in outcomes.iter().filter(|outcome| outcome.document == position) {
            let Verdict::Decided { patch, .. } = &outcome.verdict else {
                continue;
            };
            if let Some(template) = value.pointer_mut(&outcome.workload.pod) {
                apply(template, patch);
            }
        }
        (document, document.with(&value))
    }))
}

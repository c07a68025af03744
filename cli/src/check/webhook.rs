//! The webhook as the API server knows it: registered, selecting the right pods, before azwi, with pods that are ready and a
//! certificate that the API server accepts.

use super::CheckReason;
use super::certificate;
use super::looked::{Looked, not_permitted};
use super::selector::selects;
use crate::problem::Finding;
use azure_protocol::ServerTime;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// What was seen of the webhook.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Every registration of a mutating webhook.
    pub(crate) configurations: Looked<Vec<MutatingWebhookConfiguration>>,
    /// Its pods.
    pub(crate) pods: Looked<Vec<Pod>>,
    /// The chain of certificates (DER) that one of them serves; `None`: none was asked.
    pub(crate) served: Option<Looked<Vec<Vec<u8>>>>,
    /// Now.
    pub(crate) now: ServerTime,
}

/// Name of the webhook within its configuration.
pub(crate) const NAME: &str = "inject.ado-agent.dev";
const REGISTRATION: &str = "webhook";

/// What that means.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let configurations = match facts.configurations.or_finding(REGISTRATION, missing) {
        Ok(configurations) => configurations,
        Err(finding) => return vec![finding],
    };
    let ours = registered(configurations);
    let [(name, webhook)] = ours.as_slice() else {
        return vec![if ours.is_empty() { missing() } else { twice(&ours) }];
    };
    let mut findings = vec![
        registration(name, webhook),
        order(name, configurations),
        pods(&facts.pods),
    ];
    findings.push(served(facts, webhook));
    findings
}

/// Our webhook with the name of its configuration.
pub(crate) fn registered(configurations: &[MutatingWebhookConfiguration]) -> Vec<(&str, &MutatingWebhook)> {
    configurations
        .iter()
        .flat_map(|configuration| {
            let name = configuration.metadata.name.as_deref().unwrap_or_default();
            let webhooks = configuration.webhooks.iter().flatten();
            webhooks
                .filter(|webhook| webhook.name == NAME)
                .map(move |webhook| (name, webhook))
        })
        .collect()
}

fn missing() -> Finding {
    Finding::bad(
        REGISTRATION,
        format!("No MutatingWebhookConfiguration has a webhook {NAME}: pods start without a sidecar."),
        CheckReason::WebhookMissing.fix("Install it: `kubectl apply -k manifests/base`. Before that, `ado-agent check --pre` looks at what it needs."),
    )
}

fn twice(ours: &[(&str, &MutatingWebhook)]) -> Finding {
    let names: Vec<_> = ours.iter().map(|(name, _)| *name).collect();
    Finding::bad(
        REGISTRATION,
        format!("It is registered {} times: {}.", ours.len(), names.join(", ")),
        CheckReason::WebhookChanged.fix(format!(
            "Delete all but {}: `kubectl delete mutatingwebhookconfiguration NAME`.",
            contract::WEBHOOK_CONFIGURATION
        )),
    )
}

/// Does it select the pods that ask, in the namespaces that opted in, and no others?
fn registration(name: &str, webhook: &MutatingWebhook) -> Finding {
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let own_name = ("kubernetes.io/metadata.name", "agents");
    let namespaces = |labels: &BTreeMap<_, _>| selects(webhook.namespace_selector.as_ref(), labels);
    let pods = |labels: &BTreeMap<_, _>| selects(webhook.object_selector.as_ref(), labels);
    let creates_pods = webhook.rules.iter().flatten().any(|rule| {
        let has = |list: &Option<Vec<String>>, value: &str| list.iter().flatten().any(|one| one == value || one == "*");
        has(&rule.operations, "CREATE") && has(&rule.resources, "pods") && has(&rule.api_groups, "")
    });
    let mut wrong = Vec::new();
    if !creates_pods {
        wrong.push("its rules do not name the creation of pods");
    }
    if !namespaces(&labels(&[own_name, (contract::INJECT_LABEL, "true")])) {
        wrong.push("a namespace with the label is not selected");
    }
    if namespaces(&labels(&[own_name])) {
        wrong.push("namespaces without the label are selected");
    }
    if !pods(&labels(&[(contract::INJECT_LABEL, "true")])) {
        wrong.push("a pod with the label is not selected");
    }
    if pods(&labels(&[])) {
        wrong.push("pods without the label are selected and would depend on it");
    }
    if !["None", "NoneOnDryRun"].contains(&webhook.side_effects.as_str()) {
        wrong.push("it declares side effects, so that a dry run is refused");
    }
    if !wrong.is_empty() {
        return Finding::bad(
            REGISTRATION,
            format!("The registration {name} is not as it was shipped: {}.", wrong.join("; ")),
            CheckReason::WebhookChanged.fix("Apply the shipped one again: `kubectl apply -k manifests/base` (or your overlay); look for a tool that changes it."),
        );
    }
    let policy = match webhook.failure_policy.as_deref() {
        Some("Ignore") => {
            "while it cannot be reached, pods start without a sidecar unless a policy forbids that (failurePolicy: Ignore)"
        }
        _ => "a labeled pod waits while it cannot be reached (failurePolicy: Fail)",
    };
    Finding::good(
        REGISTRATION,
        format!("{name} selects labeled pods in labeled namespaces; {policy}."),
    )
}

/// The API server calls mutating webhooks in the order of their configurations' names.
fn order(name: &str, configurations: &[MutatingWebhookConfiguration]) -> Finding {
    const SUBJECT: &str = "webhook order";
    let names = configurations
        .iter()
        .filter_map(|configuration| configuration.metadata.name.as_deref());
    let azwi: Vec<_> = names.filter(|name| name.starts_with("azure-wi-")).collect();
    match azwi.iter().find(|azwi| **azwi < name) {
        Some(first) => Finding::bad(
            SUBJECT,
            format!(
                "{name} sorts after {first}, so that the Azure Workload Identity webhook (azwi) never sees the sidecar."
            ),
            CheckReason::WebhookOrder.fix(format!(
                "Name the registration {}, as shipped.",
                contract::WEBHOOK_CONFIGURATION
            )),
        ),
        None if azwi.is_empty() => Finding::good(
            SUBJECT,
            "The Azure Workload Identity webhook (azwi) is not here; it is not needed.",
        ),
        None => Finding::good(SUBJECT, format!("{name} is called before {}.", azwi.join(", "))),
    }
}

fn pods(found: &Looked<Vec<Pod>>) -> Finding {
    const SUBJECT: &str = "webhook pods";
    let namespace = contract::SYSTEM_NAMESPACE;
    let look = format!(
        "Look at `kubectl -n {namespace} get pods` and `kubectl -n {namespace} logs deployment/ado-agent-webhook`."
    );
    let none = || {
        Finding::bad(
            SUBJECT,
            format!("There is no pod of the webhook in namespace {namespace}."),
            CheckReason::WebhookNotReady.fix(look.clone()),
        )
    };
    let pods = match found.or_finding(SUBJECT, none) {
        Ok(pods) => pods,
        Err(finding) => return finding,
    };
    let alive: Vec<_> = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect();
    let ready = alive.iter().filter(|pod| is_ready(pod)).count();
    match (ready, alive.len()) {
        (_, 0) => none(),
        (0, all) => Finding::bad(
            SUBJECT,
            format!("None of its {all} pods is ready."),
            CheckReason::WebhookNotReady.fix(look),
        ),
        (ready, all) if ready < all => Finding::warning(
            SUBJECT,
            format!("{ready} of {all} pods are ready."),
            CheckReason::WebhookNotReady.fix(look),
        ),
        (1, _) => Finding::good(SUBJECT, "Its one pod is ready."),
        (ready, _) => Finding::good(SUBJECT, format!("All {ready} are ready.")),
    }
}

/// Whether a pod has the condition `Ready`.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The name that the API server calls.
pub(crate) fn service_name(webhook: &MutatingWebhook) -> Option<String> {
    let service = webhook.client_config.service.as_ref()?;
    Some(format!("{}.{}.svc", service.name, service.namespace))
}

fn served(facts: &Facts, webhook: &MutatingWebhook) -> Finding {
    const SUBJECT: &str = "webhook certificate";
    let bundle = webhook
        .client_config
        .ca_bundle
        .as_ref()
        .map(|bundle| bundle.0.as_slice());
    let Some(bundle) = bundle.filter(|bundle| !bundle.is_empty()) else {
        return certificate::ca_missing(
            "The webhook's registration has no CA bundle, so the API server trusts no certificate of it.",
        );
    };
    let Some(name) = service_name(webhook) else {
        return Finding::good(
            SUBJECT,
            "The webhook is called by URL; its certificate was not looked at.",
        );
    };
    let Some(served) = &facts.served else {
        return not_permitted(SUBJECT, "no pod of the webhook is ready to be asked for it");
    };
    let unreachable = || {
        Finding::bad(
            SUBJECT,
            "The pod of the webhook that should show it is gone.",
            CheckReason::WebhookNotReady.fix("Run this again."),
        )
    };
    match served {
        Looked::Found(chain) => certificate::finding(chain, bundle, &name, facts.now),
        Looked::Refused(sentence) => not_permitted(SUBJECT, sentence),
        Looked::Missing => unreachable(),
        Looked::Failed(why) => Finding::bad(
            SUBJECT,
            format!("The webhook's pod does not complete a TLS handshake: {why}"),
            CheckReason::WebhookNotReady.fix(format!(
                "Without a valid pair of certificate and key it refuses: look at `kubectl -n {} logs deployment/ado-agent-webhook`.",
                contract::SYSTEM_NAMESPACE
            )),
        ),
    }
}

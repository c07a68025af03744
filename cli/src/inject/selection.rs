//! Whether the API server sends a pod to the webhook: the selectors of its configuration.

use contract::INJECT_LABEL;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde_json::Value;
use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// The selectors of the webhook's configuration.
#[derive(Debug, Clone)]
pub enum Selectors {
    /// Those of the cluster.
    Known {
        /// For the labels of namespaces.
        namespace: Selector,
        /// For the labels of pods.
        object: Selector,
    },
    /// The configuration was not read; a namespace still needs the label.
    Unknown,
}

impl Selectors {
    /// Those of a `MutatingWebhookConfiguration` of ours.
    pub fn of(configuration: &Value) -> Self {
        let webhook = &configuration["webhooks"][0];
        let selector = |key: &str| -> Option<Selector> {
            let selector: LabelSelector = serde_json::from_value(webhook.get(key)?.clone()).ok()?;
            selector.try_into().ok()
        };
        match (selector("namespaceSelector"), selector("objectSelector")) {
            (Some(namespace), Some(object)) => Self::Known { namespace, object },
            (_, _) => Self::Unknown,
        }
    }

    /// Why a pod that asks for the sidecar is not sent, if it is not; `namespace` are the namespace's name and its labels, where
    /// they are known.
    pub fn keeps_away(&self, pod: &Value, namespace: (&str, Option<&Labels>)) -> Option<String> {
        let (name, labels) = namespace;
        let labels = labels?;
        let opted_in = labels.get(INJECT_LABEL).map(String::as_str);
        if opted_in != Some("true") {
            return Some(format!(
                "namespace {name} has not opted in, so the API server does not send its pods to the webhook: kubectl label namespace {name} \
                 {INJECT_LABEL}=true"
            ));
        }
        let Self::Known { namespace, object } = self else {
            return None;
        };
        if !namespace.matches(labels) {
            return Some(format!(
                "the webhook's configuration leaves out namespace {name}; see the namespaceSelector of \
                 `kubectl get mutatingwebhookconfiguration {} -o yaml`",
                contract::WEBHOOK_CONFIGURATION
            ));
        }
        let labels: Labels = serde_json::from_value(pod["metadata"]["labels"].clone()).unwrap_or_default();
        (!object.matches(&labels)).then(|| {
            format!(
                "the webhook's configuration leaves out pods with these labels; see the objectSelector of \
                 `kubectl get mutatingwebhookconfiguration {} -o yaml`",
                contract::WEBHOOK_CONFIGURATION
            )
        })
    }
}

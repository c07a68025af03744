//! What a decision depends on, from files: no cluster is asked.

use super::settings::Objects;
use super::{Account, Accounts, Inject, Selectors, World};
use crate::manifest::workload::objects;
use crate::manifest::{Document, source};
use anyhow::Context as _;
use inject::{ClusterFacts, ServiceAccount};
use std::collections::BTreeMap;
use std::path::Path;

/// Stands for the cluster's ID where nobody said it.
const UNKNOWN_CLUSTER: &str = "unknown-cluster";

pub(super) fn world(arguments: &Inject, file: &Path, documents: &[Document]) -> anyhow::Result<World> {
    let manifests = source::read(file)?;
    let found = Objects::among(
        manifests
            .iter()
            .flat_map(|document| objects(&document.value))
            .map(|(_, object)| object),
    );
    let settings = found
        .settings(ca_pem(arguments)?)
        .with_context(|| format!("{}", file.display()))?;
    let namespace = arguments.cluster.namespace().unwrap_or("default").to_owned();
    let mut notes = Vec::new();
    let id = settings.cluster_id.clone().or_else(|| arguments.cluster_id.clone());
    if id.is_none() && arguments.manual {
        anyhow::bail!(
            "the ownership markers of --manual name the cluster: pass --cluster-id with the output of `kubectl get namespace kube-system \
             -o jsonpath='{{.metadata.uid}}'`"
        );
    }
    let id = id.unwrap_or_else(|| {
        notes.push(format!(
            "ownership markers say {UNKNOWN_CLUSTER}: pass --cluster-id to see the cluster's"
        ));
        UNKNOWN_CLUSTER.to_owned()
    });
    let other = match (&arguments.client_id, &arguments.tenant_id) {
        (None, None) => ServiceAccount::Unreadable(
            "it is in none of the manifests, and no cluster is asked: add it, or pass --client-id".to_owned(),
        ),
        (client_id, tenant_id) => ServiceAccount::Found {
            client_id: client_id.clone(),
            tenant_id: tenant_id.clone(),
        },
    };
    Ok(World {
        settings,
        facts: ClusterFacts {
            id,
            native_sidecars: true,
        },
        accounts: Accounts::of(documents, &namespace, Account::unknown(other)),
        namespaces: namespaces(documents),
        selectors: Selectors::Unknown,
        namespace,
        notes,
    })
}

/// The private CA certificates that a person passed.
pub(super) fn ca_pem(arguments: &Inject) -> anyhow::Result<Option<String>> {
    let Some(file) = &arguments.webhook_ca_file else {
        return Ok(None);
    };
    let pem = std::fs::read_to_string(file)
        .with_context(|| format!("--webhook-ca-file {} cannot be read as PEM", file.display()))?;
    Ok(Some(pem))
}

/// Labels of the namespaces that are among the manifests.
pub(super) fn namespaces(documents: &[Document]) -> BTreeMap<String, BTreeMap<String, String>> {
    let all = documents.iter().flat_map(|document| objects(&document.value));
    all.filter(|(_, object)| object["kind"] == "Namespace" && object["apiVersion"] == "v1")
        .filter_map(|(_, object)| {
            let name = object["metadata"]["name"].as_str()?.to_owned();
            let mut labels: BTreeMap<String, String> =
                serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
            Some((name, labels))
        })
        .collect()
}

//! What a decision depends on, from the cluster: read with the person's own rights, and nothing is written.

use super::offline::{ca_pem, namespaces};
use super::outcome::account_of;
use super::settings::{Objects, WEBHOOK};
use super::{Account, Accounts, Inject, Selectors, World};
use crate::manifest::Document;
use crate::manifest::workload::workloads;
use anyhow::{Context as _, bail};
use contract::{INJECT_LABEL, SYSTEM_NAMESPACE, WEBHOOK_CONFIGURATION};
use inject::{ClusterFacts, ServiceAccount};
use kube::Client;
use serde_json::Value;
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

/// The first version that keeps `restartPolicy` of init containers by default (KEP-753).
const NATIVE_SIDECARS: (u32, u32) = (1, 29);

pub(super) async fn world(arguments: &Inject, documents: &[Document]) -> anyhow::Result<World> {
    let (client, namespace) = arguments.cluster.connect().await?;
    let mut notes = Vec::new();
    let settings = objects(&client)
        .await?
        .settings(ca_pem(arguments)?)
        .context("the webhook of this cluster")?;
    let id = match settings.cluster_id.clone().or_else(|| arguments.cluster_id.clone()) {
        Some(id) => id,
        None => cluster_id(&client).await?,
    };
    let facts = ClusterFacts {
        id,
        native_sidecars: has_native_sidecars(&client).await?,
    };
    let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{WEBHOOK_CONFIGURATION}");
    let selectors = match get(&client, &path).await {
        Ok(Some(configuration)) => Selectors::of(&configuration),
        Ok(None) => {
            notes.push(format!(
                "there is no MutatingWebhookConfiguration {WEBHOOK_CONFIGURATION}: the API server sends no pod to the webhook"
            ));
            Selectors::Unknown
        }
        Err(error) => {
            notes.push(format!(
                "which pods the API server sends to the webhook is not known: {error:#}"
            ));
            Selectors::Unknown
        }
    };
    let unknown = Account::unknown(ServiceAccount::Missing);
    let mut world = World {
        settings,
        facts,
        accounts: Accounts::of(documents, &namespace, unknown),
        namespaces: namespaces(documents),
        selectors,
        namespace,
        notes,
    };
    read_accounts(&client, documents, &mut world).await;
    Ok(world)
}

/// The accounts and namespaces of the pods that ask for the sidecar, where the manifests do not hold them.
async fn read_accounts(client: &Client, documents: &[Document], world: &mut World) {
    let mut wanted = BTreeSet::new();
    for document in documents {
        for workload in workloads(&document.value) {
            let template = document.value.pointer(&workload.pod).unwrap_or(&Value::Null);
            if template["metadata"]["labels"].get(INJECT_LABEL).is_none() {
                continue;
            }
            let namespace = workload.namespace.unwrap_or_else(|| world.namespace.clone());
            let account = account_of(template).unwrap_or("default");
            if is_name(&namespace) && is_name(account) {
                wanted.insert((namespace, account.to_owned()));
            }
        }
    }
    for (namespace, name) in wanted {
        if !world.accounts.is_known(&namespace, &name) {
            let account = match get(
                client,
                &format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}"),
            )
            .await
            {
                Ok(Some(object)) => Account::of(&object),
                Ok(None) => Account::unknown(ServiceAccount::Missing),
                Err(error) => Account::unknown(ServiceAccount::Unreadable(format!("{error:#}"))),
            };
            world.accounts.insert(&namespace, &name, account);
        }
        if let Entry::Vacant(vacant) = world.namespaces.entry(namespace) {
            let namespace = vacant.key();
            match get(client, &format!("/api/v1/namespaces/{namespace}")).await {
                Ok(Some(object)) => {
                    let labels: BTreeMap<String, String> =
                        serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
                    vacant.insert(labels);
                }
                Ok(None) => world.notes.push(format!("namespace {namespace} does not exist yet")),
                Err(error) => world
                    .notes
                    .push(format!("the labels of namespace {namespace} are not known: {error:#}")),
            }
        }
    }
}

/// The webhook's Deployment and the ConfigMaps that it reads.
async fn objects(client: &Client) -> anyhow::Result<Objects> {
    let place = format!("/apis/apps/v1/namespaces/{SYSTEM_NAMESPACE}/deployments/{WEBHOOK}");
    let Some(deployment) = get(client, &place).await.with_context(unreadable)? else {
        bail!(
            "there is no Deployment {SYSTEM_NAMESPACE}/{WEBHOOK} in this cluster: install the webhook (docs/install.md), or pass its \
             settings with --settings (`kubectl kustomize manifests/base` prints them)"
        );
    };
    let mut objects = Objects::among([&deployment]);
    for name in objects.needs() {
        let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/{name}");
        if let Some(map) = get(client, &path).await.with_context(unreadable)? {
            objects.config_maps.insert(name, map);
        }
    }
    Ok(objects)
}

fn unreadable() -> String {
    format!(
        "the webhook's settings cannot be read, for which you need get on deployments and configmaps in namespace {SYSTEM_NAMESPACE}; or \
         pass them with --settings"
    )
}

async fn cluster_id(client: &Client) -> anyhow::Result<String> {
    let namespace = get(client, "/api/v1/namespaces/kube-system").await.context(
        "the UID of namespace kube-system, which identifies the cluster, cannot be read; pass it with --cluster-id",
    )?;
    let uid = namespace.as_ref().and_then(|object| object["metadata"]["uid"].as_str());
    uid.map(str::to_owned)
        .context("the API server has no namespace kube-system; pass --cluster-id")
}

async fn has_native_sidecars(client: &Client) -> anyhow::Result<bool> {
    let version = client
        .apiserver_version()
        .await
        .context("the version of the API server cannot be read")?;
    let digits = |text: &str| {
        text.trim_end_matches(|character: char| !character.is_ascii_digit())
            .parse::<u32>()
            .ok()
    };
    // Native sidecars are assumed where the version cannot be parsed, as the webhook does.
    let known = digits(&version.major).zip(digits(&version.minor));
    Ok(known.is_none_or(|version| version >= NATIVE_SIDECARS))
}

/// Whether a name can stand in a path as it is.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    !name.is_empty() && name.bytes().all(is_letter)
}

/// An object; `None` where it does not exist.
async fn get(client: &Client, path: &str) -> anyhow::Result<Option<Value>> {
    let request = http::Request::get(path).body(Vec::new())?;
    match client.request(request).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(kube::Error::Api(status)) => bail!("the API server answered {}: {}", status.code, status.message),
        Err(error) => Err(anyhow::Error::new(error).context("the API server cannot be asked")),
    }
}

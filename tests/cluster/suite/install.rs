//! This project is installed, uninstalled and upgraded as docs/install.md says.

use crate::case::{Case, LIMIT};
use crate::load::Load;
use crate::webhook::{CONFIGURATION, DEPLOYMENT, SECRET, Webhook, injected, lives, wait_until_injected};
use crate::workload::{deployment, pod, template};
use anyhow::{Context, Result, ensure};
use contract::{SIDECAR_CONTAINER, SYSTEM_NAMESPACE};
use serde_json::{Value, json};
use tests::programs::repository;

/// What of this project a user installs.
pub(crate) const BASE: &str = "manifests/base";
/// The installation that other tests expect, and one of another version.
const CURRENT: &str = "tests/cluster/manifests/private-ca";
const NEXT: &str = "tests/cluster/manifests/upgrade";
/// Images of the two versions.
pub(crate) const IMAGES: [&str; 2] = [
    "ghcr.io/ado-agent-injector/ado-agent-webhook",
    "ghcr.io/ado-agent-injector/ado-agent-sidecar",
];
pub(crate) const CURRENT_TAG: &str = "0.1.0";
pub(crate) const NEXT_TAG: &str = "next";
/// Every object of ours carries it.
const LABEL: &str = "app.kubernetes.io/part-of=ado-agent-injector";
/// Every name of an object of ours begins so, and every name that cert-manager makes for us.
const OURS: &str = "ado-agent";

pub(crate) async fn a_dry_run_shows_the_pod_that_would_be_made(case: Case) -> Result<()> {
    let wanted = pod("agent", &template("gen3"));
    let said = case.kubectl_fed(
        &["apply", "--dry-run=server", "--output=json", "--filename=-"],
        &wanted.to_string(),
    )?;
    let shown: Value = serde_json::from_str(&said.output)?;
    ensure!(case.pod("agent").await?.is_none(), "a dry run makes nothing");
    case.apply(&wanted)?;
    case.wait_for_agents(1).await?;
    let made = case.pod("agent").await?.context("the pod is there")?;
    for path in [
        "/spec/initContainers",
        "/spec/containers",
        "/spec/volumes",
        "/metadata/labels",
        "/metadata/annotations",
    ] {
        let (shown, made) = (shown.pointer(path), made.pointer(path));
        ensure!(
            shown.is_some() && shown == made,
            "{path}: shown {shown:#?}, made {made:#?}"
        );
    }
    let registrations = case.requests();
    let registrations = registrations.iter().filter(|request| request.method == "POST").count();
    ensure!(
        registrations == 1,
        "{registrations} agents were registered, for one pod and one dry run"
    );
    case.kubectl(&["delete", "pod", "agent"])?;
    case.wait_for_agents(0).await
}

pub(crate) async fn install_before_cert_manager_then_uninstall_and_install_again(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    // As docs/install.md has it.
    kubectl(&case, &["delete", "mutatingwebhookconfiguration", CONFIGURATION])?;
    kubectl(&case, &["delete", "-k", &path(BASE), "--ignore-not-found"])?;
    nothing_is_left(&case)?;

    case.blocking(|| case.suite.node.kill("cert-manager"))?;
    let definitions = Definitions::read(&case)?;
    let late = cert_manager_comes_late(&case, &webhook, &definitions).await;
    // Whatever came of it, others need them.
    definitions.create(&case)?;
    late?;

    let before = lives(&webhook.wait_until_ready().await?);
    let (bundle, generation) = (webhook.bundle().await?, generations(&case)?);
    let said = apply(&case, BASE)?;
    let changed: Vec<&str> = said.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    // kubectl always sends this one's selector, since the API declares it as replaced as a whole.
    ensure!(
        changed == ["poddisruptionbudget.policy/ado-agent-webhook configured"],
        "a second apply changes nothing: {changed:#?}"
    );
    ensure!(generations(&case)? == generation, "no specification has changed");
    ensure!(webhook.bundle().await? == bundle, "the CA bundle stays");
    ensure!(lives(&webhook.wait_until_ready().await?) == before, "the pods stay");
    wait_until_injected(&case).await.map(drop)
}

/// What a user sees who installs this project before cert-manager.
async fn cert_manager_comes_late(case: &Case, webhook: &Webhook, definitions: &Definitions) -> Result<()> {
    definitions.delete(case)?;
    let error = apply(case, BASE).err().context("two kinds are unknown")?;
    let error = format!("{error:#}");
    for kind in ["Certificate", "Issuer"] {
        let sentence = format!("no matches for kind \"{kind}\" in version \"cert-manager.io/v1\"");
        ensure!(error.contains(&sentence), "{error}");
    }
    ensure!(error.contains("ensure CRDs are installed first"), "{error}");
    // All the rest is there.
    webhook.kubectl(&["get", DEPLOYMENT, "service/ado-agent-webhook"])?;

    definitions.create(case)?;
    apply(case, BASE)?;
    // Nobody makes the certificate yet.
    let missing = format!("secret \"{SECRET}\" not found");
    let looked = || async {
        let events = webhook.kubectl(&["get", "events", "--field-selector=reason=FailedMount"])?;
        ensure!(events.contains(&missing), "{events}");
        Ok(Some(()))
    };
    case.wait("pods that wait for their Secret", LIMIT, looked).await?;
    let pod = pod("early", &template("gen3"));
    let refused = injected(case, &pod)
        .await
        .err()
        .context("no webhook, no agent")?
        .to_string();
    ensure!(refused.contains("failed calling webhook"), "{refused}");

    case.blocking(|| case.suite.node.start_again("cert-manager", |_| {}))?;
    webhook.wait_until_ready().await?;
    wait_until_injected(case).await.map(drop)
}

/// The running pods are those of the old version, from their first to their last moment.
pub(crate) async fn upgrade_and_rollback_under_running_agents(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    tag_the_next_version(&case)?;
    case.apply(&deployment("agent", 1, &template("gen3")))?;
    case.wait_for_agents(1).await?;
    let load = Load::start(&case);
    for (replicas, installation, tag) in [(2, NEXT, NEXT_TAG), (3, CURRENT, CURRENT_TAG)] {
        let before = case.ready_pods().await?;
        let new = json!(format!("{}:{tag}", IMAGES[1]));
        apply(&case, installation)?;
        webhook.kubectl(&["rollout", "status", DEPLOYMENT, "--timeout=100s"])?;
        for pod in webhook.wait_until_ready().await? {
            let image = &pod["spec"]["containers"][0]["image"];
            ensure!(*image == format!("{}:{tag}", IMAGES[0]), "{image}");
        }
        case.scale("deployment/agent", replicas)?;
        case.wait_for_agents(replicas as usize).await?;
        let after = case.ready_pods().await?;
        ensure!(after.len() == before.len() + 1, "one pod more");
        for pod in &after {
            match before
                .iter()
                .find(|other| other["metadata"]["uid"] == pod["metadata"]["uid"])
            {
                Some(other) => ensure!(
                    containers(other) == containers(pod),
                    "a running pod has changed: {pod:#}"
                ),
                None => ensure!(
                    sidecar_image(pod) == Some(&new),
                    "a new pod has the new sidecar: {pod:#}"
                ),
            }
        }
    }
    load.end_without_failure()?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}

/// The programs as they are, under the tag of another version, too.
pub(crate) fn tag_the_next_version(case: &Case) -> Result<()> {
    for image in IMAGES {
        let (old, new) = (format!("{image}:{CURRENT_TAG}"), format!("{image}:{NEXT_TAG}"));
        let arguments = ["--namespace=k8s.io", "images", "tag", "--force", &old, &new];
        case.blocking(|| case.suite.node.ctr(&arguments))?;
    }
    Ok(())
}

/// Generation of every object of ours that has one: it counts the changes of a specification.
fn generations(case: &Case) -> Result<String> {
    let kinds = "deployments,poddisruptionbudgets,networkpolicies,mutatingwebhookconfigurations,certificates,issuers";
    let columns = "--output=custom-columns=:.kind,:.metadata.name,:.metadata.uid,:.metadata.generation";
    kubectl(case, &["get", kinds, "--all-namespaces", "--selector", LABEL, columns])
}

/// Containers of a pod as they were started, sidecars included.
pub(crate) fn containers(pod: &Value) -> Vec<&Value> {
    let lists = ["containerStatuses", "initContainerStatuses"].map(|list| pod["status"][list].as_array());
    let containers = lists.into_iter().flatten().flatten();
    containers.map(|container| &container["containerID"]).collect()
}

pub(crate) fn sidecar_image(pod: &Value) -> Option<&Value> {
    let mut containers = pod["spec"]["initContainers"].as_array()?.iter();
    containers
        .find(|container| container["name"] == SIDECAR_CONTAINER)
        .map(|container| &container["image"])
}

/// Objects of every kind whose name or label is ours. Events tell what was, and go by themselves.
pub(crate) fn nothing_is_left(case: &Case) -> Result<()> {
    let kinds = kubectl(case, &["api-resources", "--verbs=list", "--output=name"])?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    ensure!(kinds.len() > 40, "all kinds of the cluster: {kinds:?}");
    let kinds = kinds.join(",");
    let named = kubectl(case, &["get", &kinds, "--all-namespaces", "--output=name"])?;
    let named: Vec<&str> = named.lines().filter(|name| name.contains(OURS)).collect();
    let labeled = kubectl(
        case,
        &["get", &kinds, "--all-namespaces", "--output=name", "--selector", LABEL],
    )?;
    ensure!(named.is_empty() && labeled.is_empty(), "{named:#?} {labeled} is left");
    let namespace = kubectl(case, &["get", "namespace", SYSTEM_NAMESPACE]);
    ensure!(namespace.is_err(), "{namespace:?}");
    Ok(())
}

/// `kubectl apply -k` as somebody types it who has not spoken to this cluster yet: what it knows of kinds is fresh.
fn apply(case: &Case, folder: &str) -> Result<String> {
    let cache = tempfile::tempdir()?;
    let cache = format!("--cache-dir={}", cache.path().display());
    kubectl(case, &["apply", "-k", &path(folder), &cache])
}

/// kubectl in no namespace of its own, since manifests name theirs.
pub(crate) fn kubectl(case: &Case, arguments: &[&str]) -> Result<String> {
    case.blocking(|| case.suite.node.kubectl_within(arguments, LIMIT))
}

pub(crate) fn path(folder: &str) -> String {
    repository().join(folder).to_string_lossy().into_owned()
}

/// cert-manager's resource definitions.
struct Definitions(Vec<Value>);

impl Definitions {
    fn read(case: &Case) -> Result<Self> {
        let all: Value = serde_json::from_str(&kubectl(case, &["get", "crd", "--output=json"])?)?;
        let mut ours: Vec<Value> = all["items"].as_array().cloned().unwrap_or_default();
        ours.retain(|definition| {
            let group = definition["spec"]["group"].as_str().unwrap_or_default();
            group.ends_with("cert-manager.io")
        });
        ensure!(!ours.is_empty(), "cert-manager has definitions");
        for definition in &mut ours {
            let metadata = &definition["metadata"];
            definition["metadata"] = json!({"name": metadata["name"], "labels": metadata["labels"]});
            definition["status"].take();
        }
        Ok(Self(ours))
    }

    fn names(&self) -> Vec<String> {
        let name = |definition: &Value| format!("crd/{}", definition["metadata"]["name"].as_str().unwrap_or_default());
        self.0.iter().map(name).collect()
    }

    fn delete(&self, case: &Case) -> Result<()> {
        let names = self.names();
        let names = names.iter().map(String::as_str);
        kubectl(case, &["delete"].into_iter().chain(names).collect::<Vec<_>>()).map(drop)
    }

    /// Those that are there already stay as they are.
    fn create(&self, case: &Case) -> Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.0});
        // Some are larger than what a client-side apply would note in an annotation.
        case.kubectl_fed(
            &["apply", "--server-side", "--force-conflicts", "--filename=-"],
            &list.to_string(),
        )?;
        let names = self.names();
        let names = names.iter().map(String::as_str);
        let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
        kubectl(case, &wait.into_iter().chain(names).collect::<Vec<_>>()).map(drop)
    }
}

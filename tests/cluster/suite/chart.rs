//! This project is installed, upgraded, rolled back and uninstalled by its chart, as docs/install.md says.

use crate::case::{Case, LIMIT};
use crate::install::{
    BASE, CURRENT_TAG, IMAGES, NEXT_TAG, containers, kubectl, nothing_is_left, path, sidecar_image,
    tag_the_next_version,
};
use crate::load::Load;
use crate::webhook::{CONFIGURATION, Webhook, injected, wait_until_injected};
use crate::workload::{deployment, pod, template};
use anyhow::{Context, Result, ensure};
use contract::SYSTEM_NAMESPACE;
use serde_json::{Value, json};

/// Name of the release.
const RELEASE: &str = "ado-agent-injector";
/// Where the chart is.
const CHART: &str = "manifests/chart";
/// The imitated Azure has a private CA.
const PRIVATE_CA: &str = "privateCa.configMap=private-ca";

pub(crate) async fn helm_installs_upgrades_and_uninstalls_under_running_agents(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    tag_the_next_version(&case)?;
    begin_with_a_namespace(&case)?;
    helm(
        &case,
        &["install", RELEASE, &path(CHART), "--wait", "--set", PRIVATE_CA],
    )?;
    webhook.wait_until_ready().await?;
    wait_until_injected(&case).await?;
    case.apply(&deployment("agent", 1, &template("gen3")))?;
    case.wait_for_agents(1).await?;

    let load = Load::start(&case);
    // Running pods stay as they are, new ones get the sidecar of the version that is installed.
    let next = [
        "upgrade",
        RELEASE,
        &path(CHART),
        "--wait",
        "--reuse-values",
        "--set",
        &format!("images.webhook.tag={NEXT_TAG},images.sidecar.tag={NEXT_TAG}"),
    ];
    let back = ["rollback", RELEASE, "1", "--wait"];
    for (replicas, command, tag) in [(2, &next[..], NEXT_TAG), (3, &back[..], CURRENT_TAG)] {
        let before = case.ready_pods().await?;
        helm(&case, command)?;
        for pod in webhook.wait_until_ready().await? {
            let image = &pod["spec"]["containers"][0]["image"];
            ensure!(*image == format!("{}:{tag}", IMAGES[0]), "{image}");
        }
        case.scale("deployment/agent", replicas)?;
        case.wait_for_agents(replicas as usize).await?;
        let sidecar = json!(format!("{}:{tag}", IMAGES[1]));
        for pod in &case.ready_pods().await? {
            let is_same = |other: &&Value| other["metadata"]["uid"] == pod["metadata"]["uid"];
            match before.iter().find(is_same) {
                Some(other) => ensure!(containers(other) == containers(pod), "it has changed: {pod:#}"),
                None => ensure!(sidecar_image(pod) == Some(&sidecar), "another sidecar: {pod:#}"),
            }
        }
    }
    a_wrong_setting_stops_new_pods_only(&case, &webhook).await?;
    load.end_without_failure()?;

    // Agents that run do not need the webhook to leave.
    helm(&case, &["uninstall", RELEASE, "--wait"])?;
    let configuration = kubectl(&case, &["get", "mutatingwebhookconfiguration", CONFIGURATION]);
    ensure!(configuration.is_err(), "{configuration:?}");
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await?;
    end_with_the_namespace(&case)
}

/// The schema knows forms; what a value means is checked by the webhook when it starts.
async fn a_wrong_setting_stops_new_pods_only(case: &Case, webhook: &Webhook) -> Result<()> {
    let wrong = [
        "upgrade",
        RELEASE,
        &path(CHART),
        "--wait",
        "--timeout=20s",
        "--reuse-values",
        "--set",
        "settings.authority=nonsense",
    ];
    let error = helm(case, &wrong).err().context("a webhook without an authority")?;
    ensure!(!format!("{error:#}").is_empty(), "helm says why");
    injected(case, &pod("meanwhile", &template("gen3")))
        .await
        .context("the old webhook goes on")?;
    let log = webhook.kubectl(&[
        "logs",
        "--selector=app.kubernetes.io/name=ado-agent-webhook",
        "--tail=50",
    ])?;
    ensure!(
        log.contains("ADO_AGENT_WEBHOOK_AUTHORITY") || log.contains("--authority"),
        "{log}"
    );
    helm(case, &["rollback", RELEASE, "--wait"])?;
    webhook.wait_until_ready().await.map(drop)
}

pub(crate) async fn a_certificate_that_helm_made_is_kept_over_upgrades(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    begin_with_a_namespace(&case)?;
    let values = format!("{PRIVATE_CA},certificates.source=helm,certificates.secretName=made-by-helm");
    helm(&case, &["install", RELEASE, &path(CHART), "--wait", "--set", &values])?;
    webhook.wait_until_ready().await?;
    wait_until_injected(&case).await?;
    let pair = webhook.secret("made-by-helm", "tls.crt").await?.context("the pair")?;
    let bundle = webhook.bundle().await?;

    // Rolls the webhook out.
    let upgrade = [
        "upgrade",
        RELEASE,
        &path(CHART),
        "--wait",
        "--reuse-values",
        "--set",
        "settings.gracePeriod=7200",
    ];
    helm(&case, &upgrade)?;
    webhook.wait_until_ready().await?;
    let after = webhook.secret("made-by-helm", "tls.crt").await?;
    ensure!(after.as_ref() == Some(&pair), "another certificate: {after:?}");
    ensure!(webhook.bundle().await? == bundle, "another root");
    let pod = wait_until_injected(&case).await?;
    let grace = &pod["spec"]["terminationGracePeriodSeconds"];
    ensure!(*grace == 7200, "the setting counts: {grace}");
    webhook.wait_until_served(&pair).await?;
    helm(&case, &["uninstall", RELEASE, "--wait"])?;
    end_with_the_namespace(&case)
}

/// What is installed goes, and the namespace is made as docs/install.md says, with the private CA in it.
fn begin_with_a_namespace(case: &Case) -> Result<()> {
    kubectl(case, &["delete", "mutatingwebhookconfiguration", CONFIGURATION])?;
    kubectl(case, &["delete", "-k", &path(BASE), "--ignore-not-found"])?;
    nothing_is_left(case)?;
    kubectl(case, &["create", "namespace", SYSTEM_NAMESPACE])?;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(case, &["label", "namespace", SYSTEM_NAMESPACE, label])?;
    let configuration = case.suite.layout.node().join("private-ca.yaml");
    kubectl(case, &["apply", "-f", &configuration.to_string_lossy()]).map(drop)
}

fn end_with_the_namespace(case: &Case) -> Result<()> {
    kubectl(case, &["delete", "namespace", SYSTEM_NAMESPACE])?;
    nothing_is_left(case)
}

fn helm(case: &Case, arguments: &[&str]) -> Result<String> {
    let built = case.suite.neighbors.helm.as_ref();
    let program = built
        .context("the suite builds helm for tests of this module")?
        .program("helm");
    let namespace = format!("--namespace={SYSTEM_NAMESPACE}");
    let arguments = [arguments, &[namespace.as_str()]].concat();
    case.blocking(|| case.suite.node.client_within(program, &arguments, LIMIT))
}

//! Beside the real Azure Workload Identity webhook (azwi): who provides the identity, what the agent's container holds, who is
//! called how often.

use crate::case::{AGENT, Case, LIMIT, container_status};
use crate::suite::say;
use crate::workload::{self, CONTAINER, annotate, template};
use anyhow::{Context, Result, ensure};
use azure_emulators::entra::FederatedCredential;
use azure_emulators::tls::Authority;
use azure_emulators::token_proxy::{self, TokenProxy};
use cluster::Node;
use cluster::azwi::{self, TOKEN_PROXY, TOKEN_PROXY_CA};
use cluster::components::Built;
use contract::{AZWI_USE_LABEL, FEDERATED_TOKEN_ANNOTATION, SIDECAR_CONTAINER};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::sync::OnceCell;

/// Our webhook in the API server's metrics.
const OURS: &str = "inject.ado-agent.dev";
/// azwi in the API server's metrics.
const THEIRS: &str = "mutation.azure-workload-identity.io";
const CONFIGURATION: &str = contract::WEBHOOK_CONFIGURATION;
/// What `azure::prepare` has applied.
const OVERLAY: &str = "tests/cluster/manifests/private-ca";

/// Installs azwi, once for all tests.
async fn beside_azwi(case: &Case) -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED.get_or_try_init(|| async { install(case) }).await.copied()
}

fn install(case: &Case) -> Result<()> {
    let suite = &case.suite;
    case.blocking(|| azwi::install(&suite.node, &suite.layout, built(case)?, &say))
}

fn built(case: &Case) -> Result<&Built> {
    case.suite
        .neighbors
        .azwi
        .as_ref()
        .context("the suite builds azwi for tests of this module")
}

/// The template of an agent that carries azwi's label.
fn labeled(script: &str, choice: Option<&str>) -> Value {
    let mut template = template(script);
    template["metadata"]["labels"][AZWI_USE_LABEL] = json!("true");
    if let Some(choice) = choice {
        annotate(&mut template, FEDERATED_TOKEN_ANNOTATION, choice);
    }
    template
}

/// Creates a pod and waits until its agent is online.
async fn online(case: &Case, name: &str, template: &Value) -> Result<Value> {
    case.apply(&workload::pod(name, template))?;
    let what = format!("agent {name} online");
    case.wait_for_pool(&what, |agents| {
        agents.iter().any(|agent| agent.name == name && agent.online)
    })
    .await?;
    case.pod(name).await?.context("the pod of an agent that is online")
}

/// Deletes a pod and waits until its agent has left the pool.
async fn removed(case: &Case, name: &str) -> Result<()> {
    case.kubectl(&["delete", "pod", name, "--wait=false"])?;
    let what = format!("the end of agent {name}");
    case.wait_for_pool(&what, |agents| agents.iter().all(|agent| agent.name != name))
        .await?;
    case.wait_until_gone(name).await
}

pub(crate) async fn with_hide_the_agents_container_holds_no_federated_token(case: Case) -> Result<()> {
    beside_azwi(&case).await?;
    let pod = online(&case, "hide", &labeled("gen3", Some("hide"))).await?;
    ensure!(
        azwi_calls(&case).await? > 0,
        "azwi has seen the pod, or this test shows nothing"
    );
    holds_nothing(&case, &pod)?;
    own_identity(&pod)?;
    removed(&case, "hide").await
}

pub(crate) async fn with_keep_a_script_exchanges_the_token_itself(case: Case) -> Result<()> {
    beside_azwi(&case).await?;
    let pod = online(&case, "keep", &labeled("own-exchange", Some("keep"))).await?;
    own_identity(&pod)?;
    let variables = variables(&case, &pod)?;
    let file = variables
        .iter()
        .find_map(|variable| variable.strip_prefix("AZURE_FEDERATED_TOKEN_FILE="))
        .with_context(|| format!("no federated token in {variables:?}"))?;
    case.exec("keep", CONTAINER, &["test", "-s", file])?;
    // What the other tests look for, and do not find, is found here.
    let (mounts, audiences) = (secret_mounts(&case, &pod)?, audiences(&pod, CONTAINER));
    ensure!(
        mounts.len() == 1 && audiences == [contract::DEFAULT_AUDIENCE],
        "azwi's token is not where it is looked for: {mounts:?} {audiences:?}"
    );
    let exchanges = case.suite.world.entra.view().exchanges;
    let subject = format!("system:serviceaccount:{}:{AGENT}", case.namespace);
    let ours = exchanges
        .iter()
        .filter(|exchange| exchange.subject.as_deref() == Some(&subject));
    ensure!(
        ours.clone().count() >= 2,
        "sidecar and script have one token each: {exchanges:#?}"
    );
    ensure!(
        ours.clone()
            .all(|exchange| exchange.name.as_deref() == Some(&case.namespace)),
        "a refused exchange: {exchanges:#?}"
    );
    removed(&case, "keep").await
}

pub(crate) async fn without_a_choice_the_pod_is_denied(case: Case) -> Result<()> {
    beside_azwi(&case).await?;
    let denied = case.apply(&workload::pod("undecided", &labeled("gen3", None)));
    let sentence = denied.err().context("the pod was created")?.to_string();
    for part in [
        "has label azure.workload.identity/use of Azure Workload Identity",
        "ado-agent.dev/federated-token",
        "\"hide\"",
        "\"keep\"",
        "remove the label",
    ] {
        ensure!(sentence.contains(part), "no {part:?} in: {sentence}");
    }
    Ok(())
}

pub(crate) async fn without_the_label_azwi_does_nothing(case: Case) -> Result<()> {
    beside_azwi(&case).await?;
    let pod = online(&case, "plain", &template("gen3")).await?;
    holds_nothing(&case, &pod)?;
    own_identity(&pod)?;
    let calls = azwi_calls(&case).await?;
    ensure!(calls == 0, "azwi was called {calls} times");
    removed(&case, "plain").await
}

pub(crate) async fn with_identity_binding_azwi_provides_the_identity(case: Case) -> Result<()> {
    beside_azwi(&case).await?;
    let suite = &case.suite;
    suite.node.add_address(TOKEN_PROXY)?;
    let authority = Authority::new();
    let proxy = TokenProxy::start(SocketAddr::from((TOKEN_PROXY, 443)), &authority, &suite.world, true).await?;
    case.apply(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": TOKEN_PROXY_CA},
        "data": {"ca.crt": authority.pem()},
    }))?;
    let trust = FederatedCredential {
        name: "aks-identity-binding".to_owned(),
        audiences: vec![token_proxy::AUDIENCE.to_owned()],
        ..FederatedCredential::for_service_account(&cluster::issuer(), &case.namespace, AGENT)
    };
    let entra = &suite.world.entra;
    // Whoever asks with a token of our own projection is refused.
    for credential in entra.federated_credentials(&case.identity.client_id) {
        entra.remove_federated_credential(&case.identity.client_id, &credential.name);
    }
    entra
        .add_federated_credential(&case.identity.client_id, trust)
        .map_err(|error| anyhow::anyhow!("the federated credential was refused: {error:?}"))?;

    let mut template = labeled("gen3", Some("hide"));
    annotate(&mut template, contract::AZWI_BINDING_ANNOTATION, "true");
    let pod = online(&case, "binding", &template).await?;
    ensure!(!proxy.hosts().is_empty(), "the token came past the proxy");
    let audiences = audiences(&pod, SIDECAR_CONTAINER);
    ensure!(
        audiences == [token_proxy::AUDIENCE],
        "the sidecar's tokens are for {audiences:?}"
    );
    holds_nothing(&case, &pod)?;
    removed(&case, "binding").await
}

/// Another webhook configuration of ours, whose name sorts behind azwi's: azwi has put its token into the agent's container
/// before we see it.
pub(crate) async fn where_azwi_is_called_first_hide_takes_the_token_out_again(case: Case) -> Result<()> {
    beside_azwi(&case).await?;
    let name = "zz-behind-azwi";
    let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{CONFIGURATION}");
    let mut configuration = case.suite.api.get(&path).await?;
    configuration["metadata"] = json!({"name": name});
    let webhook = &mut configuration["webhooks"][0];
    webhook["name"] = json!(format!("zz.{OURS}"));
    webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": case.namespace}});
    // The usual configuration leaves the namespace alone.
    case.kubectl(&["label", "namespace", &case.namespace, "ado-agent.dev/inject-"])?;
    case.apply(&configuration)?;
    let result = called_first(&case).await;
    case.kubectl(&["delete", "mutatingwebhookconfiguration", name])?;
    result
}

async fn called_first(case: &Case) -> Result<()> {
    let said = case.apply(&workload::pod("late", &labeled("gen3", Some("hide"))))?;
    ensure!(
        said.error
            .contains("the federated token of Azure Workload Identity was removed again"),
        "no warning: {}",
        said.error
    );
    case.wait_for_agents(1).await?;
    let pod = case.pod("late").await?.context("the pod of an agent that is online")?;
    holds_nothing(case, &pod)?;
    own_identity(&pod)?;
    let ours = api_calls(case, &format!("zz.{OURS}")).await?;
    let theirs = azwi_calls(case).await?;
    ensure!(
        ours <= 2 && theirs <= 2,
        "one pod: {ours} calls of ours, {theirs} of azwi's"
    );
    removed(case, "late").await
}

/// azwi comes while we are there, then we come while azwi is there: the order of the calls is that of the names. It is the
/// only test that counts our calls, so nobody else may make any.
pub(crate) async fn the_order_of_installation_does_not_matter(case: Case) -> Result<()> {
    let suite = &case.suite;
    case.blocking(|| azwi::uninstall(&suite.node, built(&case)?))?;
    let template = labeled("gen3", Some("hide"));
    let pod = online(&case, "alone", &template).await?;
    own_identity(&pod)?;

    install(&case)?;
    let calls = one_more(&case, "azwi-last", &template).await?;
    ensure!(calls == EXPECTED, "azwi came last: {calls:?} calls");

    case.blocking(|| register_anew(&suite.node))?;
    let calls = one_more(&case, "ours-last", &template).await?;
    ensure!(calls == EXPECTED, "we came last: {calls:?} calls");

    let first = case.pod("alone").await?.context("the first pod")?;
    let status = container_status(&first, SIDECAR_CONTAINER).context("the sidecar has a status")?;
    ensure!(status["restartCount"] == 0, "the first pod noticed something: {status}");
    case.kubectl(&["delete", "pods", "--all", "--wait=false"])?;
    case.wait_for_agents(0).await
}

/// Our webhook's configuration goes and comes, so that it is younger than azwi's.
fn register_anew(node: &Node) -> Result<()> {
    let overlay = tests::programs::repository().join(OVERLAY);
    let overlay = overlay.to_str().context("the repository's path is UTF-8")?;
    let object = format!("mutatingwebhookconfiguration/{CONFIGURATION}");
    node.kubectl_output(&["delete", &object])?;
    node.kubectl_output(&["apply", "-k", overlay])?;
    let injected = "--for=jsonpath={.webhooks[0].clientConfig.caBundle}";
    node.kubectl_within(&["wait", injected, &object, "--timeout=110s"], LIMIT)
        .map(drop)
}

/// Calls of ours and of azwi's for one pod: ours, azwi's, and ours again because azwi has changed the pod. We change nothing
/// the second time, so azwi is not called again.
const EXPECTED: (u64, u64) = (2, 1);

/// Creates a pod that both webhooks change, and answers how often each was called for it.
async fn one_more(case: &Case, name: &str, template: &Value) -> Result<(u64, u64)> {
    let (ours, theirs) = (api_calls(case, OURS).await?, api_calls(case, THEIRS).await?);
    let pod = online(case, name, template).await?;
    holds_nothing(case, &pod)?;
    own_identity(&pod)?;
    Ok((
        api_calls(case, OURS).await? - ours,
        api_calls(case, THEIRS).await? - theirs,
    ))
}

/// The agent's container has neither a variable nor a mount of azwi's: looked at from inside, and in the pod.
fn holds_nothing(case: &Case, pod: &Value) -> Result<()> {
    let variables = variables(case, pod)?;
    let azure: Vec<_> = variables
        .iter()
        .filter(|variable| variable.starts_with("AZURE_FEDERATED"))
        .collect();
    ensure!(azure.is_empty(), "the agent's process has {azure:?}");
    let mounts = secret_mounts(case, pod)?;
    ensure!(mounts.is_empty(), "the agent's container has {mounts:?}");
    let audiences = audiences(pod, CONTAINER);
    ensure!(
        audiences.is_empty(),
        "the agent's container has tokens for {audiences:?}"
    );
    Ok(())
}

/// Mounts of the agent's container where secrets usually are, seen from inside.
fn secret_mounts(case: &Case, pod: &Value) -> Result<Vec<String>> {
    let mounts = case.exec(name(pod), CONTAINER, &["cat", "/proc/1/mounts"])?;
    let secrets = mounts.lines().filter(|mount| mount.contains("/secrets/"));
    Ok(secrets.map(str::to_owned).collect())
}

/// The sidecar has exactly one token, of our own projection, and its variables are ours alone.
fn own_identity(pod: &Value) -> Result<()> {
    let audiences = audiences(pod, SIDECAR_CONTAINER);
    ensure!(
        audiences == [contract::DEFAULT_AUDIENCE],
        "the sidecar's tokens are for {audiences:?}"
    );
    let container = container(pod, SIDECAR_CONTAINER).context("the pod has the sidecar")?;
    let variables = container["env"].as_array().into_iter().flatten();
    let files: Vec<_> = variables
        .filter(|variable| variable["name"] == contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE)
        .collect();
    ensure!(
        files.len() == 1 && !files[0]["value"].to_string().contains("/azure/"),
        "the sidecar's token file is {files:?}"
    );
    Ok(())
}

/// Audiences of the projected tokens that a container mounts.
fn audiences<'p>(pod: &'p Value, name: &str) -> Vec<&'p str> {
    let mounts = container(pod, name).map(|container| &container["volumeMounts"]);
    let mounts = mounts.and_then(Value::as_array).into_iter().flatten();
    let volumes = pod["spec"]["volumes"].as_array();
    mounts
        .filter_map(|mount| volumes?.iter().find(|volume| volume["name"] == mount["name"]))
        .filter_map(|volume| volume["projected"]["sources"].as_array())
        .flatten()
        .filter_map(|source| source.get("serviceAccountToken")?["audience"].as_str())
        .collect()
}

/// A container of a pod's specification.
fn container<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    ["containers", "initContainers"]
        .iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .find(|container| container["name"] == name)
}

/// Variables that the first process of the agent's container was started with.
fn variables(case: &Case, pod: &Value) -> Result<Vec<String>> {
    let environment = case.exec(name(pod), CONTAINER, &["cat", "/proc/1/environ"])?;
    let variables: Vec<String> = environment.split('\0').map(str::to_owned).collect();
    ensure!(
        variables.iter().any(|variable| variable.starts_with("AZP_URL=")),
        "this is not the agent's environment: {variables:?}"
    );
    Ok(variables)
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// How often the API server has called a webhook.
async fn api_calls(case: &Case, webhook: &str) -> Result<u64> {
    let (status, metrics) = case.suite.api.text("/metrics").await?;
    ensure!(status == 200, "/metrics: {status}");
    let name = format!("name=\"{webhook}\"");
    sum(&metrics, "apiserver_admission_webhook_request_total{", &name)
}

/// How often azwi was called for pods of the namespace, as it counts itself.
async fn azwi_calls(case: &Case) -> Result<u64> {
    let pods = format!("/api/v1/namespaces/{}/pods", azwi::NAMESPACE);
    let list = case.suite.api.get(&pods).await?;
    let mut calls = 0;
    let namespace = format!("namespace=\"{}\"", case.namespace);
    for pod in list["items"].as_array().into_iter().flatten() {
        let path = format!("{pods}/{}:8095/proxy/metrics", name(pod));
        let (status, metrics) = case.suite.api.text(&path).await?;
        ensure!(status == 200, "{path}: {status}");
        calls += sum(&metrics, "azwi_mutation_request", &namespace)?;
    }
    Ok(calls)
}

/// Sum of a counter's, or of a histogram's counts, over all lines with a label.
fn sum(metrics: &str, metric: &str, label: &str) -> Result<u64> {
    metrics
        .lines()
        .filter(|line| line.starts_with(metric) && line.contains(label))
        .filter(|line| !line.contains("_bucket{") && !line.contains("_sum{"))
        .map(|line| {
            let value = line.rsplit(' ').next().unwrap_or_default();
            let value: f64 = value.parse().with_context(|| format!("no number in {line}"))?;
            Ok(value as u64)
        })
        .sum()
}

//! Beside the real Azure Workload Identity webhook (azwi): who provides the identity, what the agent's container holds, who is
//! called how often.

mod looks;

use crate::case::{AGENT, Case, LIMIT, container_status};
use crate::suite::say;
use crate::workload::{self, CONTAINER, annotate, template};
use anyhow::{Context, Result, ensure};
use azure_emulators::entra::FederatedCredential;
use azure_emulators::tls::Authority;
use azure_emulators::token_proxy::{self, Access, TokenProxy};
use cluster::Node;
use cluster::azwi::{self, TOKEN_PROXY, TOKEN_PROXY_CA};
use cluster::components::Built;
use contract::{
    AZWI_USE_LABEL, FEDERATED_TOKEN_ANNOTATION, HANDOFF_ANNOTATION, Handoff, OWN_EXCHANGE_ANNOTATION, SIDECAR_CONTAINER,
};
use looks::{api_calls, audiences, azwi_calls, holds_nothing, own_identity, secret_mounts, variables};
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

/// A script that asks for the variables of azwi gets ours: it exchanges a word for the ticket, with the sidecar.
pub(crate) async fn with_hide_and_own_exchange_a_script_gets_nothing_of_azwi_and_registers(case: Case) -> Result<()> {
    beside_azwi(&case).await?;
    let mut template = labeled("own-exchange", Some("hide"));
    annotate(&mut template, HANDOFF_ANNOTATION, Handoff::Gateway.as_str());
    annotate(&mut template, OWN_EXCHANGE_ANNOTATION, "true");
    let pod = online(&case, "own-exchange", &template).await?;
    ensure!(
        azwi_calls(&case).await? > 0,
        "azwi has seen the pod, or this test shows nothing"
    );
    let (mounts, audiences) = (secret_mounts(&case, &pod)?, audiences(&pod, CONTAINER));
    ensure!(
        mounts.is_empty() && audiences.is_empty(),
        "the agent's container has something of azwi's: {mounts:?} {audiences:?}"
    );
    own_identity(&pod)?;
    let variables = variables(&case, &pod)?;
    let value = |name: &str| {
        let found = variables
            .iter()
            .filter_map(|variable| variable.strip_prefix(name)?.strip_prefix('='));
        let values: Vec<&str> = found.collect();
        ensure!(values.len() == 1, "{name}: {values:?}");
        Ok(values[0].to_owned())
    };
    let authority = value(contract::AZURE_AUTHORITY_HOST_VARIABLE)?;
    ensure!(authority.starts_with("http://127.0.0.1:"), "it would ask {authority}");
    let file = value(contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE)?;
    let word = case.exec("own-exchange", CONTAINER, &["cat", &file])?;
    ensure!(!word.is_empty() && !word.contains("eyJ"), "{file} holds {word:?}");
    let exchanges = case.suite.world.entra.view().exchanges;
    let subject = format!("system:serviceaccount:{}:{AGENT}", case.namespace);
    let ours = exchanges
        .iter()
        .filter(|exchange| exchange.subject.as_deref() == Some(&subject));
    ensure!(ours.count() == 1, "only the sidecar asks Entra: {exchanges:#?}");
    removed(&case, "own-exchange").await
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
    let proxy = TokenProxy::start(
        SocketAddr::from((TOKEN_PROXY, 443)),
        &authority,
        &suite.world,
        Access::Granted,
    )
    .await?;
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

//! The cluster's token issuer: its signing key is rotated while agents run, and its documents are published elsewhere, as
//! clusters without a public endpoint do.

use crate::case::{AGENT, Case, LIMIT};
use crate::workload::{deployment, template};
use anyhow::{Context, Result, ensure};
use azure_emulators::entra::{Exchange, FederatedCredential};
use azure_emulators::http::{Answer, Handler, Reply, Request, Server};
use azure_emulators::jwt::{INSECURE_CLUSTER_KEY_2, SigningKey};
use cluster::{Program, issuer};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where an API server shows its keys.
const KEYS: &str = "/openid/v1/jwks";
/// Where an issuer describes itself.
const DOCUMENT: &str = "/.well-known/openid-configuration";
/// The API server's flag for the key that it signs with.
const SIGNING_KEY: &str = "--service-account-signing-key-file";
/// An address of the node that nobody else uses.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

/// Published beside the old key first, as docs/azure.md says; an API server that publishes its keys itself does that in the
/// moment in which it begins to sign with the new one.
pub(crate) async fn the_signing_key_is_rotated_while_agents_run(case: Case) -> Result<()> {
    // They are refreshed after a minute, the least that the sidecar waits.
    let lifetime = Some(Duration::from_secs(30));
    case.suite
        .world
        .entra
        .set_token_lifetime(&case.identity.client_id, lifetime);
    case.apply(&deployment("agent", 1, &template("gen3")))?;
    case.wait_for_agents(1).await?;
    let before = case.pods().await?;

    sign_with(&case, &second_key(&case)?)?;
    let (new, old) = keys(&case).await?;
    ensure!(
        new.len() == 1 && old.len() == 1,
        "both keys are published: {new:?}, {old:?}"
    );
    let refreshed = exchanges(&case).len();

    case.scale("deployment/agent", 2)?;
    case.wait_for_agents(2).await?;
    let looked = || async {
        let later = exchanges(&case).split_off(refreshed);
        let with = |keys: &[String]| {
            later
                .iter()
                .any(|exchange| keys.iter().any(|key| exchange.key.as_ref() == Some(key)))
        };
        ensure!(with(&old) && with(&new), "{later:#?}");
        Ok(Some(()))
    };
    case.wait("tokens for a pod of each key", LIMIT, looked).await?;
    let refused: Vec<_> = exchanges(&case)
        .into_iter()
        .filter(|exchange| exchange.code.is_some())
        .collect();
    ensure!(refused.is_empty(), "{refused:#?}");
    let after = case.pods().await?;
    let is_there = |pod: &Value| {
        after
            .iter()
            .any(|other| other["metadata"]["uid"] == pod["metadata"]["uid"])
    };
    ensure!(before.iter().all(is_there), "the agent from before runs on");
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}

pub(crate) async fn an_issuer_whose_documents_are_published_elsewhere(case: Case) -> Result<()> {
    let node = &case.suite.node;
    let elsewhere = format!("https://{ELSEWHERE}/clusters/one");
    // Beside the one for the other issuer.
    let mut credential = FederatedCredential::for_service_account(&elsewhere, &case.namespace, AGENT);
    "elsewhere".clone_into(&mut credential.name);
    let entra = &case.suite.world.entra;
    entra
        .add_federated_credential(&case.identity.client_id, credential)
        .map_err(|error| anyhow::anyhow!("the federated credential was refused: {error:?}"))?;
    restart_api_server(&case, |flags| {
        // The first one signs; tokens of the second are still accepted by the API server.
        set(flags, "--service-account-issuer", &elsewhere);
        flags.push(format!("--service-account-issuer={}", issuer()));
        flags.push(format!("--service-account-jwks-uri={elsewhere}{KEYS}"));
    })?;

    // What an operator copies to a static site.
    let site = Arc::new(Site {
        folder: "/clusters/one",
        document: case.suite.api.get(DOCUMENT).await?,
        keys: case.suite.api.get(KEYS).await?,
        visits: AtomicU32::default(),
    });
    ensure!(site.document["issuer"] == elsewhere.as_str(), "{}", site.document);
    node.add_address(ELSEWHERE)?;
    let tls = case
        .suite
        .world
        .authority
        .issue(&[ELSEWHERE.to_string()])
        .server_config();
    let server = Server::start(SocketAddr::from((ELSEWHERE, 443)), Some(tls), Arc::clone(&site)).await?;

    case.apply(&deployment("agent", 1, &template("gen3")))?;
    case.wait_for_agents(1).await?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await?;
    let exchanges = exchanges(&case);
    ensure!(
        exchanges
            .iter()
            .all(|exchange| exchange.code.is_none() && exchange.issuer.as_ref() == Some(&elsewhere)),
        "{exchanges:#?}"
    );
    ensure!(
        site.visits.load(Ordering::Relaxed) >= 2,
        "Entra has read both documents"
    );
    drop(server);
    Ok(())
}

/// A key of the cluster's that it does not sign with at first.
pub(crate) fn second_key(case: &Case) -> Result<String> {
    let pki = case.suite.node.pki();
    pki.add_key("service-accounts-2", INSECURE_CLUSTER_KEY_2)
}

/// From now on the API server signs tokens with this key, and publishes it beside the others. Answers the file of the key before.
pub(crate) fn sign_with(case: &Case, key: &str) -> Result<String> {
    let mut before = None;
    restart_api_server(case, |flags| {
        let prefix = format!("{SIGNING_KEY}=");
        let old = flags.iter().find_map(|flag| flag.strip_prefix(&prefix));
        before = old.map(str::to_owned);
        let published = format!("--service-account-key-file={key}");
        if !flags.contains(&published) {
            flags.push(published);
        }
        set(flags, SIGNING_KEY, key);
    })?;
    before.context("the API server signs tokens")
}

/// A static site with an issuer's two documents.
struct Site {
    folder: &'static str,
    document: Value,
    keys: Value,
    visits: AtomicU32,
}

impl Handler for Site {
    async fn answer(&self, request: Request) -> Answer {
        self.visits.fetch_add(1, Ordering::Relaxed);
        match request.path.strip_prefix(self.folder) {
            Some(DOCUMENT) => Reply::json(200, &self.document).into(),
            Some(KEYS) => Reply::json(200, &self.keys).into(),
            _ => Reply::empty(404).into(),
        }
    }
}

/// Requests for tokens of the case's identity.
fn exchanges(case: &Case) -> Vec<Exchange> {
    let all = case.suite.world.entra.view().exchanges;
    let ours = |exchange: &Exchange| exchange.client_id.as_ref() == Some(&case.identity.client_id);
    all.into_iter().filter(ours).collect()
}

/// Ids of the keys that the API server publishes: of the second one, and of those that are not it.
async fn keys(case: &Case) -> Result<(Vec<String>, Vec<String>)> {
    let second = SigningKey::from_pem(INSECURE_CLUSTER_KEY_2).jwk();
    let keys = case.suite.api.get(KEYS).await?;
    let keys = keys["keys"].as_array().context("a key set")?;
    let (new, old): (Vec<&Value>, Vec<&Value>) = keys.iter().partition(|key| key["n"] == second["n"]);
    let ids = |keys: Vec<&Value>| {
        keys.iter()
            .filter_map(|key| key["kid"].as_str())
            .map(str::to_owned)
            .collect()
    };
    Ok((ids(new), ids(old)))
}

/// Starts the API server again with other flags. When the test has ended it is set back, but for the tokens that it accepts.
fn restart_api_server(case: &Case, change: impl FnOnce(&mut Vec<String>)) -> Result<()> {
    case.blocking(|| {
        let node = &case.suite.node;
        node.restart("kube-apiserver", |Program { arguments, .. }| change(arguments))?;
        node.wait_for_api_server()
    })
}

/// Changes the value of a flag.
fn set(flags: &mut [String], flag: &str, value: &str) {
    let prefix = format!("{flag}=");
    for found in flags.iter_mut().filter(|found| found.starts_with(&prefix)) {
        *found = format!("{prefix}{value}");
    }
}

//! Certificates change while pods are admitted: the leaf every few seconds, the root, and pairs that are no good.

use crate::case::{Case, LIMIT};
use crate::load::{Load, burst};
use crate::webhook::{CONFIGURATION, SECRET, Webhook, is_ready, lives, plain, wait_until_injected};
use anyhow::{Context, Result, ensure};
use azure_emulators::tls::Authority;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tests::apiserver::webhook::service_name;

/// Secret of the root.
const ROOT: &str = "ado-agent-ca";
/// The Certificate whose Secret the webhook serves.
const CERTIFICATE: &str = "certificate/ado-agent-webhook";

pub(crate) async fn the_leaf_is_renewed_every_few_seconds_under_load(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    let before = lives(&webhook.wait_until_ready().await?);
    let load = Load::start(&case);
    for round in 0..4 {
        let leaf = webhook.leaf().await?.context("there is a leaf")?;
        match round % 2 {
            0 => renew(&webhook)?,
            _ => drop(webhook.kubectl(&["delete", "secret", SECRET])?),
        }
        let new = wait_for_another(&case, &webhook, SECRET, &leaf).await?;
        webhook.remind_kubelet()?;
        webhook.wait_until_served(&new).await?;
        burst(&case, 30).await?;
    }
    load.end_without_failure()?;
    ensure!(lives(&webhook.pods().await?) == before, "no pod was started again");
    Ok(())
}

/// In the order of docs/install.md.
pub(crate) async fn a_new_root_then_the_leaf_under_load(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    let before = lives(&webhook.wait_until_ready().await?);
    let (root, leaf) = (webhook.secret(ROOT, "tls.crt").await?, webhook.leaf().await?);
    let (root, leaf) = (root.context("there is a root")?, leaf.context("there is a leaf")?);
    let load = Load::start(&case);

    webhook.kubectl(&["delete", "secret", ROOT])?;
    let new_root = wait_for_another(&case, &webhook, ROOT, &root).await?;
    webhook.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "certificate/ado-agent-ca",
        "--timeout=60s",
    ])?;
    load.pass(&case, 40).await?;
    ensure!(
        webhook.leaf().await?.as_ref() == Some(&leaf),
        "cert-manager does not renew the leaf by itself: docs/install.md says so"
    );

    webhook.kubectl(&["delete", "secret", SECRET])?;
    let new_leaf = wait_for_another(&case, &webhook, SECRET, &leaf).await?;
    // The worst case: the pods get the leaf as fast as the CA injector gets the root.
    webhook.remind_kubelet()?;
    webhook.wait_until_served(&new_leaf).await?;
    let bundle = webhook.bundle().await?;
    ensure!(
        bundle.contains(root.trim()) && bundle.contains(new_root.trim()),
        "both roots are trusted: {bundle}"
    );
    load.pass(&case, 40).await?;

    // The old root is trusted until somebody takes it out.
    let only = json!([{
        "op": "replace",
        "path": "/webhooks/0/clientConfig/caBundle",
        "value": BASE64_STANDARD.encode(&new_root),
    }]);
    let patch = format!("--patch={only}");
    webhook.kubectl(&[
        "patch",
        "mutatingwebhookconfiguration",
        CONFIGURATION,
        "--type=json",
        &patch,
    ])?;
    load.pass(&case, 60).await?;
    let bundle = webhook.bundle().await?;
    ensure!(
        !bundle.contains(root.trim()) && bundle.contains(new_root.trim()),
        "the old root stays out: {bundle}"
    );
    load.end_without_failure()?;
    ensure!(lives(&webhook.pods().await?) == before, "no pod was started again");
    Ok(())
}

/// cert-manager is away, so nobody repairs them.
pub(crate) async fn a_broken_pair_is_ignored_and_an_expired_one_makes_not_ready(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    let before = lives(&webhook.wait_until_ready().await?);
    case.blocking(|| case.suite.node.kill("cert-manager"))?;

    let stranger = Authority::new().issue(&[service_name()]);
    replace(&webhook, &json!({"tls.key": BASE64_STANDARD.encode(stranger.key)}))?;
    let refused = "ado_agent_webhook_tls_reload_total{result=\"failed\"}";
    wait_for_plain(
        &case,
        &webhook,
        "the broken pair to be refused",
        "/metrics",
        |_, body| {
            body.lines()
                .any(|line| line.starts_with(refused) && !line.ends_with(" 0"))
        },
    )
    .await?;
    let load = Load::start(&case);
    load.pass(&case, 40).await?;
    load.end_without_failure()?;
    ensure!(webhook.pods().await?.iter().all(is_ready), "the old pair serves on");

    let expired = expired()?;
    replace(&webhook, &expired)?;
    wait_for_plain(
        &case,
        &webhook,
        "the expired pair to be seen",
        "/readyz",
        |status, body| status == 503 && body.contains("the serving certificate has expired"),
    )
    .await?;
    let unready = webhook
        .wait_for_pods("both pods not ready", 2, |pod| !is_ready(pod))
        .await?;
    for pod in &unready {
        let (status, body) = plain(pod, "/livez").await?;
        ensure!(status == 200, "/livez: {status} {body}");
    }
    // More at once than the API server keeps connections (25, Go's `MaxIdleConnsPerHost` in client-go's `transport/cache.go`):
    // an open one is served on, and before 1.37 the API server looks for an endpoint only where it opens one.
    let looked = || async { Ok(burst(&case, 60).await.err()) };
    let refused = case.wait("a refusal, since nobody serves", LIMIT, looked).await?;
    ensure!(format!("{refused:#}").contains("failed calling webhook"), "{refused:#}");

    case.blocking(|| case.suite.node.start_again("cert-manager", |_| {}))?;
    let expired = String::from_utf8(BASE64_STANDARD.decode(expired["tls.crt"].as_str().unwrap_or_default())?)?;
    let leaf = wait_for_another(&case, &webhook, SECRET, &expired).await?;
    webhook.remind_kubelet()?;
    webhook.wait_until_served(&leaf).await?;
    let after = webhook.wait_until_ready().await?;
    wait_until_injected(&case).await?;
    ensure!(lives(&after) == before, "no pod was started again");
    Ok(())
}

/// Asks cert-manager for a new leaf, as `cmctl renew` does: with a condition.
fn renew(webhook: &Webhook) -> Result<()> {
    let certificate: Value = serde_json::from_str(&webhook.kubectl(&["get", CERTIFICATE, "--output=json"])?)?;
    let mut conditions = certificate["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "Issuing");
    conditions.push(json!({
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "a test asks for it",
        "lastTransitionTime": conditions.first().map(|condition| &condition["lastTransitionTime"]),
    }));
    let patch = format!("--patch={}", json!({"status": {"conditions": conditions}}));
    webhook
        .kubectl(&["patch", CERTIFICATE, "--subresource=status", "--type=merge", &patch])
        .map(drop)
}

/// Waits until a Secret holds another certificate than this one. Answers it.
async fn wait_for_another(case: &Case, webhook: &Webhook, secret: &str, old: &str) -> Result<String> {
    let looked = || async {
        let found = webhook.secret(secret, "tls.crt").await?;
        Ok(found.filter(|certificate| !certificate.is_empty() && certificate != old))
    };
    case.wait(&format!("a new certificate in {secret}"), LIMIT, looked)
        .await
}

/// Replaces entries of the Secret, and makes the kubelet look.
fn replace(webhook: &Webhook, data: &Value) -> Result<()> {
    let patch = format!("--patch={}", json!({"data": data}));
    webhook.kubectl(&["patch", "secret", SECRET, &patch])?;
    webhook.remind_kubelet()
}

/// A pair that was good until 2020.
fn expired() -> Result<Value> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![service_name()])?;
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
    Ok(json!({
        "tls.crt": BASE64_STANDARD.encode(params.self_signed(&key)?.pem()),
        "tls.key": BASE64_STANDARD.encode(key.serialize_pem()),
    }))
}

/// Waits until all pods of the webhook answer so on their plain port.
async fn wait_for_plain(
    case: &Case,
    webhook: &Webhook,
    what: &str,
    path: &str,
    condition: impl Fn(u16, &str) -> bool,
) -> Result<()> {
    let looked = || async {
        for pod in webhook.pods().await? {
            let (status, body) = plain(&pod, path).await?;
            ensure!(condition(status, &body), "{path}: {status} {body}");
        }
        Ok(Some(()))
    };
    case.wait(what, LIMIT, looked).await
}

//! `ado-agent check` on a real cluster: good after the installation and before it, and broken for real in some ways. What the
//! double of the API server cannot show is here: a real dry run, port forwarding, `TokenRequest`, Go's sentences.

use crate::case::{AGENT, Case, LIMIT};
use crate::webhook::Webhook;
use anyhow::{Context, Result, bail, ensure};
use azure_emulators::ado::Role;
use contract::INJECT_LABEL;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tests::programs::program;
use tokio::process::Command;

/// Azure's names, which only pods resolve otherwise.
const HOSTS: [&str; 2] = ["login.microsoftonline.com", "dev.azure.com"];

/// What the program said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// What it printed with `-o json`.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("{}\n{}", self.stdout, self.stderr))
    }

    /// Group and reason of what is wrong.
    fn bad(&self) -> Result<Vec<(String, String)>> {
        let value = self.json()?;
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let all = value["findings"].as_array().context("findings")?.iter();
        let bad = all.filter(|finding| finding["level"] == "bad");
        Ok(bad
            .map(|finding| (text(finding, "group"), text(finding, "reason")))
            .collect())
    }
}

/// Runs `ado-agent` as the cluster's administrator, in the case's namespace, where Azure's names lead to the imitated one.
pub(crate) async fn ado_agent(case: &Case, arguments: &[&str]) -> Result<Said> {
    let folder = tempfile::tempdir()?;
    let hosts = folder.path().join("hosts");
    let world = &case.suite.world;
    let address = |url: &str| -> Result<String> {
        let host = url.trim_start_matches("https://").split(['/', ':']).next();
        Ok(host.context("a URL has a host")?.to_owned())
    };
    let (entra, ado) = (address(&world.authority_url())?, address(&world.organization_url())?);
    std::fs::write(
        &hosts,
        format!("127.0.0.1 localhost\n{entra} {}\n{ado} {}\n", HOSTS[0], HOSTS[1]),
    )?;
    let ca = folder.path().join("ca.pem");
    let cluster = std::fs::read_to_string(case.suite.node.pki().certificate("ca"))?;
    std::fs::write(&ca, [world.authority.pem(), &cluster].concat())?;
    let token = folder.path().join("token");
    std::fs::write(&token, world.admin_token())?;
    let program = tokio::task::spawn_blocking(|| program("ado-agent")).await??;
    let token = token.display().to_string();
    let arguments = arguments.iter().map(|argument| argument.replace("TOKEN-FILE", &token));
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""])
        .arg(&hosts)
        .arg(program)
        .args(arguments)
        .args(["--kubeconfig", &case.suite.node.pki().kubeconfig("admin")])
        .arg("--ca-file")
        .arg(&ca)
        .args(["-o", "json"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(180), command.output()).await;
    let output = output.context("ado-agent does not end")??;
    Ok(Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

async fn check(case: &Case, more: &[&str]) -> Result<Said> {
    let url = case.organization_url();
    let arguments = [
        "check",
        "--namespace",
        &case.namespace,
        "--url",
        &url,
        "--pool",
        &case.namespace,
    ];
    ado_agent(case, &[&arguments, more].concat()).await
}

/// Looks until exactly this is wrong.
async fn wrong(case: &Case, expected: &[(&str, &str)], more: &[&str]) -> Result<()> {
    let looked = || async {
        let said = check(case, more).await?;
        let bad = said.bad()?;
        let found: Vec<_> = bad
            .iter()
            .map(|(group, reason)| (group.as_str(), reason.as_str()))
            .collect();
        if found == expected {
            ensure!(
                said.code == Some(i32::from(!expected.is_empty())),
                "it ended with {:?}",
                said.code
            );
            return Ok(Some(()));
        }
        bail!("expected {expected:?}, found {found:?}: {}", said.stdout)
    };
    case.wait(&format!("ado-agent check says {expected:?}"), LIMIT, looked)
        .await
}

pub(crate) async fn all_is_well_after_the_installation_and_before_it(case: Case) -> Result<()> {
    wrong(&case, &[], &[]).await?;
    let said = check(&case, &[]).await?;
    let value = said.json()?;
    let findings = value["findings"].as_array().context("findings")?;
    let is_good = |group: &str, words: &str| {
        findings.iter().any(|finding| {
            let sentence = finding["sentence"].as_str().unwrap_or_default();
            finding["group"] == group && finding["level"] == "good" && sentence.contains(words)
        })
    };
    for (group, words) in [
        ("webhook", "is of the registration's CA"),
        ("pod", "would get its sidecar"),
        ("issuer", "is readable"),
        ("identity", "gets a token of tenant"),
        ("organization", "may manage pool"),
    ] {
        ensure!(is_good(group, words), "{group}: {words}: {value:#}");
    }
    let pods = case.pods().await?;
    ensure!(pods.is_empty(), "a dry run leaves no pod: {pods:#?}");
    ensure!(case.pool.agents().is_empty(), "and no agent");
    wrong(&case, &[], &["--pre"]).await
}

pub(crate) async fn broken_parts_are_reported(case: Case) -> Result<()> {
    let label = |value: &str| {
        case.kubectl(&["label", "namespace", &case.namespace, "--overwrite", value])
            .map(drop)
    };
    label(&format!("{INJECT_LABEL}-"))?;
    wrong(
        &case,
        &[("pod", "namespace-not-labeled"), ("pod", "not-injected")],
        &["--only", "pod"],
    )
    .await?;
    label(&format!("{INJECT_LABEL}=true"))?;

    let annotation = "azure.workload.identity/client-id";
    case.kubectl(&["annotate", "serviceaccount", AGENT, &format!("{annotation}-")])?;
    let account = ["--service-account", AGENT, "--only", "pod", "--only", "identity"];
    wrong(&case, &[("pod", "no-identity"), ("identity", "no-identity")], &account).await?;
    case.apply(&case.account(AGENT))?;

    case.pool.set_role(&case.identity, Some(Role::Reader));
    wrong(&case, &[("organization", "role-missing")], &[]).await?;
    case.pool.set_role(&case.identity, Some(Role::Administrator));

    let (entra, client_id) = (&case.suite.world.entra, &case.identity.client_id);
    let name = format!("{}-{AGENT}", case.namespace);
    ensure!(
        entra.remove_federated_credential(client_id, &name),
        "the credential was there"
    );
    wrong(&case, &[("identity", "credential-missing")], &[]).await?;
    case.trust(AGENT)?;
    wrong(&case, &[], &["--wait", "60s"]).await
}

pub(crate) async fn a_webhook_without_pods_is_named(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    webhook.kubectl(&["scale", crate::webhook::DEPLOYMENT, "--replicas=0"])?;
    let only = ["--only", "webhook", "--only", "pod"];
    let named = wrong(
        &case,
        &[("webhook", "webhook-not-ready"), ("pod", "webhook-unreachable")],
        &only,
    )
    .await;
    webhook.kubectl(&["scale", crate::webhook::DEPLOYMENT, "--replicas=2"])?;
    webhook.wait_until_ready().await?;
    named
}

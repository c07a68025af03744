//! `ado-agent check`: what is wrong, before the first pod exists. It creates nothing: the pod is a dry run, the token of the
//! ServiceAccount lives for ten minutes and is kept nowhere.
//!
//! Pure are the modules that turn what was seen into findings, one a group; `gather` sees, `look` puts both together.

mod certificate;
mod cluster;
mod credentials;
mod gather;
mod group;
mod identity;
mod intent;
mod issuer;
mod keda;
mod kubelet;
mod look;
mod looked;
mod organization;
mod pod;
mod reason;
mod selector;
mod webhook;

pub use group::Group;
pub use reason::CheckReason;

use crate::Exit;
use crate::cluster::Cluster;
use crate::network::Network;
use crate::output::{Format, Output};
use crate::problem::{Finding, Level};
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks with `--wait`.
const PAUSE: Duration = Duration::from_secs(5);

/// Look at everything that an agent needs.
#[derive(Debug, Clone, Args)]
pub struct Check {
    #[command(flatten)]
    cluster: Cluster,
    /// Before the webhook is installed: look at what it will need, and not at itself.
    #[arg(long)]
    pre: bool,
    /// Only this group; may be given several times.
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,
    /// Look again every five seconds, as long as something is wrong, for at most this long, such as 90s, 10m or 1h.
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    wait: Option<Duration>,
    /// ServiceAccount of the agents; else the only one of the namespace that is annotated with a client ID.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Organization URL, as the agents' pod template has it; else what the webhook's settings say.
    #[arg(long, value_name = "URL", env = contract::AZP_URL_VARIABLE)]
    url: Option<String>,
    /// Agent pool, as the agents' pod template has it; else what the webhook's settings say.
    #[arg(long, value_name = "NAME", env = contract::AZP_POOL_VARIABLE)]
    pool: Option<String>,
    /// Client ID of the agents' identity; else what the ServiceAccount or the webhook's settings say.
    #[arg(long, value_name = "GUID")]
    client_id: Option<String>,
    /// Tenant of the identity; else what the ServiceAccount, the webhook's settings or the organization say.
    #[arg(long, value_name = "TENANT")]
    tenant_id: Option<String>,
    /// Entra's authority; else what the webhook's settings say.
    #[arg(long, value_name = "URL")]
    authority: Option<String>,
    #[command(flatten)]
    network: Network,
    /// File with an access token for Microsoft Graph, or - for stdin, to count federated credentials: the output of
    /// `az account get-access-token --resource https://graph.microsoft.com`.
    #[arg(long, value_name = "FILE")]
    graph_token_file: Option<PathBuf>,
    /// Microsoft Graph.
    #[arg(long, value_name = "URL", default_value = "https://graph.microsoft.com")]
    graph: String,
}

/// Whether the webhook is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not yet.
    BeforeInstall,
    /// It is.
    Installed,
}

/// What was found in one group.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    group: Group,
    findings: Vec<Finding>,
}

pub(crate) async fn run(check: &Check, output: &Output) -> anyhow::Result<Exit> {
    let until = check.wait.map(|wait| Instant::now() + wait);
    let scout = gather::Scout::new(check).await?;
    loop {
        let sections = look::look(check, &scout).await;
        let worst = sections
            .iter()
            .flat_map(|section| &section.findings)
            .find(|finding| finding.level == Level::Bad);
        match (worst, until) {
            (Some(worst), Some(until)) if Instant::now() + PAUSE <= until => {
                waiting(worst);
                tokio::time::sleep(PAUSE).await;
            }
            (worst, _) => {
                print(output, &sections)?;
                return Ok(if worst.is_some() { Exit::Problem } else { Exit::Good });
            }
        }
    }
}

/// Says on a terminal what is waited for.
fn waiting(finding: &Finding) {
    let reason = finding.problem.as_ref().map_or("", |problem| problem.reason);
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "waiting: {} ({reason})", finding.subject);
    }
}

fn print(output: &Output, sections: &[Section]) -> io::Result<()> {
    let count = |level: Level| {
        let all = sections.iter().flat_map(|section| &section.findings);
        all.filter(|finding| finding.level == level).count()
    };
    let counts = [Level::Good, Level::Unseen, Level::Warning, Level::Bad].map(count);
    match output.format {
        Format::Table => {
            let mut text = String::new();
            for section in sections {
                for finding in &section.findings {
                    text.push_str(&finding.lines(output.color));
                }
            }
            let [good, unseen, warnings, bad] = counts;
            text.push_str(&format!(
                "{good} good, {warnings} to look at, {bad} wrong, {unseen} not looked at\n"
            ));
            output.print(&text)
        }
        Format::Json => {
            let findings: Vec<Value> = sections
                .iter()
                .flat_map(|section| {
                    section.findings.iter().map(|finding| {
                        let mut value = finding.json();
                        value["group"] = section.group.as_str().into();
                        value
                    })
                })
                .collect();
            let [good, unseen, warnings, bad] = counts;
            output.print_json(&json!({
                "findings": findings, "good": good, "warning": warnings, "bad": bad, "not-looked-at": unseen,
            }))
        }
    }
}

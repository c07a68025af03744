//! `ado-agent inject`: what the webhook would do to the pods of manifests, and why not; and the manifests with it done.
//!
//! [`World`] is all that a decision depends on besides the manifests: the webhook's settings, the cluster's identity,
//! ServiceAccounts and namespaces, from the cluster (`live.rs`) or from files (`offline.rs`). [`outcomes`] decides, with the
//! webhook's own code; [`report`] says it; [`injected`] writes it into the manifests.

mod accounts;
mod apply;
mod live;
mod offline;
mod outcome;
mod pod;
pub mod report;
mod selection;
pub mod settings;

pub use accounts::{Account, Accounts};
pub use apply::apply;
pub use outcome::{Outcome, Verdict, injected, outcomes};
pub use pod::{Automount, created};
pub use selection::Selectors;

use crate::Exit;
use crate::cluster::Cluster;
use crate::manifest::source::Sources;
use crate::output::{Format, Output};
use clap::Args;
use inject::{ClusterFacts, Settings};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

/// Show what the webhook does to the pods of manifests, or why it does nothing; --manual does it to the manifests.
///
/// The settings are those of the webhook in the cluster, read with your kubeconfig, or those of --settings.
#[derive(Debug, Args)]
pub struct Inject {
    #[command(flatten)]
    sources: Sources,
    /// Write the manifests with the sidecar in their pods, for namespaces and clusters without the webhook.
    #[arg(long, conflicts_with = "patch")]
    manual: bool,
    /// Write the JSON Patch of each pod that would be injected, one a line.
    #[arg(long)]
    patch: bool,
    /// Manifests with the webhook's settings, instead of the cluster: its ConfigMap, or also its Deployment. No cluster is asked.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Cluster ID of the ownership markers: the UID of namespace kube-system. Read from the cluster unless --settings is given.
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
    /// Client ID of ServiceAccounts that are in none of the manifests; with --settings.
    #[arg(long, value_name = "GUID", requires = "settings")]
    client_id: Option<String>,
    /// Tenant of ServiceAccounts that are in none of the manifests; with --settings.
    #[arg(long, value_name = "TENANT", requires = "settings")]
    tenant_id: Option<String>,
    /// File with the private CA certificates that the webhook's setting ca-file names, where they cannot be read from a ConfigMap.
    #[arg(long, value_name = "FILE")]
    webhook_ca_file: Option<PathBuf>,
    #[command(flatten)]
    cluster: Cluster,
}

/// All that a decision depends on besides the manifests.
#[derive(Debug)]
pub struct World {
    /// The webhook's settings.
    pub settings: Settings,
    /// What is true of the cluster.
    pub facts: ClusterFacts,
    /// ServiceAccounts.
    pub accounts: Accounts,
    /// Labels of namespaces, as far as they are known.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Which pods the API server sends to the webhook.
    pub selectors: Selectors,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// What the person should know about where this was read from.
    pub notes: Vec<String>,
}

/// Whether it matters that the API server sends the pod to the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// What the webhook of this cluster would do.
    Preview,
    /// What is done without a webhook.
    Manual,
}

pub(crate) async fn run(arguments: &Inject, output: Output) -> anyhow::Result<Exit> {
    let documents = arguments.sources.read()?;
    let world = match &arguments.settings {
        Some(file) => offline::world(arguments, file, &documents)?,
        None => live::world(arguments, &documents).await?,
    };
    let purpose = if arguments.manual {
        Purpose::Manual
    } else {
        Purpose::Preview
    };
    let outcomes = outcomes(&documents, &world, purpose);
    let refused = outcomes.iter().any(Outcome::is_refused);
    let exit = if refused { Exit::Problem } else { Exit::Good };
    if arguments.manual {
        // Everything but the manifests goes to stderr. Where one is refused none is written: an agent without its sidecar would
        // be applied.
        eprint(&report::said(&outcomes, &world));
        if !refused {
            print(&injected(&documents, &outcomes))?;
        }
        return Ok(exit);
    }
    match output.format {
        Format::Json => output.print_json(&report::json(&outcomes, &world))?,
        Format::Table if arguments.patch => {
            eprint(&report::said(&outcomes, &world));
            print(&report::patches(&outcomes))?;
        }
        Format::Table => output.print(&report::text(&outcomes, &world, output.color))?,
    }
    Ok(exit)
}

/// Manifests are printed as they are, white space at the ends of lines included.
fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn eprint(text: &str) {
    // Nobody reads it if stderr is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

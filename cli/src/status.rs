//! `ado-agent status`: the agents of a namespace or of the cluster: what each sidecar says of itself, and, with a credential, what
//! Azure DevOps says of each agent, and which agents have no pod any more.
//!
//! `agents` (pure) makes rows of what was seen; `gather` asks the API server and the sidecars, `pools` Azure DevOps.

mod agents;
mod gather;
mod pools;

use crate::Exit;
use crate::cluster::Cluster;
use crate::organization::Credential;
use crate::output::{Format, Output};
use agents::{Fleet, rows};
use clap::Args;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

/// Show the agents.
#[derive(Debug, Clone, Args)]
pub struct Show {
    #[command(flatten)]
    cluster: Cluster,
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Look again each time that this has passed, until it is interrupted; 5s where no duration is given.
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, num_args = 0..=1, require_equals = true, default_missing_value = "5s")]
    watch: Option<Duration>,
    /// The one organization to ask; else those that the sidecars name, at dev.azure.com and visualstudio.com only.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    credential: Credential,
}

/// Which namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One.
    Namespace(String),
    /// All.
    Cluster,
}

pub(crate) async fn run(show: &Show, output: &Output) -> anyhow::Result<Exit> {
    let (client, namespace) = show.cluster.connect().await?;
    let scope = if show.all_namespaces {
        Scope::Cluster
    } else {
        Scope::Namespace(namespace)
    };
    let asker = pools::Asker::new(&show.credential, show.url.as_deref())?;
    loop {
        let pods = gather::pods(&client, &scope).await?;
        let seen = match &asker {
            Some(asker) => Some(asker.ask(&client, &scope, &pods).await),
            None => None,
        };
        let fleet = Fleet { pods, azure: seen };
        print(output, &fleet, show.watch)?;
        match show.watch {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Ok(Exit::Good),
        }
    }
}

fn print(output: &Output, fleet: &Fleet, watch: Option<Duration>) -> io::Result<()> {
    match output.format {
        Format::Json => output.print_json(&rows::json(fleet)),
        Format::Table => {
            // A screen that is looked at for long shows the newest table only.
            let clear = if watch.is_some() && io::stdout().is_terminal() {
                "\u{1b}[H\u{1b}[2J"
            } else {
                ""
            };
            output.print(&format!("{clear}{}", rows::table(fleet, output.color)))
        }
    }
}

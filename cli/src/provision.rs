//! `ado-agent provision`: what has to exist in Entra, Azure DevOps and the cluster for one pool, phase by phase.
//!
//! Each phase reads what is there, decides (`plan`), asks for what is missing, and reads until the service shows it
//! (`settle`). So it can be run again at any time, and goes on where it stopped.

mod arguments;
pub(crate) mod az;
mod bicep;
pub(crate) mod change;
mod keda;
pub(crate) mod phase;
pub(crate) mod phases;
pub(crate) mod plan;
pub(crate) mod principal;
pub(crate) mod reason;
pub(crate) mod report;
pub(crate) mod settle;
pub(crate) mod trouble;
pub(crate) mod world;

pub(crate) use arguments::Target;
pub use phase::Phase;
pub use principal::ServiceAccount;
pub use reason::ProvisionReason;

use crate::Exit;
use crate::output::Output;
use clap::Args;
use phases::Run;
use principal::{Ids, Principal};
use report::Entry;
use serde_json::{Value, json};
use settle::{Mode, Outcome};
use std::collections::BTreeMap;
use std::io::Write as _;

/// Make what an agent pool needs: identities, federated credentials, users, pool, roles, placeholder, and what KEDA needs.
///
/// It can be run again: what is there already stays. What is going on goes to stderr; manifests and templates, and with
/// --dry-run the requests, go to stdout. Azure is asked by your own az (identity, credential), Azure DevOps with your own
/// token (--token-file), else with that of who is signed in to az: a Project Collection Administrator who administers all
/// agent pools.
#[derive(Debug, Args)]
pub struct Provision {
    #[command(flatten)]
    target: Target,
    /// What the placeholder offers beyond the usual, for your jobs' demands: docker=/usr/bin/docker. Repeatable.
    #[arg(long = "capability", value_name = "NAME=VALUE", value_parser = arguments::capability)]
    capabilities: Vec<(String, String)>,
    /// Print the two Azure phases as a Bicep template, and ask nobody anything.
    #[arg(long)]
    bicep: bool,
}

pub(crate) async fn run(provision: &Provision, output: Output) -> anyhow::Result<Exit> {
    let target = &provision.target;
    let principals = target.principals();
    if provision.bicep {
        output.print(&bicep::render(&principals, target.issuer.as_deref(), &target.audience))?;
        return Ok(Exit::Good);
    }
    let phases = phase::selected(&target.phases, target.keda_is());
    let mut run = Run::new(target, &phases, target.placeholder(&provision.capabilities), output).await?;
    let mut left = phases.iter();
    for phase in left.by_ref() {
        if let Err(finding) = run.phase(*phase).await {
            run.report.add(failed(*phase, finding));
            break;
        }
    }
    let left: Vec<&str> = left.map(|phase| phase.as_str()).collect();
    say_what_is_next(&run, &left);
    let identities = identities(&run.principals, &run.known);
    run.report.value("identities", identities);
    run.report.value("notRun", left.into());
    run.report.end()
}

pub(crate) fn failed(phase: Phase, finding: crate::problem::Finding) -> Entry {
    Entry {
        phase,
        outcome: Outcome::Failed,
        finding,
        asked: Vec::new(),
    }
}

fn say_what_is_next(run: &Run<'_>, left: &[&str]) {
    // Nobody reads it if stderr is closed.
    if !left.is_empty() {
        let _ = writeln!(std::io::stderr(), "not run: {}", left.join(", "));
        return;
    }
    let agents = run.principals.first();
    let client_id = agents.and_then(|agents| run.known.get(&agents.who)?.client_id.as_deref());
    if let (Some(agents), Some(client_id), Mode::Ask) = (agents, client_id, run.mode) {
        let account = &agents.account;
        let _ = writeln!(
            std::io::stderr(),
            "next: kubectl -n {} annotate --overwrite serviceaccount {} {}={client_id}",
            account.namespace,
            account.name,
            contract::AZWI_CLIENT_ID_ANNOTATION
        );
    }
}

fn identities(principals: &[Principal], known: &BTreeMap<principal::Who, Ids>) -> Value {
    let one = |principal: &Principal| {
        let ids = known.get(&principal.who).cloned().unwrap_or_default();
        let value = json!({
            "name": principal.name,
            "clientId": principal.client_id.clone().or(ids.client_id),
            "objectId": principal.object_id.clone().or(ids.object_id),
        });
        (principal.who.as_str().to_owned(), value)
    };
    principals.iter().map(one).collect::<serde_json::Map<_, _>>().into()
}

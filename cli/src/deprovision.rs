//! `ado-agent deprovision`: what `provision` made, removed in reverse; nothing that is used, and nothing of others without a word.

mod phases;
mod plan;

use crate::Exit;
use crate::output::Output;
use crate::provision::phase::{self, Phase};
use crate::provision::phases::Run;
use crate::provision::{Target, failed};
use clap::Args;
use phases::Removal;
use plan::Confirmed;
use std::io::Write as _;

/// Remove what an agent pool needed, in reverse: KEDA's part, placeholder, roles, pool, users, credentials, identities.
///
/// What is still used stays: a pool or a role while agents are in the pool, a user with roles on other pools, an identity with
/// federated credentials of other clusters. What this program cannot prove to have made stays, too, until --confirm names it;
/// each such line says with which word.
#[derive(Debug, Args)]
pub struct Deprovision {
    #[command(flatten)]
    target: Target,
    /// Remove this although nobody can tell who made it: pool/NAME, role/IDENTITY, user/IDENTITY, agent/NAME, credential/NAME,
    /// identity/NAME. Repeatable.
    #[arg(long = "confirm", value_name = "KIND/NAME")]
    confirmed: Vec<String>,
}

pub(crate) async fn run(deprovision: &Deprovision, output: Output) -> anyhow::Result<Exit> {
    let target = &deprovision.target;
    let mut phases = phase::selected(&target.phases, target.keda_is());
    phases.reverse();
    if target.phases.is_empty() && target.place().is_none() {
        // Without a resource group the identities are somebody else's matter.
        phases.retain(|phase| ![Phase::Credential, Phase::Identity].contains(phase));
    }
    let run = Run::new(target, &phases, target.placeholder(&[]), output).await?;
    let mut removal = Removal {
        run,
        confirmed: Confirmed(deprovision.confirmed.clone()),
    };
    let mut left = phases.iter();
    for phase in left.by_ref() {
        if let Err(finding) = removal.phase(*phase).await {
            removal.run.report.add(failed(*phase, finding));
            break;
        }
    }
    let left: Vec<&str> = left.map(|phase| phase.as_str()).collect();
    if !left.is_empty() {
        // Nobody reads it if stderr is closed.
        let _ = writeln!(std::io::stderr(), "not run: {}", left.join(", "));
    }
    removal.run.report.value("notRun", left.into());
    removal.run.report.end()
}

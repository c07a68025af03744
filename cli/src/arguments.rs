//! The command line. Doc comments here are what `--help` prints.

use crate::output::Format;
use crate::{check, completion, deprovision, inject, keep, migrate, provision, status, sweep_once};
use clap::{Parser, Subcommand};

/// Azure Pipelines agents on Kubernetes, seen and looked after from outside their pods.
#[derive(Debug, Parser)]
#[command(name = "ado-agent", version, max_term_width = 100)]
pub struct Arguments {
    /// How to print.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at cluster, webhook, identity, organization, pool and KEDA, and say what is wrong before the first pod exists.
    Check(Box<check::Check>),
    /// Show the agents of a namespace or of the cluster: what their sidecars say, and with a credential what Azure DevOps says.
    Status(Box<status::Show>),
    /// Print the completion script of a shell.
    Completion(completion::Completion),
    /// Look after agents from outside their pods; runs in the cluster.
    Keep(Box<keep::Keep>),
    /// Remove agents of pods that are gone; a dry run unless --delete is given.
    Sweep(Box<sweep_once::Sweep>),
    Inject(Box<inject::Inject>),
    Migrate(Box<migrate::Migrate>),
    Provision(Box<provision::Provision>),
    Deprovision(Box<deprovision::Deprovision>),
}

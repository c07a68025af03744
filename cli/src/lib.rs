//! `ado-agent`: what operators of Azure Pipelines agents type, and what runs in the cluster outside their pods.
//!
//! One module a command. What they share: [`arguments`] (the command line), [`output`] (tables for people, JSON for machines),
//! [`problem`] (what is wrong, why, and what to do), [`organization`] (who asks Azure DevOps with which credential), [`network`]
//! (certificates and proxy) and [`cluster`] (who asks the API server).

pub mod agent_pods;
pub mod arguments;
pub mod check;
pub mod cluster;
mod completion;
pub mod deprovision;
pub mod duration;
pub mod fleet;
pub mod inject;
pub mod keep;
pub mod ledger_store;
pub mod manifest;
pub mod migrate;
pub mod network;
#[cfg(test)]
mod offline_agent;
pub mod organization;
pub mod output;
pub mod problem;
pub mod provision;
pub mod session;
pub mod status;
pub mod sweep_once;
pub mod sweeper;

use arguments::{Arguments, Command};
use output::Output;
use std::process::ExitCode;

/// How the program ends. Documented in the reference and relied upon by scripts: the numbers do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is so, or was done.
    Good,
    /// Something is wrong, or could not be done; what and why was printed.
    Problem,
    /// The command line is wrong (`EX_USAGE` of sysexits.h).
    Usage,
}

impl Exit {
    /// Every end, for the reference.
    pub const ALL: [Self; 3] = [Self::Good, Self::Problem, Self::Usage];

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Problem => 1,
            Self::Usage => 64,
        }
    }

    /// What it means, for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Good => {
                "Everything that was asked for is so, or was done. Warnings, and what could not be looked at, count as good."
            }
            Self::Problem => "Something is wrong, or could not be done; what and why was printed.",
            Self::Usage => "The command line is wrong; what is right was printed.",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Runs one command to its end.
pub fn run(arguments: Arguments) -> ExitCode {
    let output = Output::new(arguments.output);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&anyhow::Error::new(error).context("the program cannot start"));
            return Exit::Problem.into();
        }
    };
    let ended = runtime.block_on(async {
        match arguments.command {
            Command::Check(check) => check::run(&check, &output).await,
            Command::Status(show) => status::run(&show, &output).await,
            Command::Completion(completion) => completion::run(&completion),
            Command::Keep(keep) => keep::run(*keep).await,
            Command::Sweep(sweep) => sweep_once::run(*sweep, output).await,
            Command::Inject(arguments) => inject::run(&arguments, output).await,
            Command::Migrate(arguments) => migrate::run(*arguments, output),
            Command::Provision(provision) => provision::run(&provision, output).await,
            Command::Deprovision(deprovision) => deprovision::run(&deprovision, output).await,
        }
    });
    // A lookup of a name that hangs must not keep the program.
    runtime.shutdown_background();
    ended
        .unwrap_or_else(|error| {
            output.error(&error);
            Exit::Problem
        })
        .into()
}

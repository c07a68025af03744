//! Docker Engine: that of the machine where there is one, else one of ours ([`super::engine`]).

use crate::command::{Interrupt, output};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long most of what it is asked may take.
const LIMIT: Duration = Duration::from_secs(60);

/// An engine, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Docker {
    /// The machine's, as its owner has set it up.
    Machine,
    /// Ours.
    Own {
        /// Folder with Docker's client.
        programs: PathBuf,
        /// Where it listens.
        socket: PathBuf,
    },
}

impl Docker {
    /// The machine's, if it answers.
    pub(crate) fn of_machine(interrupt: &Interrupt) -> Option<Self> {
        Self::Machine.version(interrupt).ok().map(|_| Self::Machine)
    }

    /// Version of the engine.
    pub(crate) fn version(&self, interrupt: &Interrupt) -> Result<String> {
        self.output(&["version", "--format={{.Server.Version}}"], interrupt)
            .map(|version| version.trim().to_owned())
    }

    /// Runs Docker's client to its end.
    pub(crate) fn output(&self, arguments: &[&str], interrupt: &Interrupt) -> Result<String> {
        self.within(arguments, LIMIT, interrupt)
    }

    /// Runs Docker's client to its end with a limit.
    pub(crate) fn within(&self, arguments: &[&str], limit: Duration, interrupt: &Interrupt) -> Result<String> {
        let program = match self {
            Self::Machine => PathBuf::from("docker"),
            Self::Own { programs, .. } => programs.join("docker"),
        };
        output(self.command(&program).args(arguments), limit, interrupt)
    }

    /// A program that asks the engine: Docker's client, or kind, which looks for the client in `PATH`.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Own { programs, socket } = self {
            let path = std::env::var("PATH").unwrap_or_default();
            command
                .env("PATH", format!("{}:{path}", programs.display()))
                .env("DOCKER_HOST", format!("unix://{}", socket.display()))
                // Whatever is set up for another engine.
                .env("DOCKER_CONFIG", "/nonexistent")
                .env_remove("DOCKER_CONTEXT")
                .env_remove("DOCKER_TLS_VERIFY");
            // kind hands them to its nodes, and no proxy can be reached from ours.
            for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
                command.env_remove(proxy);
            }
        }
        command
    }
}

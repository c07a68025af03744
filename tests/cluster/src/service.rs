//! A long-running program of the node: started in its world, with a log in a file.

use crate::command::{Interrupt, tail_of, until};
use crate::namespace::Namespaces;
use crate::process::Process;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Name of the service and of its log.
    pub name: String,
    /// File.
    pub program: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Environment beyond the driver's own.
    pub environment: Vec<(String, String)>,
}

/// What was started.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The process, as the machine numbers it.
    pub process: Process,
    /// `nsenter`, which waits for it.
    parent: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it, with a log of its name in the folder.
    pub fn start(&self, namespaces: &Namespaces, logs: &Path, interrupt: &Interrupt) -> Result<Service> {
        let log = logs.join(format!("{}.log", self.name));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = namespaces.command("setsid");
        let mut parent = command
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let outer = Process::of(parent.id().cast_signed())?;
        let started = until(&self.name, Duration::from_secs(10), interrupt, || {
            if let Some(status) = parent.try_wait()? {
                // Reported below, with the log.
                return Ok(Some(Err(status)));
            }
            Ok(outer.only_child().map(Ok))
        })?;
        match started {
            Ok(process) => Ok(Service {
                name: self.name.clone(),
                process,
                parent,
                log,
            }),
            Err(status) => bail!("{} ended at once ({status}):\n{}", self.name, tail_of(&log, 15)),
        }
    }
}

impl Service {
    /// An error with the end of its log if it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.parent.try_wait()? {
            bail!(
                "{} ended ({status}); the end of {}:\n{}",
                self.name,
                self.log.display(),
                tail_of(&self.log, 15)
            );
        }
        Ok(())
    }
}

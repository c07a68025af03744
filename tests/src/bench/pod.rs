//! A sidecar as a process, with the environment that the webhook writes and folders for volumes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::process::Process;
use crate::programs::program;
use crate::world::World;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a file that is waited for.
const LOOK: Duration = Duration::from_micros(100);

/// A pod of one container: the sidecar. Dropping it kills the process.
pub struct Pod {
    folder: TempDir,
    name: String,
    environment: Vec<(&'static str, String)>,
    sidecar: Option<Child>,
}

impl Pod {
    /// A pod whose sidecar is not started.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn new(world: &World, number: usize, log_level: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        for volume in ["handoff", "state"] {
            std::fs::create_dir(path(volume))?;
        }
        std::fs::write(path("assertion"), world.assertion())?;
        let name = format!("azp-agent-{number}");
        let environment = vec![
            (contract::CONTRACT_VARIABLE, contract::VERSION.to_string()),
            (contract::HANDOFF_VARIABLE, "token-file".to_owned()),
            (contract::OWNER_VARIABLE, owner(&name)),
            (contract::POD_NAME_VARIABLE, name.clone()),
            (contract::POD_UID_VARIABLE, format!("uid-of-{name}")),
            (contract::GRACE_SECONDS_VARIABLE, "3600".to_owned()),
            (contract::URL_VARIABLE, world.organisation_url()),
            (contract::POOL_VARIABLE, world.settings.pool.clone()),
            (contract::ALLOWED_HOSTS_VARIABLE, "127.0.0.1".to_owned()),
            (contract::ALLOWED_AUTHORITIES_VARIABLE, "127.0.0.1".to_owned()),
            (contract::AZURE_AUTHORITY_HOST_VARIABLE, world.authority_url()),
            (contract::AZURE_CLIENT_ID_VARIABLE, world.agents.client_id.clone()),
            (contract::AZURE_TENANT_ID_VARIABLE, world.settings.tenant.clone()),
            (contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE, path("assertion")),
            (contract::CA_PEM_VARIABLE, world.authority.pem().to_owned()),
            (contract::HANDOFF_DIR_VARIABLE, path("handoff")),
            (contract::STATE_DIR_VARIABLE, path("state")),
            (contract::TERMINATION_LOG_VARIABLE, path("termination-log")),
            (contract::TOKEN_FILE_MODE_VARIABLE, "0644".to_owned()),
            (contract::LOG_LEVEL_VARIABLE, log_level.to_owned()),
        ];
        Ok(Self {
            folder,
            name,
            environment,
            sidecar: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, argument: &str) -> Command {
        let mut command = Command::new(program("ado-agent-sidecar"));
        command
            .arg(argument)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Starts the sidecar; how long until the token file is there.
    ///
    /// # Errors
    /// It does not come.
    pub fn start(&mut self) -> anyhow::Result<Duration> {
        let log = std::fs::File::create(self.path("log"))?;
        let mut command = self.command("run");
        command.stdout(Stdio::null()).stderr(log);
        let token = Path::new(contract::TOKEN_SUBDIRECTORY).join(contract::TOKEN_FILE_NAME);
        let token = self.path("handoff").join(token);
        let started = Instant::now();
        self.sidecar = Some(command.spawn()?);
        appears(&token, started).with_context(|| self.log())
    }

    /// Runs `ado-agent-sidecar` with one word, as the kubelet does; how long that took, and whether it succeeded.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn call(&self, word: &str) -> anyhow::Result<(Duration, bool)> {
        let mut command = self.command(word);
        let started = Instant::now();
        let output = command.output()?;
        Ok((started.elapsed(), output.status.success()))
    }

    /// Waits until the startup probe passes, then registers the agent as the start script would.
    ///
    /// # Errors
    /// It does not pass.
    pub fn register(&self, world: &World) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.call("probe")?.1 {
            ensure!(Instant::now() < deadline, "the probe does not pass:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let owner = owner(&self.name);
        world.pool.add_agent(&self.name, &[(contract::OWNER_VARIABLE, &owner)]);
        Ok(())
    }

    /// What the sidecar has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The sidecar's process.
    ///
    /// # Errors
    /// It was not started.
    pub fn process(&self) -> anyhow::Result<Process> {
        let sidecar = self.sidecar.as_ref().context("the sidecar is not started")?;
        Ok(Process(sidecar.id()))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(sidecar) = &mut self.sidecar {
            // It may have ended by itself.
            let _ = sidecar.kill();
            let _ = sidecar.wait();
        }
    }
}

fn owner(name: &str) -> String {
    format!("ado-agent/v1/cluster/agents/{name}/uid-of-{name}")
}

/// Waits for a file; the time since `started`.
///
/// # Errors
/// It does not appear.
pub fn appears(file: &Path, started: Instant) -> anyhow::Result<Duration> {
    while !file.exists() {
        ensure!(started.elapsed() < PATIENCE, "{} does not appear", file.display());
        std::thread::sleep(LOOK);
    }
    Ok(started.elapsed())
}

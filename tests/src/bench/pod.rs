//! A sidecar as a process, with the environment that the webhook writes and folders for volumes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::process::Process;
use crate::lone_sidecar;
use crate::programs::program;
use azure_emulators::world::World;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a file that is waited for.
const LOOK: Duration = Duration::from_micros(100);

/// A pod of one container: the sidecar. Dropping it kills the process.
pub struct Pod {
    folder: TempDir,
    name: String,
    environment: BTreeMap<&'static str, String>,
    program: Option<PathBuf>,
    groups: Vec<PathBuf>,
    sidecar: Option<Child>,
}

impl Pod {
    /// A pod whose sidecar is not started.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn new(world: &World, number: usize, log_level: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let name = format!("azp-agent-{number}");
        let mut environment = lone_sidecar::prepare(world, &name, folder.path())?;
        environment.insert(contract::LOG_LEVEL_VARIABLE, log_level.to_owned());
        std::fs::write(folder.path().join("assertion/assertion"), world.assertion())?;
        Ok(Self {
            folder,
            name,
            environment,
            program: None,
            groups: Vec::new(),
            sidecar: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its agent's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.environment.insert(name, value);
    }

    /// Runs another program than the one of this repository, and joins control groups first, by their files of processes.
    pub fn run_as(&mut self, program: Option<&Path>, groups: Vec<PathBuf>) {
        self.program = program.map(Path::to_owned);
        self.groups = groups;
    }

    /// Where the token file is.
    pub fn token_directory(&self) -> PathBuf {
        self.path("handoff").join(contract::TOKEN_SUBDIRECTORY)
    }

    fn command(&self, argument: &str) -> anyhow::Result<Command> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => program("ado-agent-sidecar")?,
        };
        let mut command = Command::new("/bin/sh");
        if self.groups.is_empty() {
            command = Command::new(&program);
        } else {
            // Every process of a container is in its groups, the probe, too.
            let join = r#"while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@""#;
            command
                .args(["-c", join, "sh"])
                .args(&self.groups)
                .arg("--")
                .arg(&program);
        }
        command
            .arg(argument)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Starts the sidecar; how long until the token file is there.
    ///
    /// # Errors
    /// It does not come.
    pub fn start(&mut self) -> anyhow::Result<Duration> {
        let log = std::fs::File::create(self.path("log"))?;
        let mut command = self.command("run")?;
        command.stdout(Stdio::null()).stderr(log);
        let token = lone_sidecar::token_file(self.folder.path());
        let started = Instant::now();
        self.sidecar = Some(command.spawn()?);
        appears(&token, started).with_context(|| self.log())
    }

    /// Runs `ado-agent-sidecar` with one word, as the kubelet does; how long that took, and whether it succeeded.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn call(&self, word: &str) -> anyhow::Result<(Duration, bool)> {
        let mut command = self.command(word)?;
        let started = Instant::now();
        let output = command.output()?;
        Ok((started.elapsed(), output.status.success()))
    }

    /// Waits until the startup probe passes.
    ///
    /// # Errors
    /// It does not.
    pub fn may_start(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.call("probe")?.1 {
            ensure!(Instant::now() < deadline, "the probe does not pass:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until the startup probe passes, then registers the agent as the start script would.
    ///
    /// # Errors
    /// It does not pass.
    pub fn register(&self, world: &World) -> anyhow::Result<()> {
        self.register_as(world, &self.name)
    }

    /// The same with another name than the expected one.
    ///
    /// # Errors
    /// It does not pass.
    pub fn register_as(&self, world: &World, name: &str) -> anyhow::Result<()> {
        self.may_start()?;
        let owner = lone_sidecar::owner(&self.name);
        world.pool.add_agent(name, &[(contract::OWNER_VARIABLE, &owner)]);
        Ok(())
    }

    /// Whether the sidecar has not ended.
    ///
    /// # Errors
    /// It was not started.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        let sidecar = self.sidecar.as_mut().context("the sidecar is not started")?;
        Ok(sidecar.try_wait()?.is_none())
    }

    /// SIGTERM; the exit code, and none where a signal ended it.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn end(&mut self, within: Duration) -> anyhow::Result<Option<i32>> {
        let id = self.process()?.0;
        if self.is_running()? {
            let id = rustix::process::Pid::from_raw(i32::try_from(id)?).context("no process id")?;
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        let deadline = Instant::now() + within;
        while self.is_running()? {
            ensure!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        let sidecar = self.sidecar.as_mut().context("the sidecar is not started")?;
        Ok(sidecar.wait()?.code())
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

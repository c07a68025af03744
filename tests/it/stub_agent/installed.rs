//! An agent that was unpacked into a folder, beside a world of its own.

use azure_emulators::ado::{AdoView, AgentView};
use azure_emulators::world::World;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use stub_agent::AgentVersion;
use tests::agent_package::stub_package;
use tokio::process::{Child, Command};

/// Longer than anything here takes on a busy machine: the gateway alone holds a registration for up to a minute.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);
/// Name of the agent.
pub(crate) const NAME: &str = "stub";

/// An unpacked package.
pub(crate) struct Installed {
    pub(crate) world: World,
    folder: tempfile::TempDir,
    /// By how much its pauses are shortened.
    hurry: u32,
}

/// Unpacks the package of this version.
pub(crate) async fn unpacked(version: AgentVersion) -> Installed {
    let world = World::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    world.authority.write_pem(&folder.path().join("ca.pem")).unwrap();
    let archive = tokio::task::spawn_blocking(move || stub_package(version))
        .await
        .unwrap()
        .unwrap();
    let root = folder.path().join("agent");
    std::fs::create_dir(&root).unwrap();
    let unpacking = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(&root)
        .status();
    assert!(unpacking.await.unwrap().success());
    Installed {
        world,
        folder,
        hurry: 20,
    }
}

/// Unpacks it and registers the agent.
pub(crate) async fn configured(version: AgentVersion) -> Installed {
    let agent = unpacked(version).await;
    let output = agent.configure(&[]).await;
    assert!(output.status.success(), "{}", text(&output));
    agent
}

/// Runs a program to its end.
pub(crate) async fn output(command: &mut Command) -> Output {
    let ended = tokio::time::timeout(LIMIT, command.output()).await;
    ended.unwrap_or_else(|_| panic!("{command:?} does not end")).unwrap()
}

/// What a program wrote.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

impl Installed {
    /// With pauses that are shortened by this much.
    pub(crate) fn hurried(mut self, hurry: u32) -> Self {
        self.hurry = hurry;
        self
    }

    /// The agent's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// A program of the package, in the agent's root and environment.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        // As a container starts its first process: a test program that runs in the background may ignore SIGINT, and its
        // children would.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(program.as_ref());
        command
            .current_dir(self.root())
            .env("AGENT_ALLOW_RUNASROOT", "true")
            .env("HOME", self.root())
            .env("SSL_CERT_FILE", self.folder.path().join("ca.pem"))
            .env("STUB_AGENT_HURRY", self.hurry.to_string())
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs `config.sh` as start scripts do, with further arguments.
    pub(crate) async fn configure(&self, further: &[&str]) -> Output {
        let (url, token) = (self.world.organization_url(), self.world.access_token());
        let usual = ["--unattended", "--acceptTeeEula", "--auth", "PAT", "--agent", NAME];
        let mut command = self.command("./config.sh");
        command
            .args(usual)
            .args(["--pool", self.world.pool.name()])
            .args(further);
        if !further.contains(&"--url") {
            command.args(["--url", &url]);
        }
        if !further.contains(&"--token") {
            command.args(["--token", &token]);
        }
        output(&mut command).await
    }

    /// Runs `config.sh remove` with this token.
    pub(crate) async fn remove(&self, token: &str) -> Output {
        let mut command = self.command("./config.sh");
        command.args(["remove", "--unattended", "--auth", "PAT", "--token", token]);
        output(&mut command).await
    }

    /// Starts a command; what it writes goes to a file.
    pub(crate) fn start(&self, mut command: Command) -> Started {
        let log = self.folder.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Started {
            process: command.spawn().unwrap(),
            log,
        }
    }

    /// Starts the listener and waits until it listens.
    pub(crate) async fn listening(&self, arguments: &[&str]) -> Started {
        let mut command = self.command("./bin/Agent.Listener");
        command.arg("run").args(arguments);
        let listener = self.start(command);
        listener.says("Listening for Jobs").await;
        listener
    }

    /// The agent as the pool shows it.
    pub(crate) fn agent(&self) -> AgentView {
        self.world.pool.agent(NAME).unwrap()
    }

    /// Waits for something in Azure DevOps.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&AdoView) -> bool) {
        self.world.ado.wait_until(what, LIMIT, holds).await.unwrap();
    }

    /// Waits until the job has this result.
    pub(crate) async fn job_is(&self, job: u64, result: &str) {
        let what = format!("the job is {result}");
        self.until(&what, |view| {
            view.job(job).is_some_and(|job| job.result.as_deref() == Some(result))
        })
        .await;
    }
}

/// A process that was started.
pub(crate) struct Started {
    pub(crate) process: Child,
    log: PathBuf,
}

impl Started {
    /// What it has written.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has written something.
    pub(crate) async fn says(&self, words: &str) {
        eventually(words, || self.log().contains(words), || self.log()).await;
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        send(i32::try_from(self.process.id().unwrap()).unwrap(), signal);
    }

    /// Waits for its end; exit code, or 128 and the signal that ended it, as a shell says.
    pub(crate) async fn code(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let status = tokio::time::timeout(LIMIT, self.process.wait()).await;
        let status = status
            .unwrap_or_else(|_| panic!("it does not end:\n{}", self.log()))
            .unwrap();
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

/// Sends a signal to a process that a test started.
pub(crate) fn send(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Whether a process runs; one that nobody waits for does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

/// The number that a step wrote into a file of the agent's work folder.
pub(crate) async fn number_in(agent: &Installed, file: &str) -> i32 {
    let path = agent.root().join("_work").join(file);
    let read = || std::fs::read_to_string(&path).ok()?.trim().parse().ok();
    eventually(file, || read().is_some(), String::new).await;
    read().unwrap()
}

/// Waits until it holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool, explain: impl Fn() -> String) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}\n{}", explain());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

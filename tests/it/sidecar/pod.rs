//! What a test needs of a pod: the sidecar's environment and volumes, its process, and a stand-in for the registration.

use azure_emulators::world::World;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::lone_sidecar;
use tests::programs::program;

/// Longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The pod's name, and so the agent's.
pub(crate) const NAME: &str = "azp-agent-0";
/// All requests that remove an agent.
pub(crate) const DELETE: &str = "DELETE /_apis/distributedtask/pools/*/agents/*";

/// A pod's volumes and the environment of its sidecar, as the webhook writes it.
pub(crate) struct Pod {
    directory: TempDir,
    environment: BTreeMap<String, String>,
}

impl Pod {
    /// A pod in which everything is as it should be, with a fresh service-account token.
    pub(crate) fn new(world: &World) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let environment = lone_sidecar::prepare(world, NAME, directory.path()).expect("volumes");
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
        let pod = Self {
            directory,
            environment: environment.collect(),
        };
        pod.project(&world.assertion());
        pod.set(contract::GRACE_SECONDS_VARIABLE, "60")
            .set(contract::LOG_LEVEL_VARIABLE, "trace")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sets a variable; the empty string is as good as absent.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Puts a service-account token where the kubelet would, by a swap as the kubelet does it.
    pub(crate) fn project(&self, assertion: &str) {
        let volume = self.path("assertion");
        let dated = tempfile::tempdir_in(&volume).expect("a directory").keep();
        std::fs::write(dated.join("assertion"), assertion).expect("written");
        let new = volume.join("..data_tmp");
        std::os::unix::fs::symlink(dated.file_name().expect("a name"), &new).expect("linked");
        std::fs::rename(new, volume.join("..data")).expect("swapped");
        let visible = volume.join("assertion");
        if std::fs::symlink_metadata(&visible).is_err() {
            std::os::unix::fs::symlink("..data/assertion", visible).expect("linked");
        }
    }

    /// Where the agent's start script finds the token.
    pub(crate) fn token_file(&self) -> PathBuf {
        lone_sidecar::token_file(self.directory.path())
    }

    pub(crate) fn token(&self) -> Option<String> {
        std::fs::read_to_string(self.token_file()).ok()
    }

    /// The termination message as it is now.
    pub(crate) fn message(&self) -> String {
        std::fs::read_to_string(self.path("termination-log")).unwrap_or_default()
    }

    /// Everything that the sidecar logged so far, over all its runs.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A command with this pod's environment and no other.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("ado-agent-sidecar").expect("built"));
        command.args(arguments).env_clear().envs(&self.environment);
        command
    }

    /// Starts the sidecar.
    pub(crate) fn start(&self) -> Sidecar<'_> {
        self.spawn(self.command(&["run"]))
    }

    /// Starts a command as this pod's sidecar.
    pub(crate) fn spawn(&self, mut command: Command) -> Sidecar<'_> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let log = log.expect("a log");
        command
            .stderr(log.try_clone().expect("the same log"))
            .stdout(log)
            .stdin(Stdio::null());
        Sidecar {
            pod: self,
            child: command.spawn().expect("the sidecar starts"),
        }
    }

    /// Starts the sidecar with a tmpfs in place of a volume, mounted with these options. Needs a mount namespace.
    pub(crate) fn start_on_tmpfs(&self, volume: &str, options: &str) -> Sidecar<'_> {
        let namespace = ["--user", "--map-root-user", "--mount"];
        let allowed = Command::new("unshare").args(namespace).arg("true").status();
        assert!(
            allowed.is_ok_and(|status| status.success()),
            "this test needs unshare(1) and a mount namespace: run it as root, or allow unprivileged user namespaces"
        );
        let run = self.command(&["run"]);
        let mut command = Command::new("unshare");
        command
            .args(namespace)
            .args(["sh", "-c", "mount -t tmpfs -o \"$0\" none \"$1\" && exec \"$2\" run"])
            .args([options.as_ref(), self.path(volume).as_os_str(), run.get_program()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.spawn(command)
    }

    /// What the kubelet's startup probe gets: whether it passes, and what it says.
    pub(crate) fn probe(&self) -> (bool, String) {
        answer(self.command(&["probe"]).output().expect("the probe starts"))
    }

    /// What the kubelet's `preStop` hook gets.
    pub(crate) fn pre_stop(&self) -> (bool, String) {
        answer(self.command(&["pre-stop"]).output().expect("the hook starts"))
    }
}

fn answer(output: Output) -> (bool, String) {
    let line = String::from_utf8(output.stdout).expect("text");
    (output.status.success(), line.trim_end().to_owned())
}

/// A running sidecar, killed when it is dropped.
pub(crate) struct Sidecar<'p> {
    pub(crate) pod: &'p Pod,
    child: Child,
}

impl Sidecar<'_> {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A path as the sidecar sees it, in its own mounts.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.id()));
        root.join(path.strip_prefix("/").expect("absolute"))
    }

    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it is there");
    }

    /// SIGKILL, and the end of it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it is ours");
    }

    /// Waits for the end; the exit code.
    pub(crate) async fn end(&mut self, within: Duration) -> i32 {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status.code().expect("it ended by itself");
            }
            assert!(
                Instant::now() < deadline,
                "still running after {within:?}:\n{}",
                self.pod.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the termination message begins with this word.
    pub(crate) async fn says(&mut self, reason: contract::Reason) -> String {
        self.eventually(&format!("it says {reason}"), |pod| {
            let message = pod.message();
            message.starts_with(&format!("{reason}: ")).then_some(message)
        })
        .await
    }

    /// Waits until something is there.
    pub(crate) async fn eventually<T>(&mut self, what: &str, look: impl Fn(&Pod) -> Option<T>) -> T {
        self.eventually_within(SOON, what, look).await
    }

    /// The same, for what takes longer.
    pub(crate) async fn eventually_within<T>(
        &mut self,
        within: Duration,
        what: &str,
        look: impl Fn(&Pod) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = look(self.pod) {
                return found;
            }
            let state = || format!("message: {}\nlog:\n{}", self.pod.message(), self.pod.log());
            assert!(Instant::now() < deadline, "not within {within:?}: {what}\n{}", state());
            assert!(
                self.child.try_wait().expect("it is ours").is_none(),
                "it ended before {what}\n{}",
                state()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Sidecar<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Registers an agent as this pod's start script does, without its session. Returns its id.
pub(crate) fn register(world: &World) -> i64 {
    let owner = lone_sidecar::owner(NAME);
    world.pool.add_agent(NAME, &[(contract::OWNER_VARIABLE, &owner)])
}

/// What a file holds, or nothing.
pub(crate) fn content(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

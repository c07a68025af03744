//! The agent container's hook, in every shell that images bring: what it waits for, and for how long.

use contract::{DRAIN_FILE_NAME, Drain, PRE_STOP_SCRIPT};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::kubelet::find_tool;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

/// Longer than the hook waits without news, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits without news.
const QUIET: Duration = Duration::from_secs(5);
/// What is at once, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A shell with its `sleep`, and nothing else.
struct Shell {
    name: &'static str,
    command: Vec<PathBuf>,
    path: TempDir,
}

impl Shell {
    /// The shells of Debian, Alpine and Red Hat, and one whose `sleep` takes whole seconds only, as POSIX has it.
    fn all() -> [Self; 4] {
        let tool = |name: &str| find_tool(name).unwrap_or_else(|| panic!("{name} is not installed"));
        let shell = |name, command: &[PathBuf], sleep: Option<&Path>| {
            let path = tempfile::tempdir().expect("a directory");
            let place = path.path().join("sleep");
            match sleep {
                Some(program) => symlink(program, place).expect("linked"),
                None => {
                    let script = format!(
                        "#!/bin/sh\ncase $1 in *.*) exit 1 ;; esac\nexec {} \"$1\"\n",
                        tool("sleep").display()
                    );
                    std::fs::write(&place, script).expect("written");
                    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).expect("executable");
                }
            }
            Self {
                name,
                command: command.to_vec(),
                path,
            }
        };
        let busybox = tool("busybox");
        [
            shell("dash", &[tool("dash")], Some(&tool("sleep"))),
            shell("bash as sh", &[tool("bash"), "--posix".into()], Some(&tool("sleep"))),
            shell("busybox", &[busybox.clone(), "sh".into()], Some(&busybox)),
            shell("whole seconds", &[tool("dash")], None),
        ]
    }

    fn start(&self, file: &Path) -> Child {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .args(["-c", PRE_STOP_SCRIPT, "pre-stop"])
            .arg(file)
            .env_clear()
            .env("PATH", self.path.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().expect("a shell")
    }
}

/// Waits until the hook has returned, without a word and with success; returns how long that took.
async fn returned(shell: &Shell, hook: Child) -> Duration {
    let began = Instant::now();
    let output = timeout(PATIENCE, hook.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{}: it still waits", shell.name))
        .expect("output");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}: {} {}",
        shell.name,
        output.status,
        String::from_utf8_lossy(&said)
    );
    began.elapsed()
}

/// A drain file, as the sidecar writes it.
struct File {
    folder: TempDir,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(DRAIN_FILE_NAME)
    }

    fn write(&self, drain: Drain) {
        std::fs::write(self.path(), drain.line()).expect("written");
    }

    /// Beats as the sidecar does, so often.
    async fn heartbeats(&self, times: u64) {
        let mut seconds = interval(Duration::from_secs(1));
        for heartbeat in 0..times {
            seconds.tick().await;
            self.write(Drain::Draining { heartbeat });
        }
    }
}

#[tokio::test]
async fn the_hook_returns_at_once_where_there_is_nothing_to_wait_for() {
    for shell in Shell::all() {
        let file = File::new();
        file.write(Drain::Drained);
        let took = returned(&shell, shell.start(&file.path())).await;
        assert!(took < AT_ONCE, "{}: {took:?}", shell.name);
    }
}

/// Makes a drain file.
type Put = fn(&File);

/// The pod lives on (a liveness probe failed, an image was edited in place), or its sidecar is gone.
#[tokio::test]
async fn the_hook_waits_five_seconds_for_a_sidecar_that_says_nothing() {
    let files: [(&str, Put); 5] = [
        ("no file", |_| {}),
        ("the pod is not leaving", |file| file.write(Drain::Serving)),
        ("no heartbeat", |file| file.write(Drain::Draining { heartbeat: 7 })),
        ("a pipe", |file| {
            let made = std::process::Command::new("mkfifo").arg(file.path()).status();
            assert!(made.expect("mkfifo").success());
        }),
        ("nonsense", |file| {
            std::fs::write(file.path(), "drained? $(exit 1)\n`").expect("written");
        }),
    ];
    let mut waits = JoinSet::new();
    for (what, put) in files {
        for shell in Shell::all() {
            waits.spawn(async move {
                let file = File::new();
                put(&file);
                let took = returned(&shell, shell.start(&file.path())).await;
                assert!(took >= QUIET, "{}: {what}: {took:?}", shell.name);
            });
        }
    }
    waits.join_all().await;
}

#[tokio::test]
async fn the_hook_waits_as_long_as_the_sidecar_runs_and_drains() {
    let mut waits = JoinSet::new();
    for shell in Shell::all() {
        waits.spawn(async move {
            let file = File::new();
            file.write(Drain::Serving);
            let mut hook = shell.start(&file.path());
            // The sidecar's own hook comes late.
            let late = timeout(Duration::from_millis(3_500), hook.wait()).await;
            assert!(late.is_err(), "{}: {late:?}", shell.name);
            file.heartbeats(8).await;
            assert_eq!(hook.try_wait().expect("a process"), None, "{}", shell.name);
            file.write(Drain::Drained);
            let took = returned(&shell, hook).await;
            assert!(took < AT_ONCE, "{}: {took:?}", shell.name);
        });
    }
    waits.join_all().await;
}

#[tokio::test]
async fn the_hook_returns_five_seconds_after_the_last_heartbeat() {
    let mut waits = JoinSet::new();
    for shell in Shell::all() {
        waits.spawn(async move {
            let file = File::new();
            let hook = shell.start(&file.path());
            file.heartbeats(3).await;
            let took = returned(&shell, hook).await;
            // It may have read the last heartbeat only after a nap.
            assert!(took >= QUIET - Duration::from_millis(500), "{}: {took:?}", shell.name);
        });
    }
    waits.join_all().await;
}

#[tokio::test]
async fn the_hook_returns_at_once_in_an_image_without_sleep() {
    // Busybox looks for none: it is one.
    for mut shell in Shell::all().into_iter().filter(|shell| shell.name != "busybox") {
        shell.path = tempfile::tempdir().expect("a directory");
        let file = File::new();
        file.write(Drain::Draining { heartbeat: 1 });
        let took = returned(&shell, shell.start(&file.path())).await;
        assert!(took < AT_ONCE, "{}: {took:?}", shell.name);
    }
}

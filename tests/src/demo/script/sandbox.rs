//! The way into the sandbox: user, mount, PID and network namespaces in which the demo is started once more.
//!
//! Everything runs in there, emulators and webhook included, as one ordinary user: the person's own, or nobody where root
//! started it, since root of a user namespace that is root outside, too, could write where root may.

use super::{Options, Verdict};
use crate::kubelet::find_tool;
use crate::programs::{program, repository};
use anyhow::{Context, ensure};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("sandbox.sh");
/// Where the sandbox shows what it was given.
pub(super) const SHOWN: &str = "/demo";
/// What the name of the agent's archive there begins with; its version follows.
const AGENT: &str = "agent-";
/// The user that root becomes (`nobody` everywhere).
const NOBODY: u32 = 65534;
/// What opens the sandbox and its containers, with the package that has it.
const TOOLS: [(&str, &str); 7] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("pivot_root", "util-linux"),
    ("bash", "bash"),
    ("tar", "tar"),
];
/// Settings of the system that close namespaces to users, and the value that opens them.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "sudo sysctl user.max_user_namespaces=15000",
    ),
];

/// The script in the sandbox.
pub(super) fn script() -> PathBuf {
    Path::new(SHOWN).join("script")
}

/// The agent's archive in the sandbox.
///
/// # Errors
/// There is none.
pub(super) fn agent() -> anyhow::Result<PathBuf> {
    let is_agent = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(AGENT) && name.ends_with(".tar.gz"))
    };
    let mut files = fs::read_dir(SHOWN)?.filter_map(|entry| Some(entry.ok()?.path()));
    files.find(is_agent).context("the sandbox has no agent")
}

/// Says why there can be no sandbox here, and what would allow one.
///
/// # Errors
/// The sentence.
pub(super) fn check() -> Result<(), String> {
    let missing: Vec<(&str, &str)> = TOOLS
        .into_iter()
        .filter(|(tool, _)| find_tool(tool).is_none())
        .collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|(tool, _)| *tool).collect();
        let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        return Err(format!(
            "The sandbox needs {}, which this machine does not have (Debian, Ubuntu: sudo apt-get install {}).",
            names.join(" and "),
            packages.join(" ")
        ));
    }
    // Containers in the sandbox have namespaces of their own.
    let mut attempt = enter();
    attempt.args([
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--uts",
        "--fork",
        "true",
    ]);
    let output = attempt
        .output()
        .map_err(|error| format!("unshare cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let closed: Vec<&str> = SWITCHES
        .into_iter()
        .filter(|(file, closed, _)| {
            fs::read_to_string(Path::new("/proc/sys").join(file)).is_ok_and(|value| value.trim() == *closed)
        })
        .map(|(.., command)| command)
        .collect();
    let cure = if closed.is_empty() {
        "In a container, its runtime forbids them: start it with --security-opt seccomp=unconfined --security-opt \
         apparmor=unconfined, or run the demo outside of it."
            .to_owned()
    } else {
        format!("This allows them until the next boot: {}", closed.join("; "))
    };
    Err(format!(
        "Nothing was run: the script needs a sandbox of user, mount and network namespaces, and this machine does not \
         allow them ({}).\n{cure}",
        said.lines().next().unwrap_or("no reason given")
    ))
}

/// Builds what is needed, then runs the demo with the same arguments in the sandbox, to its end.
///
/// # Errors
/// Something could not be built or prepared, or the person stopped it.
pub(super) async fn run(options: &Options, arguments: &[OsString]) -> anyhow::Result<Verdict> {
    let agent = options.agent.clone();
    let built = tokio::task::spawn_blocking(move || {
        let programs = [program("ado-agent-webhook")?, program("ado-agent-sidecar")?];
        anyhow::Ok((programs, agent.file()?))
    });
    let (programs, ([major, minor, patch], package)) = built.await??;
    let folder = tempfile::Builder::new()
        .prefix("demo-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()?;
    let shown = folder.path().join("shown");
    for name in ["root", "shown", "shown/repository"] {
        make_folder(&folder.path().join(name))?;
    }
    for file in programs {
        let name = file.file_name().context("a program has a name")?;
        provide(&file, &shown.join(name))?;
    }
    provide(&package, &shown.join(format!("{AGENT}{major}.{minor}.{patch}.tar.gz")))?;
    provide(&std::env::current_exe()?, &shown.join("demo"))?;
    copy_folder(&repository().join("manifests"), &shown.join("repository/manifests"))?;
    let mode = if options.script.is_executable { 0o755 } else { 0o644 };
    write(&shown.join("script"), &options.script.content, mode)?;
    let opener = folder.path().join("sandbox.sh");
    write(&opener, SCRIPT.as_bytes(), 0o644)?;

    let mut inside = tokio::process::Command::from(enter());
    inside.arg("bash").arg(&opener).arg(folder.path()).arg(repository());
    inside.arg(format!("{SHOWN}/demo")).args(arguments).arg("--inside");
    let mut child = inside.kill_on_drop(true).spawn().context("setpriv cannot be started")?;
    let status = tokio::select! {
        status = child.wait() => status?,
        stopped = tokio::signal::ctrl_c() => {
            stopped?;
            child.kill().await?;
            anyhow::bail!("it was stopped");
        }
    };
    status
        .code()
        .and_then(Verdict::of_code)
        .with_context(|| format!("the demo in the sandbox ended with {status}"))
}

/// The start of a command line whose rest runs as root of the new namespaces, with an empty environment.
fn enter() -> Command {
    let mut command = Command::new("setpriv");
    // Nothing outlives the demo, however that ends.
    command.arg("--pdeathsig=KILL");
    if is_root_outside() {
        command.args([
            format!("--reuid={NOBODY}"),
            format!("--regid={NOBODY}"),
            "--clear-groups".to_owned(),
        ]);
    }
    command.args([
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--net",
        "--uts",
        "--ipc",
    ]);
    command.args(["--fork", "--kill-child", "--"]);
    let own = std::env::var("PATH").unwrap_or_default();
    command
        .env_clear()
        .env(
            "PATH",
            format!("{own}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        )
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Whether this is root of the machine, and not only of a container's user namespace (`user_namespaces(7)`, `uid_map`).
fn is_root_outside() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_of_root = |line: &str| {
        let mut numbers = line.split_whitespace();
        numbers.next() == Some("0") && numbers.next() == Some("0")
    };
    rustix::process::geteuid().is_root() && (map.is_empty() || map.lines().any(is_of_root))
}

/// Makes a folder that everybody may read, whatever the umask.
fn make_folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Puts a file there that everybody may read and run: the same one where that is allowed, since programs are large.
fn provide(from: &Path, to: &Path) -> anyhow::Result<()> {
    let is_open = from.metadata()?.permissions().mode() & 0o005 == 0o005;
    if is_open && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o755))?)
}

fn write(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    fs::write(path, content)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    make_folder(to)?;
    for entry in fs::read_dir(from)? {
        let (path, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            ensure!(path.is_file(), "{} is neither file nor folder", path.display());
            fs::copy(&path, &target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

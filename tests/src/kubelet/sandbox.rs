//! One start of a container: its root folder, what it sees there, and how a process gets in.

use super::environment::Environment;
use super::image::Image;
use super::isolation::Isolation;
use super::volumes::make_directory;
use anyhow::{Context, ensure};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

const SCRIPT: &str = include_str!("enter.sh");

/// One folder or file of the host that a container sees.
#[derive(Debug, Clone)]
pub(super) struct Mount {
    pub(super) host: PathBuf,
    pub(super) path: String,
    pub(super) read_only: bool,
}

/// One start of a container: its root folder and how to get in.
#[derive(Debug)]
pub(super) struct Sandbox {
    isolation: Isolation,
    folder: PathBuf,
    mounts: Vec<Mount>,
    is_layered: bool,
    pod: String,
    pub(super) user: User,
    pub(super) directory: String,
    pub(super) environment: Environment,
}

/// Who a container's processes are.
#[derive(Debug, Clone, Default)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) no_new_privileges: bool,
}

/// A container's main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its PID on this machine.
    pub pid: u32,
    /// The PID of the process that waits for it; the same without namespaces.
    outer: u32,
}

impl Sandbox {
    /// Makes the root folder with the image's files.
    pub(super) fn prepare(
        folder: &Path,
        isolation: &Isolation,
        image: &Image,
        pod: &str,
        mut mounts: Vec<Mount>,
    ) -> anyhow::Result<Self> {
        let root = folder.join("root");
        make_directory(&root, 0o755)?;
        make_directory(&root.join("tmp"), 0o1777)?;
        make_directory(&root.join("run"), 0o755)?;
        make_directory(&root.join("var"), 0o755)?;
        symlink("../run", root.join("var/run"))?;
        for (host, path) in &image.copies {
            let target = below(&root, path);
            std::fs::create_dir_all(target.parent().unwrap_or(&root))?;
            copy(host, &target)?;
        }
        if !image.directory.is_empty() {
            let directory = below(&root, &image.directory);
            std::fs::create_dir_all(&directory)?;
            if *isolation == Isolation::Root {
                give_away(&directory, image.user)?;
            }
        }
        mounts.extend(image.programs.iter().map(|(host, path)| Mount {
            host: host.clone(),
            path: path.clone(),
            read_only: true,
        }));
        Ok(Self {
            isolation: isolation.clone(),
            folder: folder.to_owned(),
            mounts,
            is_layered: image.is_layered,
            pod: pod.to_owned(),
            user: User::default(),
            directory: if image.directory.is_empty() {
                "/".to_owned()
            } else {
                image.directory.clone()
            },
            environment: Environment::default(),
        })
    }

    /// Starts the main process; what it says goes to `log`.
    pub(super) async fn start(&self, command: &[String], log: std::fs::File) -> anyhow::Result<(Child, Process)> {
        let mut started = self.command(command)?;
        started
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = started.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let outer = child.id().context("the process has ended before it had an id")?;
        if let Isolation::Rewritten(_) = self.isolation {
            return Ok((child, Process { pid: outer, outer }));
        }
        for _ in 0..2000 {
            let written = std::fs::read_to_string(self.pid_file()).unwrap_or_default();
            if let Some(pid) = written.strip_suffix('\n') {
                return Ok((
                    child,
                    Process {
                        pid: pid.parse()?,
                        outer,
                    },
                ));
            }
            ensure!(
                child.try_wait()?.is_none(),
                "the container's namespaces could not be made"
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        anyhow::bail!("the container's first process did not appear within 10 s")
    }

    /// A command beside the main process, as for an exec probe or a hook.
    pub(super) fn exec(&self, process: Process, command: &[String]) -> anyhow::Result<Command> {
        let mut enter = match self.isolation {
            Isolation::Rewritten(_) => return self.rewritten(command),
            Isolation::Root => {
                let mut enter = vec!["nsenter".to_owned(), format!("--target={}", process.pid)];
                enter.extend(["--mount", "--pid", "--uts", "--"].map(str::to_owned));
                enter
            }
            // The outer process is in the user namespace that owns the others.
            Isolation::Unprivileged => vec![
                "nsenter".to_owned(),
                format!("--target={}", process.outer),
                "--user".to_owned(),
                "--preserve-credentials".to_owned(),
                "--mount".to_owned(),
                "--uts".to_owned(),
                format!("--pid=/proc/{}/ns/pid", process.pid),
                "--".to_owned(),
            ],
        };
        enter.extend(self.within(command)?);
        let mut program = Command::new(&enter[0]);
        program.args(&enter[1..]).env("PATH", tool_path()).kill_on_drop(true);
        Ok(program)
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    pub(super) fn command(&self, command: &[String]) -> anyhow::Result<Command> {
        if let Isolation::Rewritten(_) = self.isolation {
            return self.rewritten(command);
        }
        let mounts: String = self
            .mounts
            .iter()
            .map(|mount| {
                let mode = if mount.read_only { "ro" } else { "rw" };
                format!("{mode}\t{}\t{}\n", mount.host.display(), mount.path)
            })
            .collect();
        let list = self.folder.join("mounts");
        std::fs::write(&list, mounts)?;
        let script = self.folder.join("enter.sh");
        std::fs::write(&script, SCRIPT)?;
        // Nothing of a pod outlives the kubelet double, however that ends.
        let mut program = Command::new("setpriv");
        program.args([
            "--pdeathsig=KILL",
            "unshare",
            "--mount",
            "--pid",
            "--uts",
            "--fork",
            "--kill-child",
        ]);
        if self.isolation == Isolation::Unprivileged {
            program.args(["--user", "--map-root-user"]);
        }
        program.args(["--", "bash"]).arg(script).arg(self.folder.join("root"));
        program.arg(&self.pod).arg(self.pid_file()).arg(list);
        program.args(self.within(command)?);
        program.env_clear().env("PATH", tool_path()).current_dir("/");
        if self.is_layered {
            program.env("LAYERED", "yes");
        }
        Ok(program)
    }

    /// The last steps, inside: become the user, take the environment, go to the directory.
    fn within(&self, command: &[String]) -> anyhow::Result<Vec<String>> {
        let User {
            uid,
            gid,
            groups,
            no_new_privileges,
        } = &self.user;
        let mut line: Vec<String> = Vec::new();
        match (&self.isolation, uid) {
            (Isolation::Unprivileged, 0) => {}
            (Isolation::Unprivileged, _) => {
                line.extend(["unshare", "--user"].map(str::to_owned));
                line.extend([
                    format!("--map-user={uid}"),
                    format!("--map-group={gid}"),
                    "--".to_owned(),
                ]);
            }
            (Isolation::Root | Isolation::Rewritten(_), _) => {
                line.extend(["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}")]);
                // A change of user clears what unshare(1) asked for with --kill-child: to die with it.
                if self.isolation == Isolation::Root {
                    line.push("--pdeathsig=KILL".to_owned());
                }
                line.push(if groups.is_empty() {
                    "--clear-groups".to_owned()
                } else {
                    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
                    format!("--groups={}", groups.join(","))
                });
                if *no_new_privileges {
                    line.push("--no-new-privs".to_owned());
                }
                line.push("--".to_owned());
            }
        }
        ensure!(!command.is_empty(), "neither the image nor the pod names a command");
        line.extend(["env".to_owned(), "-i".to_owned(), format!("--chdir={}", self.directory)]);
        line.extend(self.environment.0.iter().map(|(name, value)| format!("{name}={value}")));
        line.extend(command.iter().cloned());
        Ok(line)
    }

    fn rewritten(&self, command: &[String]) -> anyhow::Result<Command> {
        let command: Vec<String> = command.iter().map(|argument| self.rewrite(argument)).collect();
        ensure!(!command.is_empty(), "neither the image nor the pod names a command");
        let mut program = Command::new("setpriv");
        program.arg("--pdeathsig=KILL");
        if rustix::process::geteuid().is_root() {
            program.args([
                format!("--reuid={}", self.user.uid),
                format!("--regid={}", self.user.gid),
            ]);
            program.arg("--clear-groups");
        }
        program.arg("--").args(&command).env_clear().kill_on_drop(true);
        program.envs(
            self.environment
                .0
                .iter()
                .map(|(name, value)| (name, self.rewrite(value))),
        );
        program.current_dir(self.rewrite(&self.directory));
        Ok(program)
    }

    /// Replaces a path that a mount or the image provides by the one on this machine.
    fn rewrite(&self, value: &str) -> String {
        let starts = |path: &str| {
            value
                .strip_prefix(path)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .map(str::to_owned)
        };
        let longest = self
            .mounts
            .iter()
            .filter_map(|mount| Some((mount.path.len(), &mount.host, starts(&mount.path)?)))
            .max_by_key(|(length, ..)| *length);
        if let Some((_, host, rest)) = longest {
            return format!("{}{rest}", host.display());
        }
        if starts(&self.directory).is_some() {
            return below(&self.folder.join("root"), value).display().to_string();
        }
        value.to_owned()
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The path for the tools around a container, whatever the user's own path is.
fn tool_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.is_dir() {
        std::fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn give_away(path: &Path, (uid, gid): (u32, u32)) -> anyhow::Result<()> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give_away(&entry?.path(), (uid, gid))?;
        }
    }
    Ok(())
}

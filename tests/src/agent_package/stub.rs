//! The agent package as a start script downloads it: a tar.gz of the scripts and the stub listener.

use crate::programs::{program, repository};
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use stub_agent::{AgentVersion, VERSION_FILE};

/// Path of the package. It is made once for each build of the stub and left in the target folder.
///
/// # Errors
/// The stub cannot be built, or cp or tar fail; the error holds what they say.
pub fn stub_package(version: AgentVersion) -> anyhow::Result<PathBuf> {
    let listener = program("stub-agent")?;
    let target = listener.parent().context("the stub agent lies in a directory")?;
    let package = target.join(format!("stub-agent-{version}.tar.gz"));
    if is_newer(&package, &listener)? {
        return Ok(package);
    }
    let staging = tempfile::tempdir_in(target)?;
    let tree = staging.path().join("agent");
    run(Command::new("cp")
        .arg("-R")
        .arg(repository().join("tests/agent/package"))
        .arg(&tree))?;
    std::fs::create_dir_all(tree.join("bin"))?;
    std::fs::write(tree.join(VERSION_FILE), format!("{version}\n"))?;
    let stub = tree.join("bin/Agent.Listener");
    // A third of the size; where there is no strip, the download only takes longer.
    let stripped = Command::new("strip").arg("-o").arg(&stub).arg(&listener).output();
    if !stripped.is_ok_and(|output| output.status.success()) {
        std::fs::copy(&listener, &stub)?;
    }
    // One program with two tasks; as processes they are two, as in the real agent.
    std::os::unix::fs::symlink("Agent.Listener", tree.join("bin/Agent.Worker"))?;
    let made = staging.path().join("package.tar.gz");
    run(Command::new("tar")
        .env("GZIP", "-1")
        .args(["--owner=0", "--group=0", "-czf"])
        .arg(&made)
        .arg("-C")
        .arg(&tree)
        .arg("."))?;
    // Several processes may make it at once; each puts a whole one in place.
    std::fs::rename(&made, &package)?;
    Ok(package)
}

fn is_newer(package: &Path, listener: &Path) -> anyhow::Result<bool> {
    let Ok(made) = package.metadata().and_then(|data| data.modified()) else {
        return Ok(false);
    };
    let mut sources = vec![listener.to_owned()];
    let mut folders = vec![repository().join("tests/agent/package")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                sources.push(entry.path());
            }
        }
    }
    for source in sources {
        if source.metadata()?.modified()? >= made {
            return Ok(false);
        }
    }
    Ok(true)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

//! Installs the clients, with the versions and hashes of the lock files beside the programs, into a folder outside the
//! repository. A folder is named after what is installed in it, so it is right or it is not there.

use super::Language;
use anyhow::{Context, Result, ensure};
use ring::digest::{SHA256, digest};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::programs::{self, repository};

/// Installs what is not there yet, and says which command runs the program. Everything from the network comes now: the
/// programs run without one.
pub(crate) fn install(language: Language) -> Result<Vec<OsString>> {
    let sources = repository().join("tests/clients").join(language.name());
    match language {
        Language::Python => python(&sources),
        Language::Node => node(&sources),
        Language::Go => go(&sources),
    }
    .context("cannot be installed")
}

fn python(sources: &Path) -> Result<Vec<OsString>> {
    // A virtual environment is good for the interpreter that made it.
    let interpreter = output(Command::new("python3").args(["-c", "import sys; print(sys.base_prefix, sys.version)"]))?;
    let requirements = sources.join("requirements.txt");
    let folder = once("python", &interpreter, &[&requirements], |folder| {
        // A virtual environment names its own place, so it is made where it stays.
        output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]);
        pip.args(["--require-hashes", "--only-binary=:all:", "--requirement"]);
        output(pip.arg(&requirements)).map(drop)
    })?;
    Ok(vec![folder.join("bin/python").into(), sources.join("client.py").into()])
}

fn node(sources: &Path) -> Result<Vec<OsString>> {
    const OLDEST: u32 = 20;
    let version = output(Command::new("node").args(["--print", "process.versions.node.split('.')[0]"]))?;
    ensure!(
        version.parse::<u32>().is_ok_and(|version| version >= OLDEST),
        "Node.js {version} is too old for @azure/identity: install {OLDEST} or newer"
    );
    let locked = ["package.json", "package-lock.json"].map(|name| sources.join(name));
    let folder = once("node", &version, &[&locked[0], &locked[1]], |folder| {
        fs::create_dir_all(folder)?;
        for file in &locked {
            fs::copy(file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        output(npm.current_dir(folder)).map(drop)
    })?;
    // Packages are looked for beside the program.
    let program = folder.join("client.mjs");
    fs::copy(sources.join("client.mjs"), &program).with_context(|| format!("cannot write {}", program.display()))?;
    Ok(vec!["node".into(), program.into()])
}

fn go(sources: &Path) -> Result<Vec<OsString>> {
    let program = cache()?.join("go").join("clients");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-mod=readonly", "-buildvcs=false", "-o"]);
    output(go.arg(&program).arg(".").current_dir(sources).env("CGO_ENABLED", "0"))?;
    Ok(vec![program.into()])
}

/// The folder for what these files ask for, of this version of the language, filled by `make` unless it has been.
fn once(language: &str, version: &str, locked: &[&PathBuf], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut content = version.as_bytes().to_vec();
    for file in locked {
        content.extend(fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    let hash = digest(&SHA256, &content);
    let hash: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = cache()?.join(format!("{language}-{hash}"));
    let complete = folder.join("complete");
    if !complete.exists() {
        // What an interrupted installation has left is not trusted.
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        make(&folder)?;
        fs::write(&complete, "").with_context(|| format!("cannot write {}", complete.display()))?;
    }
    Ok(folder)
}

/// `${XDG_CACHE_HOME:-~/.cache}/ado-agent-injector/clients`.
fn cache() -> Result<PathBuf> {
    let folder = programs::cache()?.join("clients");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Runs a program to its end and returns what it printed, without the line's end.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .with_context(|| format!("{shown} cannot be started: is it installed?"))?;
    ensure!(
        output.status.success(),
        "{shown}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

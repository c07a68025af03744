//! Finds the project's own programs, built from the sources as they are now.

use anyhow::{Context, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository's top folder.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the repository's top folder")
}

/// `${XDG_CACHE_HOME:-~/.cache}/ado-agent-injector`: what is kept outside the repository and may be deleted at any time.
///
/// # Errors
/// Neither variable names an absolute path in UTF-8.
pub fn cache() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .filter(|path| path.to_str().is_some())
        .context("neither XDG_CACHE_HOME nor HOME names an absolute path in UTF-8: set one of them")?;
    Ok(cache.join("ado-agent-injector"))
}

/// Where programs lie that were built before, if cargo is not to be asked.
static PREPARED: OnceLock<PathBuf> = OnceLock::new();

/// From now on takes programs from this directory: for a process that sees neither the target folder nor cargo.
pub fn use_prepared(directory: &Path) {
    // Only the first directory counts, as it would with cargo's answer.
    let _ = PREPARED.set(directory.to_owned());
}

/// Names a folder with the programs to test instead of those that cargo builds: those of a release, perhaps for another platform
/// (`release/emulated`).
pub const PROGRAMS_VARIABLE: &str = "ADO_TEST_PROGRAMS";

/// Path of `ado-agent-webhook`, `ado-agent-sidecar`, `ado-agent` or `stub-agent`.
///
/// Cargo does not build another package's programs for a test, and a stale one would be tested silently. So this asks
/// cargo, once a process; where nothing changed that takes a fraction of a second.
///
/// # Errors
/// Cargo cannot be started, or cannot build them; the error holds what it says. Or the folder that the variable names has no such
/// program.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(directory) = PREPARED.get() {
        return Ok(directory.join(name));
    }
    if let Some(folder) = std::env::var_os(PROGRAMS_VARIABLE) {
        let path = Path::new(&folder).join(name);
        ensure!(
            path.is_absolute() && path.is_file(),
            "{PROGRAMS_VARIABLE} is an absolute path: {} is no file",
            path.display()
        );
        return Ok(path);
    }
    match DIRECTORY.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(directory) => Ok(directory.join(name)),
        Err(error) => bail!("{error}"),
    }
}

/// Cargo, in the repository's top folder, with the environment that a person's shell would give it.
///
/// What runs under cargo inherits variables about its own package. Build scripts that watch those, such as ring's, would
/// be run again, and all that depends on them compiled again, each time that cargo is called now from a shell and now
/// from a test.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository());
    for (name, _) in std::env::vars_os() {
        let is_of_a_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_a_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn build() -> anyhow::Result<PathBuf> {
    let executable = executable(&[
        "--bin=ado-agent-webhook",
        "--bin=ado-agent-sidecar",
        "--bin=ado-agent",
        "--bin=stub-agent",
    ])?;
    let directory = executable.parent().context("a program lies in a folder")?;
    Ok(directory.to_owned())
}

/// Path of an example.
///
/// # Errors
/// As for [`program`].
pub fn example(name: &str) -> anyhow::Result<PathBuf> {
    executable(&[&format!("--example={name}")])
}

/// Builds, and gives the path of the first program.
fn executable(what: &[&str]) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--message-format=json"]);
    // Of the whole workspace, so that dependencies have the features that `cargo test --workspace` has compiled them with.
    cargo.arg("--workspace").args(what);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo
        .output()
        .context("cargo cannot be started: is it on the PATH, as `cargo run` and `cargo test` leave it?")?;
    ensure!(
        output.status.success(),
        "cargo build failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .context("cargo does not name the programs that it built")
}

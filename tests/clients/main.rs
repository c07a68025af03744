//! Microsoft's own clients against the emulators: `cargo test -p tests --test clients -- [python] [node] [go]`.
//!
//! Each language has one program beside this file, which prints a line for each operation and ends at the first wrong answer.
//! Needs Python, Node.js and Go, their package registries for the first time, and namespaces: docs/emulators.md.

mod install;
mod operations;
mod stage;

use anyhow::{Context, Result, bail, ensure};
use operations::Client;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tests::programs::repository;

/// What the clients are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// From PyPI.
    Python,
    /// From npm.
    Node,
    /// Go modules.
    Go,
}

impl Language {
    const ALL: [Self; 3] = [Self::Python, Self::Node, Self::Go];

    /// Name of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Go => "go",
        }
    }

    fn clients(self) -> &'static [Client] {
        match self {
            Self::Python => operations::PYTHON,
            Self::Node => operations::NODE,
            Self::Go => operations::GO,
        }
    }
}

/// What a program showed.
struct Passed {
    language: Language,
    /// Package, version, number of operations.
    clients: Vec<(String, String, usize)>,
    installation: Duration,
    run: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = match arguments.split_first() {
        Some((first, program)) if first == stage::INSIDE => stage::inside(program),
        _ => all(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "clients: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn all(arguments: &[OsString]) -> Result<()> {
    if let Some(unknown) = arguments
        .iter()
        .find(|argument| !Language::ALL.iter().any(|language| *argument == language.name()))
    {
        bail!(
            "there is no {}: use python, node, go, or nothing for all",
            unknown.display()
        );
    }
    let wanted = |language: &Language| arguments.is_empty() || arguments.iter().any(|one| one == language.name());
    let mut passed = Vec::new();
    for language in Language::ALL.into_iter().filter(wanted) {
        passed.push(one(language).with_context(|| format!("the clients of {}", language.name()))?);
    }
    let mut out = std::io::stdout();
    write!(out, "\n{}", figures(&passed))?;
    if passed.len() == Language::ALL.len() {
        documented(&passed)?;
    }
    let clients: usize = passed.iter().map(|one| one.clients.len()).sum();
    writeln!(out, "\n{clients} passed, 0 failed")?;
    Ok(())
}

fn one(language: Language) -> Result<Passed> {
    let start = Instant::now();
    let program = install::install(language)?;
    let installation = start.elapsed();
    let start = Instant::now();
    let lines = shown(&program)?;
    let run = start.elapsed();
    let clients = language
        .clients()
        .iter()
        .map(|client| {
            let version = lines
                .iter()
                .find_map(|line| line.strip_prefix(&format!("client {} ", client.package)))
                .with_context(|| format!("the program does not say which {} it has", client.package))?;
            let start = format!("ok {}: ", client.package);
            let done: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(&start)).collect();
            ensure!(
                done == client.operations,
                "{} did {done:#?} instead of {:#?}",
                client.package,
                client.operations
            );
            Ok((client.package.to_owned(), version.to_owned(), done.len()))
        })
        .collect::<Result<_>>()?;
    Ok(Passed {
        language,
        clients,
        installation,
        run,
    })
}

/// Runs a program among the emulators and passes on what it prints.
fn shown(program: &[OsString]) -> Result<Vec<String>> {
    let mut child = stage::command(program)?
        .stdout(Stdio::piped())
        .spawn()
        .context("unshare cannot be started: install util-linux")?;
    let output = child.stdout.take().context("the output was asked for")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("what the program prints is no text")?;
        writeln!(std::io::stdout(), "{line}")?;
        lines.push(line);
    }
    let status = child.wait()?;
    ensure!(
        !lines.is_empty(),
        "nothing was run: this needs root, or a system that allows unprivileged user namespaces"
    );
    ensure!(status.success(), "{status}");
    Ok(lines)
}

fn figures(passed: &[Passed]) -> String {
    let mut table = format!("{:<24}{:<42}{:>10}\n", "client", "version", "operations");
    for (package, version, operations) in passed.iter().flat_map(|one| &one.clients) {
        let _ = writeln!(table, "{package:<24}{version:<42}{operations:>10}");
    }
    table.push('\n');
    for one in passed {
        let _ = writeln!(
            table,
            "{:<8}installed in {:>5.1} s, run in {:>5.1} s",
            one.language.name(),
            one.installation.as_secs_f64(),
            one.run.as_secs_f64()
        );
    }
    table
}

const BEGIN: &str = "<!-- clients -->\n";
const END: &str = "<!-- end of clients -->";

/// The page says what was seen now. `UPDATE_GOLDENS=1` writes it.
fn documented(passed: &[Passed]) -> Result<()> {
    let mut table = "| client | language | version | operations |\n|---|---|---|---|\n".to_owned();
    for one in passed {
        for (package, version, operations) in &one.clients {
            let _ = writeln!(table, "| {package} | {:?} | {version} | {operations} |", one.language);
        }
    }
    let file = repository().join("docs/emulators.md");
    let page = std::fs::read_to_string(&file)?;
    let (head, rest) = page
        .split_once(BEGIN)
        .context("docs/emulators.md has no place for the clients")?;
    let (_, tail) = rest
        .split_once(END)
        .context("the table of clients in docs/emulators.md has no end")?;
    let rendered = format!("{head}{BEGIN}\n{table}\n{END}{tail}");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&file, rendered)?;
        return Ok(());
    }
    ensure!(
        page == rendered,
        "docs/emulators.md is out of date: UPDATE_GOLDENS=1 cargo test -p tests --test clients"
    );
    Ok(())
}

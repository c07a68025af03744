//! Runs other programs: bounded in time, interruptible, and with an error that shows what they said.

use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);

/// Set by a signal handler; every wait in this module's family ends soon after with an error.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks for the end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// An error once the end was asked for.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}

/// What a program wrote.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its standard output.
    pub output: String,
    /// Its standard error: where kubectl shows warnings.
    pub error: String,
}

/// Runs a program to its end and returns its standard output. Anything but success is an error.
pub fn output(command: &mut Command, limit: Duration, interrupt: &Interrupt) -> Result<String> {
    said(command, "", limit, interrupt).map(|said| said.output)
}

/// Runs a program to its end with this standard input. Anything but success is an error.
pub fn said(command: &mut Command, input: &str, limit: Duration, interrupt: &Interrupt) -> Result<Said> {
    let shown = shown(command);
    let output = finish(command, input, limit, interrupt).with_context(|| shown.clone())?;
    if !output.status.success() {
        bail!(
            "{shown}: {}\n{}",
            output.status,
            tail(&String::from_utf8_lossy(&output.stderr), 20)
        );
    }
    Ok(Said {
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program to its end with both outputs captured.
fn finish(command: &mut Command, input: &str, limit: Duration, interrupt: &Interrupt) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot be started")?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let mut stdin = child.stdin.take().expect("the standard input was asked for");
    let input = input.to_owned();
    // A program that ends before it has read everything says why itself.
    thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let status = wait(&mut child, limit, interrupt)?;
    Ok(Output {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Waits for a child; kills it at the limit or when interrupted.
pub(crate) fn wait(child: &mut Child, limit: Duration, interrupt: &Interrupt) -> Result<std::process::ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let over = Instant::now() >= deadline;
        if over || interrupt.check().is_err() {
            child.kill()?;
            child.wait()?;
            interrupt.check()?;
            bail!("did not end within {limit:?}");
        }
        thread::sleep(POLL);
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Tries until it gets a value. The last error says why not.
pub fn until<T>(
    what: &str,
    limit: Duration,
    interrupt: &Interrupt,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        interrupt.check()?;
        let answer = attempt();
        if let Ok(Some(value)) = answer {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return match answer {
                Err(error) => Err(error.context(format!("{what}: not within {limit:?}"))),
                Ok(_) => bail!("{what}: not within {limit:?}"),
            };
        }
        thread::sleep(POLL * 2);
    }
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The last lines of a file, or why there are none.
pub(crate) fn tail_of(path: &Path, lines: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => tail(&String::from_utf8_lossy(&bytes), lines),
        Err(error) => format!("(no log: {error})"),
    }
}

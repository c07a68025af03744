//! Runs a long build and says every few seconds how far it is.

use crate::command::{Interrupt, shown, tail};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often a build says that it lives.
const PACE: Duration = Duration::from_secs(15);
/// A build that takes longer hangs.
const LIMIT: Duration = Duration::from_mins(90);

/// Runs a command that names what it compiles on its error output, a line each (`go build -v`, `cargo build`).
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<()> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{shown}: cannot be started"))?;
    let pipe = child.stderr.take().expect("the error output was asked for");
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let begin = Instant::now();
    let mut said = begin;
    let mut log = String::new();
    let mut compiled = 0;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                compiled += 1;
                log.push_str(line.trim());
                log.push('\n');
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if said.elapsed() >= PACE {
            said = Instant::now();
            let (seconds, last) = (begin.elapsed().as_secs(), tail(&log, 1));
            report(&format!("{seconds} s, {compiled} packages, at {last}"));
        }
        if interrupt.check().is_err() || begin.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            interrupt.check()?;
            bail!("{shown}: did not end within {LIMIT:?}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{shown}: {status}\n{}", tail(&log, 30));
    }
    Ok(())
}

//! A stub of the Azure Pipelines agent's listener: the REST calls, files and exit codes of the real one; of a job it runs
//! the shell steps.
//!
//! Written from public descriptions of microsoft/azure-pipelines-agent (`Agent.Listener`, `ConfigurationManager`,
//! `MessageListener`); it never ran against a real organisation. `tests/agent/package` holds the scripts around it.

mod arguments;
mod capabilities;
mod client;
mod configure;
mod files;
mod job;
mod keys;
mod listener;
mod package;

pub use package::{VERSION, package};

use arguments::{Arguments, Verb};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Exit codes of the listener (`Constants.Agent.ReturnCode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    /// Done, or told to end.
    Success = 0,
    /// Nothing that a restart would cure.
    Terminated = 1,
    /// A wrapper may start it again.
    Retryable = 2,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Divides every pause of the stub (30 s between session attempts, 5–15 s between empty polls, 10 s and more before an
/// HTTP retry), so that tests need not wait for them. Unset or 1: the pauses of the real agent.
const HURRY_VARIABLE: &str = "STUB_AGENT_HURRY";

/// A pause of the real agent, shortened by [`HURRY_VARIABLE`].
fn pause(real: Duration) -> Duration {
    let hurry = variable(HURRY_VARIABLE)
        .and_then(|value| value.parse::<u32>().ok())
        .filter(|hurry| *hurry > 0);
    real / hurry.unwrap_or(1)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs the program.
pub async fn main() -> ExitCode {
    say("STUB of the Azure Pipelines agent; of a job it runs the shell steps only");
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let arguments = match Arguments::parse(std::env::args().skip(1), &environment) {
        Ok(arguments) => arguments,
        Err(error) => {
            complain(&error);
            return Code::Terminated.into();
        }
    };
    let root = match files::Root::of_this_program() {
        Ok(root) => root,
        Err(error) => {
            complain(&format!("cannot find the agent's root directory: {error}"));
            return Code::Terminated.into();
        }
    };
    let done = match arguments.verb {
        Verb::Configure => configure::configure(&root, &arguments, &environment).await,
        Verb::Remove => configure::remove(&root, &arguments).await,
        Verb::Run => return listener::run(&root, &arguments, &environment).await.into(),
    };
    match done {
        Ok(()) => Code::Success.into(),
        Err(error) => {
            complain(&error.to_string());
            Code::Terminated.into()
        }
    }
}

/// A line for the person who reads the container's log.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads the log any more: no reason to end.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A random UUID, from the kernel.
fn uuid() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map(|text| text.trim().to_owned())
        .expect("Linux offers random UUIDs below /proc")
}

//! A stub of the Azure Pipelines agent's listener: the REST calls, files and exit codes of the real one; of a job it runs
//! the shell steps.
//!
//! Written from public descriptions of microsoft/azure-pipelines-agent (`Agent.Listener`, `ConfigurationManager`,
//! `MessageListener`); it never ran against a real organization. The folder `package` holds the scripts around it, `start`
//! the start scripts of agent images.

mod arguments;
mod capabilities;
mod client;
mod configure;
mod files;
mod identity;
mod job;
mod keys;
mod listener;
mod location;
mod registration;
mod session;
mod signals;
mod version;
mod worker;

pub use version::AgentVersion;

use arguments::{Arguments, Verb};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Exit codes of the listener (`Constants.Agent.ReturnCode`, and .NET's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    /// Done, or told to end by SIGINT.
    Success = 0,
    /// Nothing that a restart would cure.
    Failed = 1,
    /// A wrapper may start it again.
    Retryable = 2,
    /// Told to end by SIGTERM, on .NET 8.
    Terminated = 143,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Divides every pause of the stub (30 s between session attempts, 5–15 s between empty polls, 11 s and more before an
/// HTTP retry), so that tests need not wait for them. Unset or 1: the pauses of the real agent. What canceling a job takes is
/// not divided.
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

/// File of an agent package that tells the stub which version it is.
pub const VERSION_FILE: &str = "bin/stub-version";
/// Wins over the file, so that agents of both versions can come of one package.
pub const VERSION_VARIABLE: &str = "STUB_AGENT_VERSION";

/// Runs the program.
pub async fn main() -> ExitCode {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let arguments = match Arguments::parse(std::env::args().skip(1), &environment) {
        Ok(arguments) => arguments,
        Err(error) => return fail(&error),
    };
    if arguments.verb == Verb::SpawnClient {
        return worker::main().await;
    }
    let root = match files::Root::of_this_program() {
        Ok(root) => root,
        Err(error) => return fail(&format!("cannot find the agent's root directory: {error}")),
    };
    if let Err(error) = root.check_directories() {
        return fail(&format!("{error:#}"));
    }
    let version = match root.version() {
        Ok(version) => version,
        Err(error) => return fail(&format!("{error:#}")),
    };
    if arguments.verb == Verb::Version {
        say(&version.dotted());
        return Code::Success.into();
    }
    say(&format!(
        "STUB of the Azure Pipelines agent {}; of a job it runs the shell steps only",
        version.dotted()
    ));
    let done = match arguments.verb {
        Verb::Configure => configure::configure(&root, &arguments, &environment).await,
        Verb::Remove => configure::remove(&root, &arguments).await,
        Verb::Reauth => configure::reauth(&root, &arguments, &environment).await,
        Verb::Run | Verb::Version | Verb::SpawnClient => {
            return listener::run(&root, &arguments, &environment).await.into();
        }
    };
    match done {
        Ok(()) => Code::Success.into(),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(sentence: &str) -> ExitCode {
    complain(sentence);
    Code::Failed.into()
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

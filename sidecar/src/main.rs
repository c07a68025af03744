//! `ado-agent-sidecar`: `run`, and the two commands that the kubelet runs next to it.

use sidecar::{Config, Reply};
use std::ffi::OsString;
use std::future::poll_fn;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::task::Poll;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
The sidecar of an Azure Pipelines agent pod. The webhook starts it and sets its environment; see docs/reference.md.

Usage: ado-agent-sidecar [COMMAND]

Commands:
  run       Keep a fresh token file and remove the agent when the pod ends (default)
  probe     Say what the running sidecar is doing; succeeds when the agent may start (--json: for machines)
  ready     Say what the running sidecar is doing; succeeds while the agent is online (handoff gateway)
  pre-stop  Tell the running sidecar that the pod is terminating

Options:
  --version  Print the version
  --help     Print this text

Exit codes: 0 clean end, 1 failure, 64 wrong usage
";

const WRONG_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or("?"))
        .collect();
    match arguments.as_slice() {
        [] | ["run"] => run(),
        ["probe"] => ask(sidecar::probe),
        ["probe", "--json"] => ask(sidecar::probe_json),
        ["ready"] => ask(sidecar::ready),
        ["pre-stop"] => pre_stop(),
        ["--version"] => say(concat!("ado-agent-sidecar ", env!("CARGO_PKG_VERSION")), 0),
        ["--help"] => say(USAGE.trim_end(), 0),
        _ => say(USAGE.trim_end(), WRONG_USAGE),
    }
}

fn run() -> ExitCode {
    let config = Config::read(variable);
    tracing_subscriber::fmt()
        .with_max_level(config.places().log_level)
        .with_ansi(false)
        .with_target(false)
        .with_writer(io::stderr)
        .init();
    match drive(config) {
        Ok(outcome) => ExitCode::from(u8::from(!outcome.is_clean())),
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn drive(config: Config) -> anyhow::Result<lifecycle::Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        // After so many tasks the runtime polls signals, probes and deadlines. A long response causes thousands of tasks, each
        // slower than such a poll, and the CPU limit may be a tenth of a core.
        .event_interval(4)
        .build()?;
    runtime.block_on(async {
        // Handlers first: the kernel does not deliver to PID 1 a signal that it has no handler for.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = poll_fn(move |context| {
            let is_signaled = terminate.poll_recv(context).is_ready() || interrupt.poll_recv(context).is_ready();
            if is_signaled { Poll::Ready(()) } else { Poll::Pending }
        });
        sidecar::run(config, shutdown).await
    })
}

fn ask(question: impl Fn(&Path) -> io::Result<Reply>) -> ExitCode {
    match question(&sidecar::state_dir(variable)) {
        Ok(reply) => say(&reply.line, u8::from(!reply.succeeds)),
        Err(error) => say(
            &format!("the sidecar does not answer ({error}): it is starting, or it has ended"),
            1,
        ),
    }
}

fn pre_stop() -> ExitCode {
    match sidecar::pre_stop(&sidecar::state_dir(variable)) {
        Ok(reply) => say(&reply.line, 0),
        Err(error) => say(&format!("the sidecar does not answer ({error})"), 1),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Prints a line; a closed stdout is not an error.
fn say(line: &str, code: u8) -> ExitCode {
    let _ = if code == WRONG_USAGE {
        writeln!(io::stderr(), "{line}")
    } else {
        writeln!(io::stdout(), "{line}")
    };
    ExitCode::from(code)
}

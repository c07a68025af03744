//! `ado-agent`: crypto provider, command line, one command.

use clap::{CommandFactory as _, FromArgMatches as _};
use cli::arguments::Arguments;
use std::path::Path;
use std::process::ExitCode;

/// The name under which kubectl finds the program as its plugin `kubectl ado-agent`.
const PLUGIN: &str = "kubectl-ado_agent";

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_plugin = std::env::args_os()
        .next()
        .is_some_and(|path| Path::new(&path).file_stem().is_some_and(|name| name == PLUGIN));
    // What help and errors call it.
    let name = if is_plugin { "kubectl ado-agent" } else { "ado-agent" };
    let arguments = Arguments::command()
        .bin_name(name)
        .try_get_matches()
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(usage) => {
            // Nobody reads it if stdout or stderr is closed.
            let _ = usage.print();
            return if usage.use_stderr() {
                cli::Exit::Usage.into()
            } else {
                cli::Exit::Good.into()
            };
        }
    };
    cli::run(arguments)
}

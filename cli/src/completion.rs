//! `ado-agent completion`: the script that completes commands in a shell.

use crate::Exit;
use crate::arguments::Arguments;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::io::Write as _;

/// Print the completion script of a shell.
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(completion: &Completion) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(completion.shell, &mut Arguments::command(), "ado-agent", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Good)
}

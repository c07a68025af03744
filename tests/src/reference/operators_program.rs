//! `ado-agent`: flags of each command, exit codes.

use super::{append_table, code, title};
use clap::CommandFactory as _;

/// The section.
pub(super) fn append(page: &mut String) {
    title(
        page,
        "ado-agent",
        "The program for operators, also as the kubectl plugin `kubectl ado-agent` ([ado-agent.md](ado-agent.md)). `-o json` prints \
         for machines; colors are used on terminals only, and not where `NO_COLOR` is set. It goes through the proxy of \
         `HTTPS_PROXY` and `NO_PROXY`.",
    );
    let program = cli::arguments::Arguments::command();
    flags(page, &program);
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        commands(page, "ado-agent", command);
    }
    page.push_str("\nExit codes:\n\n");
    let rows = cli::Exit::ALL
        .into_iter()
        .map(|exit| vec![code(&exit.code().to_string()), exit.meaning().to_owned()]);
    append_table(page, &["code", "meaning"], rows);
}

/// A command and those below it.
fn commands(page: &mut String, above: &str, command: &clap::Command) {
    let name = format!("{above} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.push_str(&format!("\n### {name}\n\n{}.\n\n", about.trim_end_matches('.')));
    flags(page, command);
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        commands(page, &name, below);
    }
}

fn flags(page: &mut String, command: &clap::Command) {
    let ours = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str()));
    let rows: Vec<_> = ours.map(flag).collect();
    if !rows.is_empty() {
        append_table(page, &["flag", "variable", "default", "meaning"], rows.into_iter());
    }
}

fn flag(argument: &clap::Arg) -> Vec<String> {
    let value = argument
        .get_value_names()
        .filter(|_| argument.get_action().takes_values())
        .map(|names| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "));
    let name = match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => String::new(),
    };
    let shown = [name, value.unwrap_or_default()].join(" ").trim().to_owned();
    let choices: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|choice| code(choice.get_name()))
        .collect();
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = match choices.is_empty() {
        true => help,
        false => format!(
            "{} One of {}.",
            help.trim_end_matches('.').to_owned() + ".",
            choices.join(", ")
        ),
    };
    let variable = argument
        .get_env()
        .and_then(|name| name.to_str())
        .map(code)
        .unwrap_or_default();
    let default = argument.get_default_values().iter().filter_map(|value| value.to_str());
    let default = default.map(code).collect::<Vec<_>>().join(", ");
    vec![code(&shown), variable, default, help]
}

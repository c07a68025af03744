//! Why a script has no agent online, and what its log tells. Pure.

use super::findings::{Finding, Kind, bad, missing, note};
use super::observed::Observed;
use super::trial::seconds;
use std::collections::BTreeSet;

/// A token for Azure DevOps or Entra is a JSON Web Token, which begins with the Base64 of `{"`.
pub(super) fn is_token(value: &str) -> bool {
    value.starts_with("eyJ") && value.len() > 100 && value.matches('.').count() == 2
}

/// A token between other characters, such as quotes.
pub(super) fn is_printed_token(word: &str) -> bool {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    word.split(|c| !is_of_token(c)).any(is_token)
}

/// Says why, and shows the end of the log.
pub(super) fn does_not_start(seen: &Observed, found: &mut Vec<Finding>) {
    found.push(why_not(seen));
    let lines: Vec<&str> = seen.log.lines().filter(|line| !line.trim().is_empty()).collect();
    let last: Vec<&str> = lines[lines.len().saturating_sub(8)..]
        .iter()
        // A token is not printed once more.
        .map(|line| match line.split_whitespace().any(is_printed_token) {
            true => "(a line with a token)",
            false => line,
        })
        .collect();
    found.push(if last.is_empty() {
        note("Its log is empty.")
    } else {
        note(format!("The end of its log:\n{}", last.join("\n")))
    });
}

/// Whether it is this machine or this sandbox that keeps its agent from coming online.
pub(super) fn lacks_something(seen: &Observed) -> bool {
    why_not(seen).kind == Kind::Missing
}

/// Why there is no agent online, as far as it can be told.
fn why_not(seen: &Observed) -> Finding {
    let tools = missing_tools(&seen.log);
    if !tools.is_empty() {
        return lacks(&listed(&tools));
    }
    if !seen.reached.is_empty() {
        return missing(format!(
            "It wants to reach {}; here are Azure DevOps and Entra only, and no other network.",
            listed(&seen.reached)
        ))
        .help(
            "What it fetches there has to be in the image, or try the image in a test cluster (docs/cluster.md). In a cluster, egress to these hosts has to be open (docs/azure.md#hosts).",
        );
    }
    if seen.log.lines().any(|line| line.starts_with("sudo:")) {
        return missing("It needs sudo, which cannot work in this sandbox.").help(
            "Try it with --user 0, or without sudo. In a cluster, sudo needs a pod without allowPrivilegeEscalation: false and runAsNonRoot (manifests/examples/deployment.yaml).",
        );
    }
    if seen.asks_the_machine {
        return missing("It wants the managed identity of the machine (169.254.169.254), which is not here.")
            .help("Let it read AZP_TOKEN_FILE instead: the sidecar brings the token.");
    }
    if seen.user == 0 && seen.log.contains("Must not run") {
        return bad("It runs as root, which the agent refuses.").help(
            "Set AGENT_ALLOW_RUNASROOT=1 in image or pod (here: --env AGENT_ALLOW_RUNASROOT=1), or run it as another user.",
        );
    }
    let start = &seen.start;
    let sentence = match start.code {
        Some(code) => format!("It ends with code {code} before its agent is online."),
        None if start.is_registered => format!(
            "It registers, but its agent was not online within {}.",
            seconds(start.waited)
        ),
        None => format!("It did not register within {}.", seconds(start.waited)),
    };
    bad(sentence).help("docs/troubleshooting.md#the-agent-starts-but-does-not-register")
}

/// Something that has to be installed here.
pub(super) fn lacks(tools: &str) -> Finding {
    missing(format!("It needs {tools}, which this machine does not have.")).help(
        "Install it here, where all users have it (the sandbox shows /usr, /opt and /nix, not your home), or try the image in a test cluster (docs/cluster.md).",
    )
}

/// Names as people list them.
pub(super) fn listed(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// The programs that a shell did not find, by what bash, dash, busybox and env say about it.
pub(super) fn missing_tools(log: &str) -> BTreeSet<String> {
    let mut tools = BTreeSet::new();
    for line in log.lines().map(str::trim) {
        let name = if let Some(rest) = line.strip_suffix(": command not found") {
            rest.rsplit(": ").next()
        } else if let Some(rest) = line.strip_suffix(": not found") {
            rest.rsplit(": ").next()
        } else if let Some((_, rest)) = line.split_once("env: ") {
            let rest = rest.strip_suffix(": No such file or directory");
            rest.map(|name| name.trim_matches(|c: char| "'\"‘’".contains(c)))
        } else if let Some(rest) = line.strip_suffix(": bad interpreter: No such file or directory") {
            rest.rsplit(": ").next()
        } else {
            None
        };
        let is_tool = |name: &&str| {
            !name.is_empty()
                && !name.contains(char::is_whitespace)
                && !name.starts_with('.')
                && !name.starts_with("/azp")
        };
        tools.extend(name.filter(is_tool).map(str::to_owned));
    }
    tools
}

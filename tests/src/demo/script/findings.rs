//! From what was seen to sentences: what the script does well and badly, and which setting helps. Pure.

mod finding;

pub(super) use finding::{Finding, Kind, bad, missing, note};

use super::failures::{does_not_start, is_printed_token, lacks, listed, missing_tools};
use super::observed::{Busy, Early, End, Idle, Observed, Once, OwnRemoval};
use super::subject::Obstacle;
use super::trial::seconds;
use contract::{FEDERATED_TOKEN_ANNOTATION, GRACE_SECONDS_ANNOTATION, OWN_EXCHANGE_ANNOTATION};
use finding::good;
use std::time::Duration;

/// Everything that there is to say.
pub(super) fn findings(seen: &Observed) -> Vec<Finding> {
    let mut found: Vec<Finding> = seen.obstacle.map(in_the_way).into_iter().collect();
    if let Some(interpreter) = &seen.no_interpreter {
        found.push(lacks(interpreter));
        return found;
    }
    if let Some(denial) = &seen.denied {
        found.push(bad(format!("The pod was not created: {denial}")));
        return found;
    }
    let warnings = seen.warnings.iter();
    found.extend(warnings.map(|warning| note(format!("The webhook warns: {warning}"))));
    if seen.trades_the_federated_token && seen.through_the_gateway {
        found.push(
            note("It trades the pod's federated token at Entra itself; here the gateway answered it.").help(format!(
                "Set annotation {OWN_EXCHANGE_ANNOTATION}: \"true\" (docs/gateway.md)."
            )),
        );
    } else if seen.trades_the_federated_token {
        found.push(
            note("It trades the pod's federated token at Entra itself. It was tried as beside the Azure Workload Identity webhook.").help(
                format!(
                    "Keep that token in the agent container: label azure.workload.identity/use: \"true\" and annotation {FEDERATED_TOKEN_ANNOTATION}: keep (docs/what-the-webhook-does.md)."
                ),
            ),
        );
    }
    if let Some((variable, command)) = &seen.command {
        found.push(
            bad(format!(
                "It does not start with the sidecar's file: it reads its token from {variable} only, and the webhook takes secrets in variables away."
            ))
            .help(format!(
                "The pod can fill the variable, without a change of the image; it was tried again so. command: {} (with the image's own entry point). In a pod older than an hour that token has expired, and the sidecar removes the agent. Better: let the script read AZP_TOKEN_FILE.",
                serde_json::json!(["sh", "-c", command, "sh"])
            )),
        );
    }
    match seen.start.online {
        Some(after) => starts(seen, after, &mut found),
        None => does_not_start(seen, &mut found),
    }
    if let Some(idle) = &seen.idle {
        after_a_job(seen, idle, &mut found);
    }
    if let Some(busy) = &seen.busy {
        under_a_job(busy, &mut found);
    }
    if let Some(early) = &seen.early {
        before_its_agent(seen, early, &mut found);
    }
    if let Some(once) = &seen.once {
        in_a_job(once, &mut found);
    }
    if seen.log.split_whitespace().any(is_printed_token) {
        found.push(
            bad("It writes the token to its log, where everybody who may read logs can take it.")
                .help("Take `set -x`, `env` or the `echo` out of the script (docs/security.md)."),
        );
    }
    found
}

fn in_the_way(obstacle: Obstacle) -> Finding {
    match obstacle {
        Obstacle::NoInterpreter => note("The script has no #! line, so it was started with /bin/sh.").help(
            "An image that starts it directly ends with \"exec format error\": its entry point has to name the shell.",
        ),
        Obstacle::NotExecutable => note("The script is not executable, so it was started through its interpreter.").help(
            "An image that starts it directly ends with \"permission denied\": it needs chmod +x, or an entry point that names the shell.",
        ),
        Obstacle::WindowsLines => {
            bad("The lines of the script end as on Windows, so it was started through its interpreter.")
                .help("An image that starts it directly ends with \"no such file or directory\". Save it with line feeds only.")
        }
    }
}

fn starts(seen: &Observed, after: Duration, found: &mut Vec<Finding>) {
    let start = &seen.start;
    let how = match (seen.through_the_gateway, seen.trades_the_federated_token) {
        (true, _) => "through the gateway",
        (false, true) => "with a token of its own",
        (false, false) => "with the sidecar's token",
    };
    found.push(good(format!(
        "It registers {how}; its agent was online {} after its container started.",
        seconds(after)
    )));
    if !seen.reached.is_empty() {
        found.push(
            note(format!(
                "It asked for {}, which are not here, and went on without.",
                listed(&seen.reached)
            ))
            .help("In a cluster, egress to these hosts has to be open (docs/azure.md#hosts)."),
        );
    }
    let tools = missing_tools(&seen.log);
    if !tools.is_empty() {
        found.push(note(format!(
            "It went on without {}, which this machine does not have.",
            listed(&tools)
        )));
    }
    if start.agent != start.wanted {
        let sentence = format!("It registers as {} instead of its pod's name.", start.agent);
        let is_fixed = seen.busy.as_ref().is_some_and(|busy| busy.agent == start.agent);
        found.push(if is_fixed {
            bad(format!(
                "{sentence} The name is the same in every pod, so a second replica and a rolling update take the agent over from the first."
            ))
            .help("Leave the name to the webhook: no AZP_AGENT_NAME in pod, image or script; else one replica and strategy Recreate.")
        } else {
            note(sentence).help(if seen.through_the_gateway {
                "The gateway sees the name (docs/gateway.md)."
            } else {
                "The sidecar finds it by its marker (docs/lifecycle.md#whose-agent-is-it)."
            })
        });
    }
    if !start.is_marked && !seen.through_the_gateway {
        found.push(
            note("Its agent lacks the marker ADO_AGENT_OWNER: the script drops or hides the variable (sudo without -E, env -i, VSO_AGENT_IGNORE).").help(
                "The sidecar then goes by the pod's name and warns (docs/lifecycle.md#whose-agent-is-it). Let the variable pass.",
            ),
        );
    }
    if !start.published.is_empty() {
        found.push(
            bad(format!(
                "It leaves the token in {}, which the agent publishes to everybody who may view the pool.",
                start.published.join(", ")
            ))
            .help("Unset the variable before config.sh, or name it in VSO_AGENT_IGNORE."),
        );
    }
}

fn after_a_job(seen: &Observed, idle: &Idle, found: &mut Vec<Finding>) {
    match idle.result.as_deref() {
        Some("succeeded") => found.push(good("It runs a job.")),
        Some(result) => found.push(bad(format!("Its first job ended as {result}."))),
        None => found.push(bad("Its agent is online but does not run a job.")),
    }
    if !idle.secrets.is_empty() {
        found.push(
            bad(format!("Jobs find the token in {}.", idle.secrets.join(", ")))
                .help("Unset the variable before the agent is started. A job may read the token file, too, but that is refreshed and gone with the pod (docs/security.md)."),
        );
    }
    if seen.through_the_gateway {
        found.push(match idle.tokens.as_slice() {
            [] => good("The agent container holds no token: neither its files, nor the volume that it shares, nor its environment."),
            places => bad(format!("The agent container holds a token in {}.", places.join(", "))),
        });
    }
    found.extend(idle.own_removal.map(|removal| match removal {
        OwnRemoval::WithANewToken => good("It removes its agent itself, with a token that it reads or fetches again."),
        OwnRemoval::WithAnOldToken => note("It removes its agent itself, but with a token that it had kept: in a pod older than an hour that one has expired.")
            .help("The sidecar removes the agent with a fresh token. The script's own works, too, if it reads the file (or makes its exchange) again for it."),
        OwnRemoval::None => note("It does not remove its agent itself; the sidecar does."),
    }));
    let text = "Deleted while idle";
    found.push(leaves(text, &idle.end, seen));
}

fn under_a_job(busy: &Busy, found: &mut Vec<Finding>) {
    let job = format!("Deleted under a job of {}", seconds(busy.takes));
    let end = &busy.end;
    let how = match (end.killed, end.code) {
        (true, _) => "was killed".to_owned(),
        (false, Some(code)) => format!("ended with code {code}"),
        (false, None) => "had ended".to_owned(),
    };
    match (busy.result.as_deref(), busy.finished) {
        (Some("succeeded"), _) => found.push(good(format!(
            "{job}: the job succeeded. The container {how}, the pod was gone after {}.",
            seconds(end.over)
        ))),
        (Some(result), Some(after)) => found.push(
            bad(format!(
                "{job}: the job ended as {result} {} after the deletion; the container {how}.",
                seconds(after)
            ))
            .help("docs/lifecycle.md#how-the-pod-ends says what happens to jobs, by kind of script."),
        ),
        _ => found.push(
            bad(format!(
                "{job}: the job is lost. The container {how} after {} and nobody finished the job.",
                seconds(end.over)
            ))
            .help("docs/lifecycle.md#how-the-pod-ends says what happens to jobs, by kind of script."),
        ),
    }
    if end.pool_empty.is_none() {
        found.push(stays(&job, end));
    }
}

fn before_its_agent(seen: &Observed, early: &Early, found: &mut Vec<Finding>) {
    found.push(leaves("Deleted right after its start", &early.end, seen));
    if early.open_for_jobs.as_secs() >= 1 {
        let sentence = format!(
            "Deleted right after its start, its agent came online and could be given jobs for {}",
            seconds(early.open_for_jobs)
        );
        let end = &early.end;
        let until_the_end = end
            .pool_empty
            .is_none_or(|after| after + Duration::from_secs(1) >= end.over);
        found.push(if end.killed && until_the_end {
            bad(format!("{sentence}, which die with the pod."))
        } else {
            note(format!("{sentence}, before it was taken out of the pool."))
        });
    }
}

/// How a pod without a job left.
fn leaves(text: &str, end: &End, seen: &Observed) -> Finding {
    let Some(after) = end.pool_empty else {
        return stays(text, end);
    };
    if end.killed {
        return bad(format!(
            "{text}: the pool has no agent of it after {}, but the container does not react to SIGTERM and stays until SIGKILL, {} here.",
            seconds(after),
            seconds(end.over)
        ))
        .help(format!(
            "In a cluster that is the pod's grace period, an hour by default: annotation {GRACE_SECONDS_ANNOTATION} or the pod's terminationGracePeriodSeconds shorten it, as long as jobs need. In the script, a trap before the first download ends it at once: trap 'exit 143' TERM"
        ));
    }
    let grace = seen.grace;
    let code = end.code.map_or_else(String::new, |code| format!(" with code {code}"));
    good(format!(
        "{text}: the pool has no agent of it after {}, the container ends{code}, the pod is gone after {} of {}.",
        seconds(after),
        seconds(end.over),
        seconds(grace)
    ))
}

fn stays(text: &str, end: &End) -> Finding {
    let last = match end.last_words.as_str() {
        "" => "The sidecar left no message.".to_owned(),
        words => format!("The sidecar's last words: {words}"),
    };
    bad(format!("{text}: its agent stays in the pool. {last}"))
        .help("docs/troubleshooting.md#outcomes has each outcome and what to do.")
}

fn in_a_job(once: &Once, found: &mut Vec<Finding>) {
    let text = "As a Job with --once";
    let (result, code) = (once.result.as_deref(), once.code);
    match (once.is_online, result, once.over) {
        (false, ..) => found.push(bad(format!("{text}: its agent does not come online."))),
        (true, Some("succeeded"), Some(after)) if code == Some(0) => {
            found.push(good(format!(
                "{text}: it runs one job and ends with code 0 {} later.",
                seconds(after)
            )));
        }
        (true, Some("succeeded"), Some(_)) => found.push(bad(format!(
            "{text}: it runs one job, but ends with code {}, so the Job counts as failed.",
            code.map_or_else(|| "?".to_owned(), |code| code.to_string())
        ))),
        (true, Some("succeeded"), None) => found.push(
            bad(format!(
                "{text}: it runs a job and goes on: it does not hand its arguments to the agent."
            ))
            .help("Let it end with ./run.sh \"$@\", or run it as a Deployment."),
        ),
        (true, result, _) => found.push(bad(format!(
            "{text}: its job {}.",
            result.map_or_else(|| "has not ended".to_owned(), |result| format!("ended as {result}"))
        ))),
    }
    if once.is_online && !once.pool_empty {
        found.push(
            bad(format!("{text}: its agent stays in the pool."))
                .help("docs/troubleshooting.md#outcomes has each outcome and what to do."),
        );
    }
}

#[cfg(test)]
mod tests;

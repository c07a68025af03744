//! Tables and JSON.

use super::{AgentPod, Azure, Fleet, Left, Sidecar};
use crate::output::{Color, Tone, table as columns};
use crate::problem::{DOCUMENTATION, anchor};
use azure_protocol::{ServerTime, TaskAgent};
use contract::Reason;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a person reads.
pub(crate) fn table(fleet: &Fleet, color: Color) -> String {
    let namespaces: BTreeSet<_> = fleet.pods.iter().map(|pod| pod.namespace.as_str()).collect();
    let mut head = vec!["POD", "POOL", "STATE", "TOKEN"];
    if namespaces.len() > 1 {
        head.insert(0, "NAMESPACE");
    }
    if fleet.azure.is_some() {
        head.extend(["AGENT", "JOB", "LAST JOB"]);
    }
    let rows: Vec<Vec<String>> = fleet
        .pods
        .iter()
        .map(|pod| {
            let mut cells = row(pod);
            if namespaces.len() > 1 {
                cells.insert(0, pod.namespace.clone());
            }
            if let Some(azure) = &fleet.azure {
                cells.extend(of_azure(pod, azure));
            }
            cells
        })
        .collect();
    let mut text = if rows.is_empty() {
        String::new()
    } else {
        columns(&head, &rows)
    };
    text.push_str(&summary(fleet));
    for pod in &fleet.pods {
        if let Some((reason, sentence)) = trouble(pod) {
            text.push_str(&format!(
                "{} {}/{}: {sentence}\n",
                color.paint(Tone::Warning, "!"),
                pod.namespace,
                pod.name
            ));
            if let Some(reason) = reason {
                let see = format!("[{reason}] {DOCUMENTATION}{}", anchor(reason));
                text.push_str(&format!("    {}\n", color.paint(Tone::Dim, &see)));
            }
        }
    }
    if let Some(azure) = &fleet.azure {
        for left in &azure.left {
            text.push_str(&format!("{} {}\n", color.paint(Tone::Warning, "!"), left.sentence()));
        }
        for problem in &azure.problems {
            text.push_str(&format!("{} {problem}\n", color.paint(Tone::Bad, "✗")));
        }
    } else {
        text.push_str("Azure DevOps was not asked for sessions, jobs and left-overs: that takes --token-file or --federated-token-file.\n");
    }
    text
}

fn row(pod: &AgentPod) -> Vec<String> {
    match &pod.sidecar {
        Sidecar::Says(probe) => vec![
            pod.name.clone(),
            probe.pool.clone().unwrap_or_else(|| "-".to_owned()),
            probe.reason.clone(),
            match probe.token {
                Some((_, 0)) => "expired".to_owned(),
                Some((_, left)) => format!("{} left", span(left)),
                None => "none".to_owned(),
            },
        ],
        Sidecar::Stopped(_) => vec![pod.name.clone(), "-".to_owned(), "stopped".to_owned(), "-".to_owned()],
        Sidecar::Unasked(_) => vec![pod.name.clone(), "-".to_owned(), "unknown".to_owned(), "-".to_owned()],
    }
}

fn of_azure(pod: &AgentPod, azure: &Azure) -> [String; 3] {
    match pod.probe().and_then(|probe| azure.agent(probe)) {
        Some(agent) => [state(agent).to_owned(), job(agent, azure.now), last(agent, azure.now)],
        None => ["none".to_owned(), "-".to_owned(), "-".to_owned()],
    }
}

fn state(agent: &TaskAgent) -> &'static str {
    match (agent.online, agent.enabled) {
        (true, true) => "online",
        (true, false) => "online, disabled",
        (false, true) => "offline",
        (false, false) => "offline, disabled",
    }
}

/// What it does, and since when.
fn job(agent: &TaskAgent, now: ServerTime) -> String {
    agent.assigned.as_ref().map_or_else(
        || "idle".to_owned(),
        |job| {
            let since = job.received.or(job.assigned).or(job.queued);
            let what = [job.pipeline.as_deref().unwrap_or_default(), job.name.as_str()];
            let what: Vec<_> = what.into_iter().filter(|name| !name.is_empty()).collect();
            format!("{} ({})", what.join(" / "), ago(since, now))
        },
    )
}

fn last(agent: &TaskAgent, now: ServerTime) -> String {
    agent.last_completed.as_ref().map_or_else(
        || "-".to_owned(),
        |job| {
            format!(
                "{} ({} ago)",
                job.result.as_deref().unwrap_or("unknown"),
                ago(job.finished, now)
            )
        },
    )
}

fn ago(since: Option<ServerTime>, now: ServerTime) -> String {
    since.map_or_else(
        || "?".to_owned(),
        |since| span(u64::try_from(now.0 - since.0).unwrap_or_default()),
    )
}

/// Seconds for a person: `45s`, `12m`, `3h5m`, `2d`.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What is wrong with a pod: the word, where it is one of ours, and the sentence.
fn trouble(pod: &AgentPod) -> Option<(Option<Reason>, String)> {
    match &pod.sidecar {
        Sidecar::Says(probe) if probe.is_trouble() => Some((Reason::parse(&probe.reason), probe.sentence.clone())),
        Sidecar::Says(_) => None,
        Sidecar::Stopped(why) => Some((None, format!("the sidecar does not run: {why}"))),
        Sidecar::Unasked(why) => Some((None, format!("the sidecar could not be asked: {why}"))),
    }
}

fn summary(fleet: &Fleet) -> String {
    let pods = fleet.pods.len();
    let troubled = fleet.pods.iter().filter(|pod| trouble(pod).is_some()).count();
    let mut text = match pods {
        0 => "No pod with a sidecar.".to_owned(),
        1 => "1 pod".to_owned(),
        pods => format!("{pods} pods"),
    };
    if pods == 0 {
        return text + "\n";
    }
    if let Some(azure) = &fleet.azure {
        let agents: Vec<_> = fleet.pods.iter().filter_map(|pod| azure.agent(pod.probe()?)).collect();
        let online = agents.iter().filter(|agent| agent.online).count();
        let busy = agents.iter().filter(|agent| agent.assigned.is_some()).count();
        text.push_str(&format!(
            ", {online} online, {busy} busy, {} left behind",
            azure.left.len()
        ));
    }
    format!("{text}, {troubled} with a problem\n")
}

impl Left {
    fn sentence(&self) -> String {
        format!(
            "agent \"{}\" (id {}) is left in pool \"{}\" of {}: its pod {}/{} is gone. Delete it at {}/_settings/agentpools?poolId={}&view=agents, or let `ado-agent sweep` do so.",
            self.agent,
            self.agent_id,
            self.pool,
            self.organization,
            self.namespace,
            self.pod,
            self.organization,
            self.pool_id
        )
    }
}

/// What a machine reads.
pub(crate) fn json(fleet: &Fleet) -> Value {
    let agents: Vec<Value> = fleet.pods.iter().map(|pod| one(pod, fleet.azure.as_ref())).collect();
    let azure = fleet.azure.as_ref();
    json!({
        "agents": agents,
        "azureDevOps": azure.is_some(),
        "leftBehind": azure.map(|azure| azure.left.iter().map(|left| json!({
            "organization": left.organization, "pool": left.pool, "agent": left.agent, "agentId": left.agent_id,
            "namespace": left.namespace, "pod": left.pod,
        })).collect::<Vec<_>>()),
        "problems": azure.map(|azure| azure.problems.clone()).unwrap_or_default(),
    })
}

fn one(pod: &AgentPod, azure: Option<&Azure>) -> Value {
    let mut value = json!({"namespace": pod.namespace, "pod": pod.name, "uid": pod.uid});
    match &pod.sidecar {
        Sidecar::Says(probe) => {
            value["reason"] = probe.reason.as_str().into();
            value["sentence"] = probe.sentence.as_str().into();
            value["organization"] = json!(probe.organization);
            value["pool"] = json!(probe.pool);
            value["agent"] = json!(probe.agent);
            value["token"] = probe.token.map_or(
                Value::Null,
                |(age, left)| json!({"ageSeconds": age, "expiresInSeconds": left}),
            );
        }
        Sidecar::Stopped(why) | Sidecar::Unasked(why) => value["sentence"] = why.as_str().into(),
    }
    value["problem"] = trouble(pod).is_some().into();
    if let Some(agent) = pod.probe().zip(azure).and_then(|(probe, azure)| azure.agent(probe)) {
        let job = |job: &azure_protocol::JobRequest| {
            json!({"name": job.name, "pipeline": job.pipeline, "result": job.result,
                "since": job.received.or(job.assigned).map(|time| time.to_string()),
                "finished": job.finished.map(|time| time.to_string())})
        };
        value["agentId"] = agent.id.0.into();
        value["online"] = agent.online.into();
        value["enabled"] = agent.enabled.into();
        value["job"] = agent.assigned.as_ref().map_or(Value::Null, job);
        value["lastJob"] = agent.last_completed.as_ref().map_or(Value::Null, job);
    }
    value
}

#[cfg(test)]
mod tests;

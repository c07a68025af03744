//! What to do in which order, and how to go back.

use super::{Choices, Migration, NO_CLIENT_ID};
use crate::problem::DOCUMENTATION;
use contract::{AZWI_CLIENT_ID_ANNOTATION, INJECT_LABEL};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The plan as text: numbered steps, and the way back.
pub fn plan(migration: &Migration, choices: &Choices) -> String {
    let mut text = String::new();
    for (workload, why) in &migration.kept {
        let _ = writeln!(text, "{} {} keeps its token: {why}", workload.kind, workload.name);
    }
    if migration.changed.is_empty() && migration.keda.is_empty() {
        text.push_str(if migration.kept.is_empty() {
            "Nothing to do: no agent here uses a personal access token, as far as its variables, files and Secrets say.\n"
        } else {
            "Nothing was changed.\n"
        });
        return text;
    }
    text.push_str("Agents without a personal access token. In this order:\n");
    let before = before(migration, choices);
    let last = before.len();
    for (number, step) in before.into_iter().chain(after(migration)).enumerate() {
        let _ = writeln!(text, "{:2}. {}", number + 1, step.replace('\n', "\n    "));
    }
    let _ = writeln!(
        text,
        "To go back after any of the steps up to {last}: apply the manifests as they were. The token is still valid, the Secrets are still \
         there, and the sidecar removes its agents from the pool when their pods end."
    );
    text
}

/// What can be taken back.
fn before(migration: &Migration, choices: &Choices) -> Vec<String> {
    let mut steps = Vec::new();
    identity(&mut steps, migration, choices);
    for namespace in &migration.namespaces {
        steps.push(format!("kubectl label namespace {namespace} {INJECT_LABEL}=true"));
    }
    let id = choices.client_id.as_deref().unwrap_or("CLIENT_ID");
    for (namespace, name) in &migration.accounts {
        steps.push(format!(
            "kubectl -n {namespace} annotate serviceaccount {name} {AZWI_CLIENT_ID_ANNOTATION}={id}"
        ));
    }
    if !migration.changed.is_empty() {
        steps.push(changes(migration));
    }
    steps.push(
        "kubectl apply -f FILE, and wait until the agents are online in the pool (ado-agent status). A Deployment replaces its pods by \
         itself; Jobs that run already end with the token that they began with"
            .to_owned(),
    );
    for (kind, name) in &migration.keda {
        steps.push(format!(
            "See that KEDA counts the queue with its identity: kubectl describe {} {name}",
            kind.to_lowercase()
        ));
    }
    steps.push("Run a pipeline on every pool that these agents serve".to_owned());
    steps
}

/// What cannot.
fn after(migration: &Migration) -> Vec<String> {
    let mut steps = Vec::new();
    secrets(&mut steps, migration);
    steps.push("Revoke the personal access token in Azure DevOps (user settings, personal access tokens)".to_owned());
    steps
}

fn changes(migration: &Migration) -> String {
    let mut step =
        "Look at the manifests that were written, and at what the webhook will do to these pods: ado-agent inject FILE"
            .to_owned();
    for changed in &migration.changed {
        let _ = write!(
            step,
            "\n{} {}/{}: handoff {}",
            changed.workload.kind,
            changed.namespace,
            changed.workload.name,
            changed.handoff.as_str()
        );
        if let Some(why) = &changed.why {
            let _ = write!(step, ", not the gateway: {why}");
        }
        for note in unique(&changed.notes) {
            let _ = write!(step, "\n  {note}");
        }
    }
    step
}

fn identity(steps: &mut Vec<String>, migration: &Migration, choices: &Choices) {
    let subjects: BTreeSet<String> = migration
        .changed
        .iter()
        .map(|changed| format!("system:serviceaccount:{}:{}", changed.namespace, changed.account))
        .collect();
    if !subjects.is_empty() {
        let mut step = format!(
            "In Azure: an identity with a federated credential for each of these subjects, a user of the organization, and Administrator \
             of the pools ({DOCUMENTATION}azure.md):"
        );
        for subject in &subjects {
            let _ = write!(step, "\n{subject}");
        }
        if choices.client_id.is_none() {
            let _ = write!(step, "\nIts client ID takes the place of {NO_CLIENT_ID} (--client-id)");
        }
        steps.push(step);
    }
    if !migration.keda.is_empty() {
        let mut step = "In Azure: an identity for KEDA with the federated subject system:serviceaccount:keda:keda-operator and Reader of the \
                        pools"
            .to_owned();
        if choices.keda_client_id.is_none() {
            let _ = write!(
                step,
                "\nIts client ID takes the place of {NO_CLIENT_ID} in podIdentity (--keda-client-id)"
            );
        }
        steps.push(step);
    }
}

/// What held the token, by names and keys.
fn secrets(steps: &mut Vec<String>, migration: &Migration) {
    for (kind, name) in &migration.makers {
        steps.push(format!(
            "{kind} {name} makes a Secret with the token: take the token out of it, or delete it"
        ));
    }
    for (namespace, name) in &migration.emptied {
        steps.push(format!("kubectl -n {namespace} delete secret {name}\nIt held nothing but the token, and is not among the manifests any more"));
    }
    let mut seen: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for holder in &migration.holders {
        let name = (holder.namespace.clone(), holder.name.clone());
        if migration.emptied.contains(&name) || !seen.insert((holder.kind, &holder.namespace, &holder.name)) {
            continue;
        }
        let keys: Vec<&str> = migration
            .holders
            .iter()
            .filter(|other| {
                (other.kind, &other.namespace, &other.name) == (holder.kind, &holder.namespace, &holder.name)
            })
            .filter_map(|other| other.key.as_deref())
            .collect();
        let place = format!("{} {}/{}", holder.kind, holder.namespace, holder.name);
        if migration.shared.contains(&name) {
            steps.push(format!(
                "{place} holds the token and is still read by something else: see by what, and take it out there, too"
            ));
            continue;
        }
        if keys.is_empty() {
            steps.push(format!(
                "Take the token out of {place}, or delete it if it holds nothing else"
            ));
        }
        for key in keys {
            // Applying a Secret without a key of its stringData leaves the key.
            steps.push(format!(
                "kubectl -n {} patch {} {} --type=json -p '[{{\"op\": \"remove\", \"path\": \"/data/{key}\"}}]'\nOr delete it, if it \
                 holds nothing else",
                holder.namespace,
                holder.kind.to_lowercase(),
                holder.name
            ));
        }
    }
}

fn unique(notes: &[String]) -> BTreeSet<&String> {
    notes.iter().collect()
}

//! What is said of the outcomes: to people, and to machines.

use super::{Outcome, Verdict, World};
use crate::output::{Color, Tone};
use crate::problem::DOCUMENTATION;
use contract::SIDECAR_CONTAINER;
use inject::Decision;
use inject::status::Status;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Everything, for people.
pub fn text(outcomes: &[Outcome], world: &World, color: Color) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        describe(&mut text, outcome, color, Detail::Everything);
    }
    if outcomes.is_empty() {
        text.push_str("no pods: none of the manifests has a pod or a pod template\n");
    }
    notes(&mut text, world);
    text
}

/// One line for each pod and what the person should know, beside the manifests that are written.
pub fn said(outcomes: &[Outcome], world: &World) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        describe(&mut text, outcome, Color::Never, Detail::Decision);
    }
    let implied = outcomes
        .iter()
        .any(|outcome| outcome.workload.namespace.is_none() && status(outcome).is_some());
    if implied {
        let _ = writeln!(
            text,
            "note: manifests without a namespace are meant for namespace {}, which is in their ownership markers; pass -n for another one, \
             and apply them to the same",
            world.namespace
        );
    }
    notes(&mut text, world);
    text
}

/// The patches, one a line.
pub fn patches(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        if let Verdict::Decided {
            decision: Decision::Inject(injection),
            ..
        } = &outcome.verdict
        {
            text.push_str(&String::from_utf8_lossy(&injection.patch));
            text.push('\n');
        }
    }
    text
}

/// Everything, for machines.
pub fn json(outcomes: &[Outcome], world: &World) -> Value {
    let workloads: Vec<Value> = outcomes.iter().map(machine).collect();
    json!({"workloads": workloads, "notes": world.notes})
}

fn machine(outcome: &Outcome) -> Value {
    let workload = &outcome.workload;
    let mut value = json!({
        "place": outcome.place,
        "kind": workload.kind,
        "namespace": outcome.namespace,
        "name": workload.name,
    });
    match &outcome.verdict {
        Verdict::NotSent(sentence) => {
            value["decision"] = "not-sent".into();
            value["reason"] = "not-sent".into();
            value["sentence"] = sentence.as_str().into();
        }
        Verdict::Decided { decision, patch } => {
            value["decision"] = decision.outcome().into();
            value["reason"] = decision.reason().into();
            value["warnings"] = json!(decision.warnings());
            match decision {
                Decision::Deny(denial) => {
                    value["sentence"] = denial.message.as_str().into();
                    value["documentation"] = format!("{DOCUMENTATION}{DENIED}").into();
                }
                Decision::Skip { .. } => value["documentation"] = format!("{DOCUMENTATION}{SKIPPED}").into(),
                Decision::Inject(_) => {
                    value["patch"] = json!(patch);
                    value["pod"] = outcome.patched();
                }
            }
        }
    }
    value
}

const DENIED: &str = "troubleshooting.md#the-webhook-denied-the-pod";
const SKIPPED: &str = "troubleshooting.md#the-webhook-left-the-pod-alone";
const NOT_SENT: &str = "troubleshooting.md#the-pod-starts-without-a-sidecar";

/// How much is said of a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// The decision and its warnings.
    Decision,
    /// And what is added and changed.
    Everything,
}

fn notes(text: &mut String, world: &World) {
    for note in &world.notes {
        let _ = writeln!(text, "note: {note}");
    }
}

fn describe(text: &mut String, outcome: &Outcome, color: Color, detail: Detail) {
    let workload = &outcome.workload;
    let name = format!(
        "{} {}/{} ({})",
        workload.kind, outcome.namespace, workload.name, outcome.place
    );
    let mut line = |tone: Tone, mark: &str, said: &str| {
        let _ = writeln!(text, "{} {name}: {said}", color.paint(tone, mark));
    };
    let see = |anchor: &str| color.paint(Tone::Dim, &format!("    {DOCUMENTATION}{anchor}\n"));
    match &outcome.verdict {
        Verdict::NotSent(sentence) => {
            line(Tone::Warning, "!", &format!("not sent to the webhook: {sentence}"));
            text.push_str(&see(NOT_SENT));
        }
        Verdict::Decided { decision, .. } => {
            match decision {
                Decision::Inject(_) => line(Tone::Good, "✓", "injected"),
                Decision::Skip { reason, .. } => {
                    line(Tone::Dim, "-", &format!("left as it is: {reason}"));
                    if detail == Detail::Everything {
                        text.push_str(&see(SKIPPED));
                    }
                }
                Decision::Deny(denial) => {
                    line(Tone::Bad, "✗", &format!("denied: {denial}"));
                    text.push_str(&see(DENIED));
                }
            }
            if detail == Detail::Everything {
                text.push_str(&changes(outcome));
            }
            for warning in decision.warnings() {
                let _ = writeln!(text, "  {} {warning}", color.paint(Tone::Warning, "!"));
            }
        }
    }
}

fn status(outcome: &Outcome) -> Option<Status<'static>> {
    let Verdict::Decided {
        decision: Decision::Inject(_),
        ..
    } = &outcome.verdict
    else {
        return None;
    };
    let pod = outcome.patched();
    Status::parse(pod["metadata"]["annotations"][contract::STATUS_ANNOTATION].as_str()?).ok()
}

/// What is added to a pod and changed in it.
fn changes(outcome: &Outcome) -> String {
    let Some(status) = status(outcome) else {
        return String::new();
    };
    let pod = outcome.patched();
    let mut rows: Vec<(&str, String)> = Vec::new();
    let words = |words: &[std::borrow::Cow<'_, str>]| words.join(", ");
    rows.push((
        "agent",
        format!("container {}, handoff {}", status.agent_container, status.handoff),
    ));
    let of = &status.sources;
    rows.push((
        "found in",
        format!(
            "client ID: {}, tenant: {}, URL: {}, pool: {}, name: {}",
            of.client_id, of.tenant_id, of.url, of.pool, of.agent_name
        ),
    ));
    rows.extend(sidecar(&pod).map(|said| ("sidecar", said)));
    rows.push(("volumes", words(&status.added.volumes)));
    for variable in variables(&pod, &status) {
        rows.push(("variable", variable));
    }
    rows.push(("removed", words(&status.removed)));
    rows.push(("replaced", words(&status.replaced)));
    rows.push(("emptied", words(&status.shadowed)));
    rows.push(("preStop", format!("hook {}", status.pre_stop)));
    rows.push(("probes", words(&status.probes)));
    rows.push((
        "grace",
        format!("{} s ({})", status.grace_seconds, status.sources.grace_seconds),
    ));
    rows.push(("annotations", words(&status.added.annotations)));
    rows.extend(
        status
            .federated_token
            .as_ref()
            .map(|choice| ("azwi's token", choice.to_string())),
    );
    let isolated = if status.isolated {
        "yes".to_owned()
    } else {
        format!("no: {}", words(&status.not_isolated))
    };
    rows.push(("isolated", isolated));
    let mut text = String::new();
    for (what, said) in rows.iter().filter(|(_, said)| !said.is_empty()) {
        let _ = writeln!(text, "    {what:<12} {said}");
    }
    text
}

fn sidecar(pod: &Value) -> Option<String> {
    let containers = pod["spec"]["initContainers"].as_array()?;
    let sidecar = containers
        .iter()
        .find(|container| container["name"] == SIDECAR_CONTAINER)?;
    let mut said = vec![sidecar["image"].as_str().unwrap_or_default().to_owned()];
    if let Some(limits) = sidecar["resources"]["limits"].as_object() {
        said.extend(
            limits
                .iter()
                .filter_map(|(name, amount)| Some(format!("{name} {}", amount.as_str()?))),
        );
    }
    let has = [
        ("startupProbe", "startup probe"),
        ("readinessProbe", "readiness probe"),
        ("livenessProbe", "liveness probe"),
        ("lifecycle", "preStop hook"),
    ];
    said.extend(
        has.into_iter()
            .filter(|(key, _)| !sidecar[*key].is_null())
            .map(|(_, name)| name.to_owned()),
    );
    Some(said.join(", "))
}

/// The variables that the agent container gets. None holds a secret: the webhook writes texts, references and the gateway's ticket.
fn variables(pod: &Value, status: &Status<'_>) -> Vec<String> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let agent = containers
        .filter(|container| container["name"] == *status.agent_container)
        .flat_map(|container| container["env"].as_array().into_iter().flatten());
    agent
        .filter_map(|entry| Some((entry["name"].as_str()?, entry)))
        .filter(|(name, _)| {
            let is = |names: &[std::borrow::Cow<'_, str>]| names.iter().any(|known| known == name);
            is(&status.added.variables) && !is(&status.shadowed)
        })
        .map(|(name, entry)| match entry["value"].as_str() {
            Some(value) => format!("{name}={value}"),
            None => format!("{name} from {}", entry["valueFrom"]),
        })
        .collect()
}

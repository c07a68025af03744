//! One review, from bytes to bytes: decode, look the ServiceAccount up, decide, log one line.

use std::time::Instant;

use contract::Reason;
use inject::review::{Error, Incoming, Verdict};
use inject::{Decision, Request, ServiceAccount, Settings};
use serde_json::Value;

use crate::accounts::Accounts;
use crate::metrics::{Metrics, Outcome};

/// The word for a decision that has no reason of its own.
const INJECTED: &str = "injected";

/// Answers a review; `deadline` is when the API server stops waiting.
///
/// # Errors
/// The bytes are no review that could be answered.
pub(crate) async fn answer(
    body: &[u8],
    settings: &Settings,
    accounts: &Accounts,
    metrics: &Metrics,
    deadline: Instant,
) -> Result<String, Error> {
    let started = Instant::now();
    let incoming = Incoming::parse(body)?;
    let asked = &incoming.request;
    let (group, resource) = asked
        .resource
        .as_ref()
        .map_or(("", ""), |resource| (&resource.group, &resource.resource));
    let request = Request {
        namespace: asked.namespace.as_deref().unwrap_or_default(),
        operation: &asked.operation,
        group,
        resource,
        subresource: asked.sub_resource.as_deref().unwrap_or_default(),
    };
    let inspection = inject::inspect(&asked.object, &request, settings);
    let account = match inspection.account() {
        Some(name) => {
            let is_last_source = settings.client_id.is_none();
            accounts.find(request.namespace, name, is_last_source, deadline).await
        }
        None => ServiceAccount::NotAsked,
    };
    let decision = inspection.decide(&account);
    let (outcome, reason, sentence) = describe(&decision);
    let answer = incoming.answer(verdict(&decision), outcome.as_str(), reason);
    let took = started.elapsed();
    metrics.answered(operation(&asked.operation), outcome, reason, took, body.len());
    let metadata = &asked.object["metadata"];
    tracing::info!(
        uid = asked.uid,
        namespace = short(request.namespace),
        name = short(
            asked
                .name
                .as_deref()
                .or_else(|| metadata["generateName"].as_str())
                .unwrap_or_default()
        ),
        owner = owner(metadata),
        decision = outcome.as_str(),
        reason,
        sentence,
        ms = took.as_secs_f64() * 1e3,
        "review"
    );
    Ok(answer)
}

fn describe(decision: &Decision) -> (Outcome, &'static str, Option<&str>) {
    match decision {
        Decision::Inject(_) => (Outcome::Injected, INJECTED, None),
        Decision::Skip(reason) => (Outcome::Skipped, reason.as_str(), None),
        Decision::Deny(denial) => (Outcome::Denied, denial.reason.as_str(), Some(&denial.sentence)),
    }
}

fn verdict(decision: &Decision) -> Verdict<'_> {
    match decision {
        Decision::Inject(injection) => Verdict::Patch {
            patch: &injection.patch,
            warnings: &injection.warnings,
        },
        Decision::Skip(_) => Verdict::Allow,
        Decision::Deny(denial) => Verdict::Deny {
            // kubectl shows a 422 as "the request is invalid"; everything else is a matter of what is allowed here.
            code: if denial.reason == Reason::MalformedPod {
                422
            } else {
                403
            },
            sentence: &denial.sentence,
        },
    }
}

/// The label of the metric, from a closed list whatever the request says.
fn operation(word: &str) -> &'static str {
    ["CREATE", "UPDATE", "DELETE", "CONNECT"]
        .into_iter()
        .find(|known| *known == word)
        .unwrap_or("other")
}

/// `Kind/name` of the controller, for instance `ReplicaSet/agent-7d9f`.
fn owner(metadata: &Value) -> Option<String> {
    let owner = metadata["ownerReferences"].get(0)?;
    Some(format!(
        "{}/{}",
        short(owner["kind"].as_str()?),
        short(owner["name"].as_str()?)
    ))
}

/// The start of a name, as long as Kubernetes' names can be: whoever reaches our port must not fill the log with one line.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(253)]
}

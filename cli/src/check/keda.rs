//! KEDA's objects in the namespace: does it ask as an identity of its own, and does each trigger say what KEDA needs?

use super::CheckReason;
use super::looked::Looked;
use crate::problem::{Finding, Problem};
use serde_json::Value;

/// What was seen of KEDA.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// ScaledJobs of the namespace.
    pub(crate) jobs: Looked<Vec<Value>>,
    /// ScaledObjects, each with the pod template of its target where that could be read.
    pub(crate) objects: Looked<Vec<(Value, Option<Value>)>>,
    /// TriggerAuthentications.
    pub(crate) authentications: Looked<Vec<Value>>,
    /// Images of KEDA's operator, for its version.
    pub(crate) operator: Looked<Vec<String>>,
}

const SUBJECT: &str = "KEDA";
const TRIGGER: &str = "azure-pipelines";

/// What that means.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    if facts.jobs == Looked::Missing && facts.objects == Looked::Missing {
        return vec![Finding::good(SUBJECT, "It is not in this cluster; it is not needed.")];
    }
    let mut findings = Vec::new();
    let mut scaled = 0;
    match facts.jobs.or_finding(SUBJECT, none) {
        Ok(jobs) => {
            for job in jobs {
                let template = &job["spec"]["jobTargetRef"]["template"];
                for trigger in triggers(job) {
                    scaled += 1;
                    findings.extend(of_trigger(job, trigger, Some(template), facts));
                }
            }
        }
        Err(finding) => findings.push(finding),
    }
    match facts.objects.or_finding(SUBJECT, none) {
        Ok(objects) => {
            for (object, template) in objects {
                for trigger in triggers(object) {
                    scaled += 1;
                    findings.extend(of_trigger(object, trigger, template.as_ref(), facts));
                }
            }
        }
        Err(finding) => findings.push(finding),
    }
    if scaled == 0 && findings.is_empty() {
        return vec![none()];
    }
    findings
}

fn none() -> Finding {
    Finding::good(
        SUBJECT,
        "Nothing in this namespace is scaled by a queue of Azure Pipelines.",
    )
}

fn triggers(scaled: &Value) -> impl Iterator<Item = &Value> {
    let all = scaled["spec"]["triggers"].as_array();
    all.into_iter().flatten().filter(|trigger| trigger["type"] == TRIGGER)
}

fn of_trigger(scaled: &Value, trigger: &Value, template: Option<&Value>, facts: &Facts) -> Vec<Finding> {
    let name = format!(
        "{} {}",
        scaled["kind"].as_str().unwrap_or("ScaledJob"),
        scaled["metadata"]["name"].as_str().unwrap_or("?")
    );
    let mut found: Vec<Finding> = [
        authentication(&name, trigger, facts),
        settings(&name, trigger, template),
        scaling(&name, scaled, trigger, facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    if found.is_empty() {
        found.push(Finding::good(
            SUBJECT,
            format!("{name} asks as an identity of KEDA's own and has what its trigger needs."),
        ));
    }
    found
}

fn text<'a>(trigger: &'a Value, key: &str) -> Option<&'a str> {
    trigger["metadata"][key].as_str().filter(|value| !value.is_empty())
}

fn bad(sentence: String, problem: Problem) -> Option<Finding> {
    Some(Finding::bad(SUBJECT, sentence, problem))
}

/// How KEDA signs in.
fn authentication(name: &str, trigger: &Value, facts: &Facts) -> Option<Finding> {
    let with_token = || {
        bad(
            format!("{name} lets KEDA ask with a personal access token."),
            CheckReason::KedaToken.fix("Use a TriggerAuthentication with podIdentity azure-workload instead (manifests/examples/keda-trigger-authentication.yaml), in the same change in which the token leaves the template."),
        )
    };
    if text(trigger, "personalAccessTokenFromEnv").is_some() || text(trigger, "personalAccessToken").is_some() {
        return with_token();
    }
    let Some(reference) = trigger["authenticationRef"]["name"].as_str() else {
        return bad(
            format!("The trigger of {name} names no TriggerAuthentication, so KEDA has no identity to ask with."),
            CheckReason::KedaIdentity
                .fix("Add authenticationRef with a TriggerAuthentication of podIdentity azure-workload."),
        );
    };
    // ClusterTriggerAuthentications are not looked at.
    if trigger["authenticationRef"]["kind"] == "ClusterTriggerAuthentication" {
        return None;
    }
    let all = match facts.authentications.or_finding(SUBJECT, none) {
        Ok(all) => all,
        Err(finding) => return finding.problem.is_some().then_some(finding),
    };
    let Some(found) = all.iter().find(|one| one["metadata"]["name"] == reference) else {
        return bad(
            format!("{name} refers to the TriggerAuthentication {reference}, which is not there."),
            CheckReason::KedaIdentity.fix("Create it: manifests/examples/keda-trigger-authentication.yaml."),
        );
    };
    let identity = &found["spec"]["podIdentity"];
    let from_secret = found["spec"]["secretTargetRef"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    match identity["provider"].as_str() {
        Some("azure-workload") => {}
        Some(_) | None if from_secret => return with_token(),
        provider => {
            return bad(
                format!(
                    "The TriggerAuthentication {reference} has podIdentity {}, which is no workload identity.",
                    provider.unwrap_or("none")
                ),
                CheckReason::KedaIdentity.fix("Set podIdentity: {provider: azure-workload, identityId: CLIENT-ID}."),
            );
        }
    }
    if identity["identityId"].as_str().is_none_or(str::is_empty) {
        return Some(Finding::warning(
            SUBJECT,
            format!("The TriggerAuthentication {reference} names no identityId, so KEDA asks as the identity that was set when it was installed."),
            CheckReason::KedaIdentity.fix("Set identityId to the client ID of KEDA's own identity: never the agents', which administers the pool."),
        ));
    }
    None
}

/// What KEDA needs to find organization and pool.
fn settings(name: &str, trigger: &Value, template: Option<&Value>) -> Option<Finding> {
    let fix = |text: &str| CheckReason::KedaTrigger.fix(text);
    if text(trigger, "poolName").is_none() && text(trigger, "poolID").is_none() {
        return bad(format!("The trigger of {name} names no pool."), fix("Set poolName."));
    }
    match (
        text(trigger, "organizationURL"),
        text(trigger, "organizationURLFromEnv"),
    ) {
        (Some(url), _) if url.ends_with('/') => bad(
            format!("The organization URL of {name} ends in a slash, which KEDA cannot read."),
            fix("Remove the slash."),
        ),
        (Some(_), _) => None,
        (None, Some(variable)) => {
            let is_there = template.is_none_or(|template| names(template, variable));
            (!is_there).then(|| {
                Finding::bad(
                    SUBJECT,
                    format!("{name} takes the organization URL from {variable}, which the first container of the template does not have."),
                    fix("KEDA reads the template, not the injected pod: set the variable there."),
                )
            })
        }
        (None, None) => bad(
            format!("The trigger of {name} names no organization."),
            fix("Set organizationURLFromEnv: AZP_URL, and AZP_URL in the pod template."),
        ),
    }
}

/// Whether the first container has the variable, or takes a whole ConfigMap or Secret that may bring it.
fn names(template: &Value, variable: &str) -> bool {
    let container = &template["spec"]["containers"][0];
    let listed = container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|one| one["name"] == variable);
    listed || container["envFrom"].as_array().is_some_and(|list| !list.is_empty())
}

/// Whether it starts the right number of agents.
fn scaling(name: &str, scaled: &Value, trigger: &Value, facts: &Facts) -> Option<Finding> {
    let warning =
        |sentence: String, fix: &str| Some(Finding::warning(SUBJECT, sentence, CheckReason::KedaScaling.fix(fix)));
    let least = scaled["spec"]["minReplicaCount"].as_i64().unwrap_or(0);
    if least == 0 && text(trigger, "parent").is_none() && text(trigger, "demands").is_none() {
        return warning(
            format!(
                "{name} scales to zero, but its trigger names no parent: jobs of an empty pool are refused before KEDA sees them."
            ),
            "Make a placeholder agent and set parent to its name (docs/azure.md#placeholder).",
        );
    }
    let strategy = scaled["spec"]["scalingStrategy"]["strategy"]
        .as_str()
        .unwrap_or("default");
    let is_job = scaled["kind"] == "ScaledJob";
    match (is_job, is_2_20(facts), strategy) {
        (true, Some(true), "default") => warning(
            format!("{name} has the strategy default, with which KEDA 2.20 starts too few agents."),
            "Set scalingStrategy: {strategy: accurate} as long as KEDA is 2.20.",
        ),
        (true, Some(false), "accurate") => warning(
            format!(
                "{name} has the strategy accurate, with which this version of KEDA starts agents that no job wants."
            ),
            "Set scalingStrategy: {strategy: default}.",
        ),
        (false, Some(true), _) => warning(
            format!("{name}: KEDA 2.20 does not count jobs that an agent has taken, and scales busy agents away."),
            "Use KEDA 2.21, or a ScaledJob.",
        ),
        (true | false, Some(true | false) | None, _) => None,
    }
}

/// Whether KEDA's operator is of 2.20; `None`: unknown.
fn is_2_20(facts: &Facts) -> Option<bool> {
    let images = facts.operator.found()?;
    let tag = images
        .iter()
        .find_map(|image| image.split('@').next()?.rsplit_once(':').map(|(_, tag)| tag))?;
    let tag = tag.trim_start_matches('v');
    tag.starts_with("2.").then(|| tag.starts_with("2.20"))
}

#[cfg(test)]
mod tests;

//! Pods: the token out, label and annotations in.

mod members;
mod token;

pub(super) use self::members::items;
use self::members::set;
use self::token::{take_out, volumes};
use super::secrets::Sources;
use super::{Choices, Holder, recipes};
use crate::manifest::workload::Workload;
use contract::{
    AGENT_CONTAINER_ANNOTATION, AGENT_CONTAINER_NAMES, AZWI_USE_LABEL, FEDERATED_TOKEN_ANNOTATION, HANDOFF_ANNOTATION,
    Handoff, INJECT_LABEL, ONCE_ANNOTATION, PLACEHOLDER_ANNOTATION, POOL_ANNOTATION, TOKEN_VARIABLES_ANNOTATION,
    URL_ANNOTATION, URL_VARIABLES_ANNOTATION,
};
use serde_json::{Value, json};

/// What was done to a pod.
pub(super) struct Done {
    pub(super) holders: Vec<Holder>,
    pub(super) handoff: Handoff,
    pub(super) why: Option<String>,
    pub(super) account: String,
    pub(super) notes: Vec<String>,
}

/// The lists of containers, the agent's first.
const LISTS: [&str; 2] = ["containers", "initContainers"];
/// The ServiceAccount of pods that have none of their own.
pub(super) const ACCOUNT: &str = "azp-agent";

/// A container's variables: those of its own, and those that known sources bring.
fn names(container: &Value, namespace: &str, sources: &Sources) -> Vec<String> {
    let own = items(&container["env"]).filter_map(|entry| entry["name"].as_str().map(str::to_owned));
    let brought = items(&container["envFrom"]).flat_map(|source| {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        let keys = sources.keys_of(source, namespace).unwrap_or_default();
        keys.into_iter().map(move |key| format!("{prefix}{key}"))
    });
    own.chain(brought).collect()
}

/// Takes the token out of a pod template; `None` where there is none, and why where that is impossible.
pub(super) fn migrate(
    template: &mut Value,
    workload: &Workload,
    namespace: &str,
    sources: &Sources,
    choices: &Choices,
) -> Option<Result<Done, String>> {
    if !(template["metadata"].is_null() || template["metadata"].is_object()) {
        return None;
    }
    let labeled = template["metadata"]["labels"].get(INJECT_LABEL).is_some();
    let uses_token = |container: &Value| {
        let names = names(container, namespace, sources);
        let is_unknown =
            |source: &Value| source.get("secretRef").is_some() && sources.keys_of(source, namespace).is_none();
        names
            .iter()
            .any(|name| recipes::is_token(name, choices) || is_impossible(&names, name))
            || (!labeled
                && names.iter().any(|name| recipes::is_agents(name))
                && items(&container["envFrom"]).any(is_unknown))
    };
    let agents: Vec<usize> = items(&template["spec"]["containers"])
        .enumerate()
        .filter(|(_, container)| uses_token(container))
        .map(|(position, _)| position)
        .collect();
    let position = *agents
        .iter()
        .find(|position| {
            let name = template["spec"]["containers"][**position]["name"].as_str();
            name.is_some_and(|name| AGENT_CONTAINER_NAMES.contains(&name))
        })
        .or_else(|| agents.first())?;
    let agent = template["spec"]["containers"][position].clone();
    let known = names(&agent, namespace, sources);
    if let Some(why) = impossible(template, &known) {
        return Some(Err(why));
    }
    let (handoff, why) = handoff(template, &known, choices);
    let mut done = Done {
        holders: Vec::new(),
        handoff,
        why,
        account: String::new(),
        notes: Vec::new(),
    };
    mark(template, workload, &agent, &known, &done);
    named(template, &agent, &known, handoff, choices);
    for list in LISTS {
        let containers = template
            .pointer_mut(&format!("/spec/{list}"))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            take_out(container, namespace, sources, choices, &mut done);
        }
    }
    volumes(template, namespace, &mut done);
    done.account = account(template);
    Some(Ok(done))
}

fn is_impossible(names: &[String], name: &str) -> bool {
    recipes::IMPOSSIBLE
        .iter()
        .any(|(token, organization)| *token == name && names.iter().any(|other| other == organization))
}

/// Why a pod cannot do without its token.
fn impossible(template: &Value, names: &[String]) -> Option<String> {
    let spec = &template["spec"];
    let is_windows = |value: &Value| value == "windows";
    let selector = &spec["nodeSelector"];
    if is_windows(&spec["os"]["name"])
        || is_windows(&selector["kubernetes.io/os"])
        || is_windows(&selector["beta.kubernetes.io/os"])
    {
        return Some("it is a Windows pod, and the sidecar is a Linux program".to_owned());
    }
    let token = names.iter().find(|name| is_impossible(names, name))?;
    Some(format!(
        "its image reads its token in {token} and knows its organization by name only, so that neither handoff works; build on an image \
         that reads AZP_URL (docs/gateway.md lists them)"
    ))
}

fn handoff(template: &Value, names: &[String], choices: &Choices) -> (Handoff, Option<String>) {
    if let Some(handoff) = choices.handoff {
        return (handoff, None);
    }
    if template["spec"]["hostNetwork"] == true {
        let why = "the pod is in the node's network, where the gateway would listen for every process of the node";
        return (Handoff::TokenFile, Some(why.to_owned()));
    }
    match recipes::against_gateway(names, choices) {
        Some(why) => (Handoff::TokenFile, Some(why)),
        None => (Handoff::Gateway, None),
    }
}

/// Label and annotations.
fn mark(template: &mut Value, workload: &Workload, agent: &Value, names: &[String], done: &Done) {
    set(&mut template["metadata"]["labels"], INJECT_LABEL, "true");
    let azwi = template["metadata"]["labels"][AZWI_USE_LABEL] == "true";
    let containers = items(&template["spec"]["containers"]).count();
    let owner = workload.owner;
    let is_job = owner == Some("Job");
    let spec = &mut template["spec"];
    if is_job && spec["restartPolicy"].is_null() {
        // KEDA would make it OnFailure.
        spec["restartPolicy"] = json!("Never");
    }
    let ends = spec["restartPolicy"] == "Never" || spec["restartPolicy"] == "OnFailure";
    let placeholder = is_placeholder(agent, owner.is_none(), names);
    let annotations = &mut template["metadata"]["annotations"];
    set(annotations, HANDOFF_ANNOTATION, done.handoff.as_str());
    if placeholder {
        set(annotations, PLACEHOLDER_ANNOTATION, "true");
    } else if is_job && ends && done.handoff == Handoff::Gateway {
        set(annotations, ONCE_ANNOTATION, "true");
    }
    if azwi {
        set(annotations, FEDERATED_TOKEN_ANNOTATION, "hide");
    }
    let name = agent["name"].as_str().unwrap_or_default();
    if containers > 1 && !AGENT_CONTAINER_NAMES.contains(&name) {
        set(annotations, AGENT_CONTAINER_ANNOTATION, name);
    }
}

/// Whether the agent of a pod only holds a place in the pool for KEDA: it says so, or it is a bare pod with a name that does.
fn is_placeholder(agent: &Value, is_bare: bool, names: &[String]) -> bool {
    let literal = |name: &str| {
        let entry = items(&agent["env"]).find(|entry| entry["name"] == name)?;
        entry["value"].as_str()
    };
    let says = recipes::PLACEHOLDERS
        .iter()
        .any(|name| literal(name).is_some_and(|value| !["", "0", "false"].contains(&value)));
    let is_named = || {
        let name = ["AZP_AGENT_NAME", "VSTS_AGENT", "AZDO_AGENT"]
            .into_iter()
            .find_map(literal);
        name.is_some_and(|name| ["template", "placeholder"].iter().any(|word| name.contains(word)))
    };
    says || (is_bare && !names.is_empty() && is_named())
}

/// What images need that have names of their own.
fn named(template: &mut Value, agent: &Value, names: &[String], handoff: Handoff, choices: &Choices) {
    let has = |name: &str| names.iter().any(|known| known == name);
    let mut tokens: Vec<&str> = Vec::new();
    let mut urls: Vec<&str> = Vec::new();
    let mut pools: Vec<&str> = Vec::new();
    for image in recipes::NAMED.iter().filter(|image| has(image.token)) {
        tokens.push(image.token);
        urls.push(image.url);
        pools.extend(image.pools);
    }
    tokens.extend(
        choices
            .token_variables
            .iter()
            .map(String::as_str)
            .filter(|name| has(name)),
    );
    urls.extend(
        choices
            .url_variables
            .iter()
            .map(String::as_str)
            .filter(|name| has(name)),
    );
    let annotations = &mut template["metadata"]["annotations"];
    let literal = |wanted: &[&str]| {
        let mut entries = items(&agent["env"]);
        let entry = entries.find(|entry| wanted.iter().any(|name| entry["name"] == *name))?;
        entry["value"].as_str().map(str::to_owned)
    };
    if handoff == Handoff::Gateway {
        for (key, list) in [(TOKEN_VARIABLES_ANNOTATION, &tokens), (URL_VARIABLES_ANNOTATION, &urls)] {
            if !list.is_empty() {
                set(annotations, key, &list.join(","));
            }
        }
    }
    for (key, value) in [(URL_ANNOTATION, literal(&urls)), (POOL_ANNOTATION, literal(&pools))] {
        if let Some(value) = value {
            set(annotations, key, &value);
        }
    }
}

/// The ServiceAccount of the pods, of their own at last.
fn account(template: &mut Value) -> String {
    let spec = &mut template["spec"];
    let name = ["serviceAccountName", "serviceAccount"]
        .iter()
        .find_map(|key| {
            spec[*key]
                .as_str()
                .filter(|name| !name.is_empty() && *name != "default")
        })
        .map(str::to_owned);
    name.unwrap_or_else(|| {
        spec["serviceAccountName"] = json!(ACCOUNT);
        if let Some(members) = spec.as_object_mut() {
            members.remove("serviceAccount");
        }
        ACCOUNT.to_owned()
    })
}

//! Pods that are injected and may still not do what their owner expects: each a warning that names the remedy.

use crate::environment::{Environment, Found, unescape};
use crate::node;
use crate::overrides::Overrides;
use crate::pod::{Container, Pod};
use crate::recipes::{NAMES, Spelling};
use crate::text::{list, quote};

/// Containers with the proxy of a service mesh, and the user that each runs as, whose traffic the mesh lets pass.
const MESH_PROXIES: [(&str, i64); 4] = [
    ("istio-proxy", 1337),
    ("linkerd-proxy", 2102),
    ("kuma-sidecar", 5678),
    ("consul-dataplane", 5995),
];
/// Variables with which recipes for KEDA say that a pod only registers an agent and leaves it.
const PLACEHOLDERS: [&str; 3] = ["AZP_PLACEHOLDER", "AZP_PLACEHOLDER_AGENT", "AZP_TEMPLATE_JOB"];
/// Words in the names of such agents.
const PLACEHOLDER_NAMES: [&str; 2] = ["placeholder", "template"];
/// Variables by which a container is known as an agent's.
const AGENT_VARIABLES: [&str; 8] = [
    "AZP_URL",
    "AZP_TOKEN",
    "AZP_TOKEN_FILE",
    "VSTS_ACCOUNT",
    "VSTS_TOKEN",
    "AZDO_URL",
    "AZDO_TOKEN",
    "VSTS_AGENT_INPUT_URL",
];
/// Parts of the names of variables that make the agent a deployment group's.
const DEPLOYMENT_GROUPS: [&str; 2] = ["DEPLOYMENT_GROUP", "DEPLOYMENTGROUP"];

/// Everything that can be said of the pod; `user` is the sidecar's.
pub(crate) fn warnings(
    pod: &Pod<'_>,
    agent: &Container<'_>,
    environment: &Environment<'_>,
    overrides: &Overrides<'_>,
    user: Option<i64>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(placeholder(environment, overrides));
    warnings.extend(deployment_group(agent, environment));
    warnings.extend(fixed_name(pod, environment));
    warnings.extend(mesh(&pod.containers, user));
    warnings.extend(second_agent(pod, agent));
    warnings.extend(end_of_a_job(pod, agent));
    warnings.extend(node::virtual_node(pod).map(|place| {
        format!(
            "{place}: on a virtual node there are no native sidecars, projected tokens or memory volumes, so the agent cannot \
             work there; let the pod run on another node"
        )
    }));
    warnings
}

/// A mesh's proxy that starts after the sidecar, which may have no network until then.
/// `user` is the sidecar's.
pub(crate) fn mesh(containers: &[Container<'_>], user: Option<i64>) -> Option<String> {
    let found = |name: &str| MESH_PROXIES.iter().find(|proxy| proxy.0 == name);
    let (name, exempt) = containers.iter().find_map(|container| found(container.name))?;
    if user == Some(*exempt) {
        return None;
    }
    Some(format!(
        "container {} starts after the sidecar, which may have no network until then, and the agent then never starts: run the \
         mesh's proxy as a native sidecar, or set {} to \"{exempt}\"",
        quote(name),
        contract::SIDECAR_RUN_AS_USER_ANNOTATION
    ))
}

fn placeholder(environment: &Environment<'_>, overrides: &Overrides<'_>) -> Option<String> {
    if overrides.placeholder.is_some() {
        return None;
    }
    let asks = |name: &&str| match environment.find(name) {
        Found::Literal(_, value) => !["0", "false"].contains(&value),
        Found::Dynamic(_) => true,
        Found::Blank(_) | Found::Perhaps | Found::Absent => false,
    };
    let is_named_so = |name: &&str| match environment.find(name) {
        Found::Literal(_, value) => {
            let value = value.to_lowercase();
            PLACEHOLDER_NAMES.iter().any(|word| value.contains(word))
        }
        Found::Dynamic(_) | Found::Blank(_) | Found::Perhaps | Found::Absent => false,
    };
    let found = PLACEHOLDERS.into_iter().find(asks);
    let found = found.or_else(|| NAMES.iter().map(|name| name.variable).find(is_named_so))?;
    Some(format!(
        "{found} looks like a placeholder agent, but the sidecar removes the agent when the pod ends; set annotation {} to \"true\" \
         to keep it (\"false\" ends this warning)",
        contract::PLACEHOLDER_ANNOTATION
    ))
}

/// Two pods of one ReplicaSet cannot have the same agent name, and a rolling update starts the new one first.
fn fixed_name(pod: &Pod<'_>, environment: &Environment<'_>) -> Option<String> {
    if !pod.owner_kinds.contains(&"ReplicaSet") {
        return None;
    }
    let literal = |spelling: &Spelling| match environment.find(spelling.variable) {
        Found::Literal(_, name) => Some((spelling.variable, unescape(name))),
        Found::Dynamic(_) | Found::Blank(_) | Found::Perhaps | Found::Absent => None,
    };
    NAMES.iter().find_map(literal).map(|(variable, name)| {
        format!(
            "{variable} is {} in every pod of the ReplicaSet, and a new pod takes the name from the one that runs; remove it, or have \
             one replica and strategy Recreate",
            quote(&name)
        )
    })
}

fn second_agent(pod: &Pod<'_>, agent: &Container<'_>) -> Option<String> {
    let others = pod.containers.iter().filter(|container| container.name != agent.name);
    let (container, variable) = others
        .flat_map(|container| container.env.iter().map(move |entry| (container, entry.name)))
        .find(|(_, variable)| AGENT_VARIABLES.contains(variable))?;
    Some(format!(
        "container {} looks like a second agent ({variable}): the sidecar serves one agent, so this one needs a \
         token of its own, and nobody removes it from the pool; run it in a pod of its own",
        quote(container.name)
    ))
}

/// Agents of deployment groups are in no pool.
fn deployment_group(agent: &Container<'_>, environment: &Environment<'_>) -> Option<String> {
    let is_one = |name: &&str| DEPLOYMENT_GROUPS.iter().any(|part| name.to_uppercase().contains(part));
    let name = environment.names().find(is_one)?;
    Some(format!(
        "container {}: {} configures an agent of a deployment group, which is not in an agent pool; the sidecar checks and removes \
         agents of pools only",
        quote(agent.name),
        quote(name)
    ))
}

/// The kubelet ends the sidecar once the last ordinary container has ended, and the agent is removed no sooner.
fn end_of_a_job(pod: &Pod<'_>, agent: &Container<'_>) -> Option<String> {
    let names = pod.containers.iter().map(|container| container.name);
    let others: Vec<&str> = names.filter(|name| *name != agent.name).collect();
    (!pod.restarts_always && !others.is_empty()).then(|| {
        format!(
            "the sidecar removes the agent when the last container has ended: move containers that keep running after the agent to \
             initContainers, with restartPolicy Always (other containers: {})",
            list(others)
        )
    })
}

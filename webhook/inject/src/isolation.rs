//! Whether anything keeps a job in the agent container away from the sidecar.

use crate::Denial;
use crate::raw::{self, Container, Pod};
use crate::text::quote;
use serde_json::Value;
use std::collections::BTreeSet;

/// Capabilities with which root in a container gets at the kernel, the node's files or other processes (capabilities(7)).
const ESCAPES: [&str; 9] = [
    "ALL",
    "BPF",
    "DAC_READ_SEARCH",
    "PERFMON",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
];
/// Most reasons that are listed.
const REASONS_MAX: usize = 10;

/// Why the agent container is not isolated from the sidecar or from its node; empty where it is.
///
/// Other containers that run beside it count for what they may do to the node: jobs talk to them (Docker in Docker). What
/// they mount does not.
pub(crate) fn weaknesses(pod: &Pod<'_>, agent: Container<'_>, path: &str) -> Result<Vec<String>, Denial> {
    // Capabilities and /proc of a pod with a user namespace of its own end there.
    let has_own_users = pod.spec.get("hostUsers") == Some(&Value::Bool(false));
    let mut reasons = powers(agent, path, has_own_users)?;
    for key in ["shareProcessNamespace", "hostPID"] {
        if raw::flag(pod.spec, key, "spec.")? {
            reasons.push(key.to_owned());
        }
    }
    let mut host_volumes = BTreeSet::new();
    for (name, volume) in pod.volumes()? {
        if raw::object(volume, "hostPath", "spec.volumes[].")?.is_some() {
            host_volumes.insert(name);
        }
    }
    for (index, mount) in raw::objects(agent.raw, "volumeMounts", path)?.into_iter().enumerate() {
        let name = raw::text(mount, "name", format_args!("{path}volumeMounts[{index}]."))?.unwrap_or_default();
        if host_volumes.remove(name) {
            reasons.push(format!("hostPath volume {}", quote(name)));
        }
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in pod.containers(list)?.into_iter().enumerate() {
            let path = format!("spec.{list}[{index}].");
            let runs_beside =
                list == "containers" || raw::text(container.raw, "restartPolicy", &path)? == Some("Always");
            if runs_beside && container.name != agent.name {
                let powers = powers(container, &path, has_own_users)?.into_iter();
                reasons.extend(powers.map(|power| format!("container {}: {power}", quote(container.name))));
            }
        }
    }
    reasons.truncate(REASONS_MAX);
    Ok(reasons)
}

/// What a container may do beyond itself.
fn powers(container: Container<'_>, path: &str, has_own_users: bool) -> Result<Vec<String>, Denial> {
    let mut powers = Vec::new();
    let Some(context) = raw::object(container.raw, "securityContext", path)? else {
        return Ok(powers);
    };
    let path = format!("{path}securityContext.");
    if raw::flag(context, "privileged", &path)? {
        powers.push("privileged".to_owned());
    }
    if has_own_users {
        return Ok(powers);
    }
    if let Some(capabilities) = raw::object(context, "capabilities", &path)? {
        let added: BTreeSet<String> = raw::texts(capabilities, "add", format_args!("{path}capabilities."))?
            .into_iter()
            .map(str::to_uppercase)
            .collect();
        let escapes = ESCAPES
            .into_iter()
            .filter(|name| added.contains(*name) || added.contains(&format!("CAP_{name}")));
        powers.extend(escapes.map(|name| format!("capability {name}")));
    }
    if raw::text(context, "procMount", &path)? == Some("Unmasked") {
        powers.push("procMount Unmasked".to_owned());
    }
    Ok(powers)
}

/// What the user should know of it.
pub(crate) fn warning(agent: &str, weaknesses: &[String]) -> Option<String> {
    let why = weaknesses.join(", ");
    (!weaknesses.is_empty()).then(|| {
        format!(
            "container {} is not isolated ({why}): its jobs may reach the sidecar's tokens",
            quote(agent)
        )
    })
}

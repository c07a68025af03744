//! Whether anything keeps a job in the agent container away from the sidecar.

use crate::Denial;
use crate::raw::{self, Container, Pod};
use crate::text::quote;
use std::collections::BTreeSet;

/// Why the agent container is not isolated from the sidecar or from its node; empty where it is.
pub(crate) fn weaknesses(pod: &Pod<'_>, agent: Container<'_>, path: &str) -> Result<Vec<String>, Denial> {
    let mut reasons = Vec::new();
    if let Some(context) = raw::object(agent.raw, "securityContext", path)?
        && raw::flag(context, "privileged", format_args!("{path}securityContext."))?
    {
        reasons.push("privileged".to_owned());
    }
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
        if host_volumes.remove(name) && reasons.len() < 10 {
            reasons.push(format!("hostPath volume {}", quote(name)));
        }
    }
    Ok(reasons)
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

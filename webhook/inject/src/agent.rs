//! Which container is the agent, and what in the pod stands in our way.

use crate::raw::{self, Container, Pod};
use crate::text::{list, quote};
use crate::values::is_label;
use crate::{Denial, overrides::Overrides};
use contract::DenyReason;
use std::fmt::Display;

/// Finds the agent among `spec.containers`: the annotation, else the only one, else the first documented name.
pub(crate) fn choose(containers: &[Container<'_>], overrides: &Overrides<'_>) -> Result<usize, Denial> {
    let denied = |sentence: String| Err(Denial::new(DenyReason::AgentContainer, sentence));
    let key = contract::AGENT_CONTAINER_ANNOTATION;
    let candidates = list(containers.iter().map(|container| container.name));
    let position = |name: &str| containers.iter().position(|container| container.name == name);
    if let Some(name) = overrides.agent_container {
        return position(name).map_or_else(
            || {
                denied(format!(
                    "annotation {key} is {}, but the pod has no container of that name; its containers are {candidates}",
                    quote(name)
                ))
            },
            Ok,
        );
    }
    match containers {
        [] => denied("the pod has no containers, so none can be the agent".to_owned()),
        [_] => Ok(0),
        _ => contract::AGENT_CONTAINER_NAMES
            .iter()
            .find_map(|name| position(name))
            .map_or_else(
                || {
                    denied(format!(
                        "the pod has several containers and none has a documented name ({}); set annotation {key} to the one \
                         that is the agent: {candidates}",
                        contract::AGENT_CONTAINER_NAMES.join(", ")
                    ))
                },
                Ok,
            ),
    }
}

/// Volumes that the webhook adds. What mounts them, the webhook says.
const VOLUMES: [&str; 5] = [
    contract::ASSERTION_VOLUME,
    contract::HANDOFF_VOLUME,
    contract::STATE_VOLUME,
    contract::NO_API_TOKEN_VOLUME,
    contract::CA_VOLUME,
];

/// Denies a pod that already has a container or a volume of our names, or a container that mounts such a volume: it would
/// be there once the webhook has added it.
pub(crate) fn check_names(pod: &Pod<'_>) -> Result<(), Denial> {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in pod.containers(kind)?.into_iter().enumerate() {
            if container.name == contract::SIDECAR_CONTAINER {
                return Err(clash(format!(
                    "spec.{kind} has a container {}, a name that is reserved for the sidecar; rename it",
                    quote(contract::SIDECAR_CONTAINER)
                )));
            }
            for list in ["volumeMounts", "volumeDevices"] {
                check_volumes(container, list, format_args!("spec.{kind}[{index}]."))?;
            }
        }
    }
    match pod.volumes()?.iter().find(|(name, _)| VOLUMES.contains(name)) {
        Some((name, _)) => Err(clash(format!(
            "spec.volumes has a volume {}, a name that is reserved for the sidecar; rename it",
            quote(name)
        ))),
        None => Ok(()),
    }
}

fn check_volumes(container: Container<'_>, list: &str, path: impl Display) -> Result<(), Denial> {
    for (index, mount) in raw::objects(container.raw, list, &path)?.into_iter().enumerate() {
        let path = format_args!("{path}{list}[{index}].");
        let Some(volume) = raw::text(mount, "name", path)?.filter(|name| VOLUMES.contains(name)) else {
            continue;
        };
        let owner = match volume {
            contract::HANDOFF_VOLUME => "the sidecar and the agent container",
            _ => "the sidecar",
        };
        return Err(clash(format!(
            "container {} mounts volume {} ({path}name), which the webhook adds to the pod for {owner} alone; remove the mount",
            quote(container.name),
            quote(volume)
        )));
    }
    Ok(())
}

/// Denies an agent container whose name the API server would not take, that mounts something where the token file goes, or
/// that sets variables of our names.
pub(crate) fn check_agent(agent: Container<'_>, path: &str) -> Result<(), Denial> {
    // It becomes part of annotations.
    if !is_label(agent.name) {
        return Err(Denial::new(
            DenyReason::MalformedPod,
            format!("{path}name is {}, which is no name of a container", quote(agent.name)),
        ));
    }
    for (index, mount) in raw::objects(agent.raw, "volumeMounts", path)?.into_iter().enumerate() {
        let place = raw::text(mount, "mountPath", format_args!("{path}volumeMounts[{index}]."))?.unwrap_or_default();
        if is_at_or_below(place, contract::HANDOFF_DIR) {
            return Err(clash(format!(
                "container {} mounts a volume at {}, where the token file goes ({}); mount it elsewhere",
                quote(agent.name),
                quote(place),
                contract::HANDOFF_DIR
            )));
        }
    }
    for (index, entry) in raw::objects(agent.raw, "env", path)?.into_iter().enumerate() {
        let name = raw::name(entry, "name", format_args!("{path}env[{index}]."))?;
        if [
            contract::OWNER_VARIABLE,
            contract::POD_NAME_VARIABLE,
            contract::POD_UID_VARIABLE,
        ]
        .contains(&name)
        {
            return Err(clash(format!(
                "container {} sets variable {name}, which the webhook sets; remove it",
                quote(agent.name)
            )));
        }
    }
    Ok(())
}

fn clash(sentence: String) -> Denial {
    Denial::new(DenyReason::NameClash, sentence)
}

/// Whether a mount path is the directory or below it. Empty segments and `.` do not count; `/var/run` is `/run` in most
/// images. Of a path only as many segments are kept as the directory has.
fn is_at_or_below(path: &str, directory: &str) -> bool {
    let wanted = directory.split('/').filter(|segment| !segment.is_empty());
    let length = wanted.clone().count();
    let mut first = Vec::with_capacity(length);
    let mut depth = 0_usize;
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                depth = depth.saturating_sub(1);
                first.truncate(depth);
            }
            name => {
                if depth < length {
                    first.push(name);
                }
                depth += 1;
            }
        }
        if depth == 2 && first == ["var", "run"] {
            first.remove(0);
            depth = 1;
        }
    }
    wanted.eq(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_as_the_kernel_sees_them() {
        for path in [
            "/run/ado-agent/handoff",
            "/run/ado-agent/handoff/",
            "/run//ado-agent/./handoff/x",
            "/var/run/ado-agent/handoff",
            "/x/../run/ado-agent/handoff",
            "/../run/ado-agent/handoff/a/b/c/../..",
            "/var/run/../run/ado-agent/x/y/../../handoff",
        ] {
            assert!(is_at_or_below(path, contract::HANDOFF_DIR), "{path}");
        }
        for path in [
            "",
            "/",
            "/run",
            "/run/ado-agent",
            "/run/ado-agent/handoff2",
            "/var/ado-agent/handoff",
            "/run/ado-agent/handoff/..",
            "/run/ado-agent/handoff/a/b/../../..",
            "/a/var/run/ado-agent/handoff",
        ] {
            assert!(!is_at_or_below(path, contract::HANDOFF_DIR), "{path}");
        }
    }
}

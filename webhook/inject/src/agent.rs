//! Which container is the agent, and what in the pod stands in our way.

use crate::pod::{Container, Pod};
use crate::text::{list, quote};
use crate::values::is_label;
use crate::{Denial, overrides::Overrides};
use contract::DenyReason;

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
        [] => denied("the pod has no containers".to_owned()),
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

/// Volumes that the webhook adds. Only the webhook decides what mounts them.
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
    for container in pod.all_containers() {
        if container.name == contract::SIDECAR_CONTAINER {
            return Err(clash(format!(
                "spec.{} has a container {}, a name that is reserved for the sidecar; rename it",
                container.list.as_str(),
                quote(contract::SIDECAR_CONTAINER)
            )));
        }
        let mounts = container.mounts.iter().map(|mount| mount.volume);
        check_volumes(container, "volumeMounts", mounts)?;
        check_volumes(container, "volumeDevices", container.devices.iter().copied())?;
    }
    match pod.volumes.iter().find(|volume| VOLUMES.contains(&volume.name)) {
        Some(volume) => Err(clash(format!(
            "spec.volumes has a volume {}, a name that is reserved for the sidecar; rename it",
            quote(volume.name)
        ))),
        None => Ok(()),
    }
}

fn check_volumes<'a>(
    container: &Container<'_>,
    list: &str,
    volumes: impl Iterator<Item = &'a str>,
) -> Result<(), Denial> {
    let Some((index, volume)) = volumes.enumerate().find(|(_, volume)| VOLUMES.contains(volume)) else {
        return Ok(());
    };
    let owner = match volume {
        contract::HANDOFF_VOLUME => "the sidecar and the agent container",
        _ => "the sidecar",
    };
    Err(clash(format!(
        "container {} mounts volume {} ({}.{list}[{index}].name), which the webhook adds to the pod for {owner} alone; remove the mount",
        quote(container.name),
        quote(volume),
        container.place()
    )))
}

/// Denies an agent container whose name the API server would not take, that mounts something where the token file goes, or
/// that sets variables of our names.
pub(crate) fn check_agent(agent: &Container<'_>) -> Result<(), Denial> {
    // It becomes part of annotations.
    if !is_label(agent.name) {
        return Err(Denial::new(
            DenyReason::MalformedPod,
            format!(
                "{}.name is {}; expected the name of a container (a DNS label)",
                agent.place(),
                quote(agent.name)
            ),
        ));
    }
    if let Some(mount) = agent
        .mounts
        .iter()
        .find(|mount| is_at_or_below(mount.path, contract::HANDOFF_DIR))
    {
        return Err(clash(format!(
            "container {} mounts a volume at {}, where the token file goes ({}); mount it elsewhere",
            quote(agent.name),
            quote(mount.path),
            contract::HANDOFF_DIR
        )));
    }
    let ours = [
        contract::OWNER_VARIABLE,
        contract::POD_NAME_VARIABLE,
        contract::POD_UID_VARIABLE,
    ];
    match agent.env.iter().find(|entry| ours.contains(&entry.name)) {
        Some(entry) => Err(clash(format!(
            "container {} sets variable {}, which the webhook sets; remove it",
            quote(agent.name),
            entry.name
        ))),
        None => Ok(()),
    }
}

fn clash(sentence: String) -> Denial {
    Denial::new(DenyReason::NameClash, sentence)
}

/// Whether a mount path is the directory or below it. Empty segments and `.` do not count; `/var/run` is `/run` in most
/// images. Only as many segments of a path are stored as the directory has.
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

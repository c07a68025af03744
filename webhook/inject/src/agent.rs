//! Which container is the agent, and what in the pod stands in our way.

use crate::raw::{self, Container, Pod};
use crate::text::{list, quote};
use crate::{Denial, overrides::Overrides};
use contract::Reason;

/// Finds the agent among `spec.containers`: the annotation, else the only one, else the first documented name.
pub(crate) fn choose(containers: &[Container<'_>], overrides: &Overrides<'_>) -> Result<usize, Denial> {
    let denied = |sentence: String| Err(Denial::new(Reason::AgentContainer, sentence));
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

/// Denies a pod that already has a container or a volume of our names.
pub(crate) fn check_names(pod: &Pod<'_>) -> Result<(), Denial> {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        if pod
            .containers(kind)?
            .iter()
            .any(|container| container.name == contract::SIDECAR_CONTAINER)
        {
            return Err(clash(format!(
                "spec.{kind} has a container {}, a name that is reserved for the sidecar; rename it",
                quote(contract::SIDECAR_CONTAINER)
            )));
        }
    }
    let ours = [
        contract::ASSERTION_VOLUME,
        contract::HANDOFF_VOLUME,
        contract::STATE_VOLUME,
        contract::NO_API_TOKEN_VOLUME,
        contract::CA_VOLUME,
    ];
    match pod.volumes()?.iter().find(|(name, _)| ours.contains(name)) {
        Some((name, _)) => Err(clash(format!(
            "spec.volumes has a volume {}, a name that is reserved for the sidecar; rename it",
            quote(name)
        ))),
        None => Ok(()),
    }
}

/// Denies an agent container that mounts something where the token file goes, or sets variables of our names.
pub(crate) fn check_agent(agent: Container<'_>, path: &str) -> Result<(), Denial> {
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
    Denial::new(Reason::NameClash, sentence)
}

/// Whether a mount path is the directory or below it. Empty segments and `.` do not count; `/var/run` is `/run` in most
/// images.
fn is_at_or_below(path: &str, directory: &str) -> bool {
    fn segments(path: &str) -> Vec<&str> {
        let mut segments = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    segments.pop();
                }
                name => segments.push(name),
            }
            if segments == ["var", "run"] {
                segments.remove(0);
            }
        }
        segments
    }
    segments(path).starts_with(&segments(directory))
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
        ] {
            assert!(!is_at_or_below(path, contract::HANDOFF_DIR), "{path}");
        }
    }
}

//! What a handoff changes in the agent container.

mod gateway;
mod token_file;

use crate::Denial;
use crate::azwi::Exposed;
use crate::env_var::{EnvVar, literal};
use crate::environment::Environment;
use crate::gateway::Gateway;
use crate::identity::Identity;
use crate::kubernetes::VolumeMount;
use crate::text::quote;
use contract::{AZURE_FEDERATED_TOKEN_FILE_VARIABLE, DenyReason};

/// Most entries that are removed from the agent container. Each is an operation of the patch, and the API server moves the
/// rest of the list for each.
const REMOVALS_MAX: usize = 50;

/// Changes of a list. Positions are those before any change.
#[derive(Debug, PartialEq)]
pub(crate) struct Edits<T> {
    pub(crate) replace: Vec<(usize, T)>,
    pub(crate) remove: Vec<usize>,
    pub(crate) append: Vec<T>,
}

/// Changes of the agent container and what is said about them.
#[derive(Debug, PartialEq)]
pub(crate) struct Changes<'a> {
    pub(crate) variables: Edits<EnvVar<'a>>,
    pub(crate) mounts: Edits<VolumeMount>,
    /// Names of variables that were removed, replaced, or set to the empty string.
    pub(crate) removed: Vec<&'static str>,
    pub(crate) replaced: Vec<&'a str>,
    pub(crate) shadowed: Vec<&'static str>,
    pub(crate) warnings: Vec<String>,
}

/// A variable of the agent container, and the position of an entry that it replaces.
pub(crate) type Setting<'a> = (Option<usize>, EnvVar<'a>);

/// What the changes depend on besides the agent container.
pub(crate) struct Wanted<'a, 'w> {
    /// What the pod wants of the gateway; `None` is the handoff `token-file`.
    pub(crate) gateway: Option<&'w Gateway<'a>>,
    pub(crate) identity: &'w Identity<'a>,
    /// The marker and the downward-API variables that it references.
    pub(crate) owner: &'w [EnvVar<'a>],
    /// Variables that the start script needs and the container does not set.
    pub(crate) settings: Vec<Setting<'a>>,
    /// The federated token that the container has although it is to be hidden.
    pub(crate) exposed: Exposed,
}

/// Computes the edits to the agent container, or denies a pod that needs too many.
pub(crate) fn changes<'a>(
    agent: &str,
    environment: &Environment<'a>,
    wanted: Wanted<'a, '_>,
) -> Result<Changes<'a>, Denial> {
    let mut changes = Changes {
        variables: Edits {
            replace: Vec::new(),
            remove: Vec::new(),
            append: wanted.owner.to_vec(),
        },
        mounts: Edits {
            replace: Vec::new(),
            remove: Vec::new(),
            append: vec![VolumeMount {
                name: contract::HANDOFF_VOLUME,
                mount_path: contract::HANDOFF_DIR,
                read_only: false,
            }],
        },
        removed: Vec::new(),
        replaced: Vec::new(),
        shadowed: Vec::new(),
        warnings: Vec::new(),
    };
    match wanted.gateway {
        None => {
            changes.token_file(agent, environment, wanted.settings)?;
            changes.hide_federated_token(agent, wanted.exposed)?;
        }
        Some(gateway) => {
            changes.hide_federated_token(agent, wanted.exposed)?;
            changes.gateway(agent, environment, wanted.settings, gateway)?;
            changes.exchange(environment, gateway, wanted.identity);
        }
    }
    Ok(changes)
}

impl<'a> Changes<'a> {
    /// Sets variables in their places.
    fn settings(&mut self, settings: impl IntoIterator<Item = Setting<'a>>) {
        for (position, entry) in settings {
            match position {
                Some(position) => self.variables.replace.push((position, entry)),
                None => self.variables.append.push(entry),
            }
        }
    }

    /// Sets a variable to a text, whatever the container says.
    fn set(&mut self, environment: &Environment<'_>, name: &'a str, value: &str) {
        let is_kept = |position: &usize| !self.variables.remove.contains(position);
        match environment.positions(name).rfind(is_kept) {
            None => self.variables.append.push(literal(name, value.to_owned())),
            Some(position) if environment.literal(position) == Some(value) => {}
            Some(position) => {
                self.variables.replace.push((position, literal(name, value.to_owned())));
                self.replaced.push(name);
            }
        }
    }

    /// Removes secrets and sets them to the empty string, which also hides what the webhook cannot see: what `envFrom` and the
    /// image's own environment bring.
    fn shadow(&mut self, agent: &str, environment: &Environment<'_>, names: &[&'static str]) -> Result<(), Denial> {
        for name in names {
            let positions: Vec<usize> = environment.positions(name).collect();
            let all_empty = positions
                .iter()
                .all(|position| environment.literal(*position) == Some(""));
            if all_empty && !positions.is_empty() {
                continue;
            }
            if !positions.is_empty() {
                self.removed.push(name);
                self.remove_all(agent, name, positions)?;
            }
            self.variables.append.push(literal(name, ""));
            self.shadowed.push(name);
        }
        Ok(())
    }

    fn hide_federated_token(&mut self, agent: &str, exposed: Exposed) -> Result<(), Denial> {
        if exposed.variables.is_empty() {
            return Ok(());
        }
        self.removed.push(AZURE_FEDERATED_TOKEN_FILE_VARIABLE);
        self.remove_all(agent, AZURE_FEDERATED_TOKEN_FILE_VARIABLE, exposed.variables)?;
        self.mounts.remove.extend(exposed.mounts);
        self.warnings.push(format!(
            "container {}: the federated token of Azure Workload Identity was removed again; webhook configuration {} should sort before the one of Azure Workload Identity",
            quote(agent),
            contract::WEBHOOK_CONFIGURATION
        ));
        Ok(())
    }

    fn remove_all(&mut self, agent: &str, name: &str, positions: Vec<usize>) -> Result<(), Denial> {
        let times = positions.len();
        self.variables.remove.extend(positions);
        if self.variables.remove.len() <= REMOVALS_MAX {
            return Ok(());
        }
        Err(Denial::new(
            DenyReason::PatchTooLarge,
            format!(
                "variable {name} of container {} is defined {times} times, and the webhook removes at most {REMOVALS_MAX} \
                 entries of a pod; delete them from the pod template",
                quote(agent)
            ),
        ))
    }
}

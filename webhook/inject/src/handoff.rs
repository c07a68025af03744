//! What the `token-file` handoff changes in the agent container.

use crate::Denial;
use crate::azwi::Exposed;
use crate::env_var::{EnvVar, literal};
use crate::environment::Environment;
use crate::kubernetes::VolumeMount;
use crate::text::quote;
use contract::{AZURE_FEDERATED_TOKEN_FILE_VARIABLE, DenyReason};

/// Most entries that are removed from the agent container. Each is an operation of the patch, and the API server moves the
/// rest of the list for each.
const REMOVALS_MAX: usize = 100;

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
    pub(crate) replaced: Vec<&'static str>,
    pub(crate) shadowed: Vec<&'static str>,
    pub(crate) warnings: Vec<String>,
}

/// Computes the edits to the agent container, or denies a pod that needs too many. `owner`: the marker and the downward-API variables
/// that it references. `settings`: variables that the start script needs and the container does not set.
pub(crate) fn changes<'a>(
    agent: &str,
    environment: &Environment<'_>,
    owner: &[EnvVar<'a>],
    settings: Vec<(Option<usize>, EnvVar<'a>)>,
    exposed: Exposed,
) -> Result<Changes<'a>, Denial> {
    let mut changes = Changes {
        variables: Edits {
            replace: Vec::new(),
            remove: Vec::new(),
            append: owner.to_vec(),
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
    changes.token_file(agent, environment);
    for (position, entry) in settings {
        match position {
            Some(position) => changes.variables.replace.push((position, entry)),
            None => changes.variables.append.push(entry),
        }
    }
    changes.secrets(agent, environment)?;
    changes.hide_federated_token(agent, exposed)?;
    Ok(changes)
}

impl Changes<'_> {
    fn token_file(&mut self, agent: &str, environment: &Environment<'_>) {
        for name in contract::TOKEN_FILE_VARIABLES {
            let entry = literal(name, contract::TOKEN_FILE);
            match environment.positions(name).next_back() {
                None => self.variables.append.push(entry),
                Some(position) if environment.literal(position) == Some(contract::TOKEN_FILE) => {}
                Some(position) => {
                    self.variables.replace.push((position, entry));
                    self.replaced.push(name);
                }
            }
        }
        if !self.replaced.is_empty() {
            self.warnings.push(format!(
                "container {}: {} now names the sidecar's token file",
                quote(agent),
                self.replaced.join(", ")
            ));
        }
    }

    /// Start scripts prefer these variables to the token file. The empty string also hides what the webhook cannot see: what
    /// `envFrom` and the image's own environment bring.
    fn secrets(&mut self, agent: &str, environment: &Environment<'_>) -> Result<(), Denial> {
        for name in contract::SECRET_VARIABLES {
            let positions: Vec<usize> = environment.positions(name).collect();
            let all_empty = positions
                .iter()
                .all(|position| environment.literal(*position) == Some(""));
            if all_empty && !positions.is_empty() {
                continue;
            }
            if !positions.is_empty() {
                self.remove_all(agent, name, positions)?;
            }
            self.variables.append.push(literal(name, ""));
            self.shadowed.push(name);
        }
        if !self.removed.is_empty() {
            self.warnings.push(format!(
                "container {}: {} removed: the sidecar's token file takes their place. An image that reads no AZP_TOKEN_FILE needs a \
                 command that does; see docs/troubleshooting.md",
                quote(agent),
                self.removed.join(", ")
            ));
        }
        Ok(())
    }

    fn hide_federated_token(&mut self, agent: &str, exposed: Exposed) -> Result<(), Denial> {
        if exposed.variables.is_empty() {
            return Ok(());
        }
        self.remove_all(agent, AZURE_FEDERATED_TOKEN_FILE_VARIABLE, exposed.variables)?;
        self.mounts.remove.extend(exposed.mounts);
        self.warnings.push(format!(
            "container {}: the federated token of Azure Workload Identity was removed again; webhook configuration {} should sort before azwi's",
            quote(agent),
            contract::WEBHOOK_CONFIGURATION
        ));
        Ok(())
    }

    fn remove_all(&mut self, agent: &str, name: &'static str, positions: Vec<usize>) -> Result<(), Denial> {
        let times = positions.len();
        self.variables.remove.extend(positions);
        self.removed.push(name);
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

//! Handoff `token-file`: the start script finds the path of the sidecar's file, and no other token.

use super::{Changes, Setting};
use crate::Denial;
use crate::env_var::literal;
use crate::environment::Environment;
use crate::text::quote;

impl<'a> Changes<'a> {
    /// Adds the file and the settings, and takes away what start scripts prefer to the file.
    pub(super) fn token_file(
        &mut self,
        agent: &str,
        environment: &Environment<'a>,
        settings: Vec<Setting<'a>>,
    ) -> Result<(), Denial> {
        self.token_file_variables(agent, environment);
        self.settings(settings);
        self.shadow(agent, environment, contract::SECRET_VARIABLES)?;
        if !self.removed.is_empty() {
            self.warnings.push(format!(
                "container {}: removed {}: the agent registers with the sidecar's token file. An image that does not read AZP_TOKEN_FILE \
                 needs a command that does; see docs/troubleshooting.md",
                quote(agent),
                self.removed.join(", ")
            ));
        }
        Ok(())
    }

    fn token_file_variables(&mut self, agent: &str, environment: &Environment<'_>) {
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
}

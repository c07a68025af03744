//! Sets services back that a test has killed or started with other flags.

use super::Node;
use crate::service::Program;
use anyhow::Result;
use std::time::Duration;

/// The others need it, so it is set back first.
const API_SERVER: &str = "kube-apiserver";

impl Node {
    /// Every service with the command line that it was started with last.
    pub fn programs(&self) -> Vec<Program> {
        let services = &self.state().services;
        services.values().map(|(program, _)| program.clone()).collect()
    }

    /// Starts those again that have ended or run with another command line than this.
    pub fn set_back(&self, programs: &[Program]) -> Result<()> {
        let mut programs = programs.to_vec();
        programs.sort_by_key(|program| program.name != API_SERVER);
        for program in programs {
            let (current, process) = self.service(&program.name)?;
            if process.runs() && current == program {
                continue;
            }
            self.kill(&program.name)?;
            self.start(&program)?;
            if program.name == API_SERVER {
                self.wait_for_api_server()?;
            }
        }
        Ok(())
    }

    /// Waits until the API server says that it is ready.
    pub fn wait_for_api_server(&self) -> Result<()> {
        self.wait_for("the API server", Duration::from_secs(120), &["get", "--raw", "/readyz"])
    }
}

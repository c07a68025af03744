//! `ado-agent keep` as a process beside the node, which can be killed and started again.

use crate::case::{AGENT, Case};
use anyhow::{Context, Result};
use azure_emulators::entra::AZURE_DEVOPS;
use serde_json::json;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Pieces of the ledger.
const SHARDS: usize = 4;

/// The process. Dropping it kills it.
pub(super) struct Keep {
    child: Child,
    folder: TempDir,
}

impl Drop for Keep {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Keep {
    /// Starts it for the test's namespace and pool, with the test's identity.
    pub(super) fn start(case: &Case) -> Result<Self> {
        for number in 0..SHARDS {
            case.apply(&json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": format!("ado-agent-ledger-{number}")},
            }))?;
        }
        let folder = tempfile::tempdir()?;
        let world = &case.suite.world;
        let token = world
            .entra
            .mint_token_for(&case.identity, AZURE_DEVOPS, Duration::from_hours(20));
        std::fs::write(folder.path().join("token"), token)?;
        world.authority.write_pem(&folder.path().join("ca.pem"))?;
        let child = spawn(case, &folder)?;
        Ok(Self { child, folder })
    }

    /// Kills it as a lost node would.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again if it has ended.
    pub(super) fn ensure_runs(&mut self, case: &Case) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            self.child = spawn(case, &self.folder)?;
        }
        Ok(())
    }

    /// What it said, all its lives.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn spawn(case: &Case, folder: &TempDir) -> Result<Child> {
    let path = folder.path();
    let log = File::options().create(true).append(true).open(path.join("log"))?;
    // The emulator's own address: names are known to pods only.
    let url = case
        .suite
        .world
        .ado
        .organization_url(&case.suite.world.settings.organization);
    Command::new(tests::programs::program("ado-agent")?)
        .args(["keep", "--url", &url, "--pool", &case.namespace])
        .args(["--namespaces", &case.namespace, "--ledger-namespace", &case.namespace])
        .args(["--interval", "3", "--listen", "127.0.0.1:0", "--log-level", "debug"])
        .args(["--never-remove", "placeholder"])
        .arg("--kubeconfig")
        .arg(case.suite.node.pki().kubeconfig("admin"))
        .arg("--token-file")
        .arg(path.join("token"))
        .arg("--ca-file")
        .arg(path.join("ca.pem"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("ado-agent keep cannot be started for {AGENT}"))
}

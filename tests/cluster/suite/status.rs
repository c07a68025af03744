//! `ado-agent status` on a real cluster: commands in real sidecars, over the API server and the kubelet.

use crate::case::Case;
use crate::check::ado_agent;
use crate::workload::{deployment, template};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub(crate) async fn the_status_of_each_sidecar_is_shown(case: Case) -> Result<()> {
    case.apply(&deployment("agent", 3, &template("gen3")))?;
    case.wait_for_agents(3).await?;
    let looked = || async {
        let said = ado_agent(
            &case,
            &["status", "--namespace", &case.namespace, "--token-file", "TOKEN-FILE"],
        )
        .await?;
        ensure!(said.code == Some(0), "{}", said.stderr);
        let value = said.json()?;
        let agents = value["agents"].as_array().context("agents")?;
        let is_well = |agent: &Value| {
            agent["reason"] == "ready"
                && agent["online"] == true
                && agent["pool"] == case.namespace.as_str()
                && agent["token"]["expiresInSeconds"]
                    .as_u64()
                    .is_some_and(|left| left > 60)
        };
        if agents.len() == 3 && agents.iter().all(is_well) && value["leftBehind"] == Value::Array(Vec::new()) {
            return Ok(Some(()));
        }
        bail!("{value:#}")
    };
    case.wait("three agents shown", crate::case::LIMIT, looked).await?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}

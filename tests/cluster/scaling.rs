//! The example Deployment, as it is in the repository.

use crate::suite::Suite;
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::ado::AgentView;
use tests::programs::repository;

const LIMIT: Duration = Duration::from_secs(120);

pub(crate) async fn a_deployment_registers_and_scales_from_one_to_five_to_none(suite: &Suite<'_>) -> Result<()> {
    let manifest = repository().join("manifests/examples/deployment.yaml");
    let manifest = manifest.to_str().context("the repository's path is UTF-8")?;
    // Pods of an earlier run do not know this run's CA, and would try to reach Azure for their whole grace period.
    suite.kubectl(&[
        "delete",
        "pods",
        "--all",
        "--namespace=agents",
        "--force",
        "--grace-period=0",
    ])?;
    suite.kubectl(&[
        "delete",
        "--ignore-not-found",
        "--wait",
        "--timeout=25s",
        "-f",
        manifest,
    ])?;
    suite.kubectl(&["apply", "-f", manifest])?;
    suite.wait_for_pool("one agent online", LIMIT, online(1)).await?;

    // Five times what the example asks for is more than a small machine has.
    let deployment = ["--namespace=agents", "deployment/azp-agent"];
    let small = [
        &["set", "resources"][..],
        &deployment,
        &["--containers=agent", "--requests=cpu=10m,memory=32Mi"],
    ]
    .concat();
    suite.kubectl(&small)?;
    suite.kubectl(&[&["scale", "--replicas=5"][..], &deployment].concat())?;
    suite
        .wait_for_pool("five agents online and no other", LIMIT, online(5))
        .await?;
    let agents = suite.world.pool.agents();
    ensure!(
        agents.iter().all(|agent| agent.enabled),
        "all may get jobs: {agents:#?}"
    );

    suite.kubectl(&[&["scale", "--replicas=0"][..], &deployment].concat())?;
    suite
        .wait_for_pool("an empty pool", LIMIT, |agents| agents.is_empty())
        .await?;
    suite.kubectl(&["delete", "--wait", "--timeout=25s", "-f", manifest])?;
    Ok(())
}

fn online(count: usize) -> impl Fn(&[AgentView]) -> bool {
    move |agents| agents.len() == count && agents.iter().all(|agent| agent.online)
}

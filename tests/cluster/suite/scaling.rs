//! The example Deployment, as it is in the repository, and Deployments that change their size.

use crate::case::Case;
use crate::workload::{deployment, template};
use anyhow::{Context, Result, ensure};
use tests::programs::repository;

pub(crate) async fn the_example_deployment_registers_unchanged(case: Case) -> Result<()> {
    let manifest = repository().join("manifests/examples/deployment.yaml");
    let manifest = manifest.to_str().context("the repository's path is UTF-8")?;
    let node = |arguments: &[&str]| case.blocking(|| case.suite.node.kubectl_within(arguments, crate::case::LIMIT));
    // What an earlier run has left does not know this run's CA.
    node(&["delete", "namespace", "agents", "--ignore-not-found"])?;
    node(&["apply", "-f", manifest])?;
    let pool = &case.suite.world.pool;
    let looked = || async { Ok(pool.agents().iter().any(|agent| agent.online).then_some(())) };
    case.wait("the example's agent online", crate::case::LIMIT, looked)
        .await?;
    node(&["--namespace=agents", "scale", "deployment/azp-agent", "--replicas=0"])?;
    let looked = || async { Ok(pool.agents().is_empty().then_some(())) };
    case.wait("an empty pool", crate::case::LIMIT, looked).await?;
    node(&["delete", "-f", manifest]).map(drop)
}

pub(crate) async fn a_deployment_scales_from_one_to_five_to_none(case: Case) -> Result<()> {
    case.apply(&deployment("agent", 1, &template("gen3")))?;
    case.wait_for_agents(1).await?;
    case.scale("deployment/agent", 5)?;
    case.wait_for_agents(5).await?;
    let agents = case.pool.agents();
    ensure!(
        agents.iter().all(|agent| agent.enabled),
        "all may get jobs: {agents:#?}"
    );
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}

//! A soft eviction by a kubelet whose node is under pressure: with a grace of its own, not the pod's.

use crate::case::{Case, LIMIT};
use crate::life::{Life, obedient, with_grace};
use crate::suite::say;
use anyhow::{Context, Result, bail, ensure};
use cluster::Program;

/// The kubelet wants more memory free than there is, so the pod that is above its request has to go. (Pods without any request
/// would not be taken up again by a kubelet under pressure.) The agent ignores SIGTERM, and its own grace would be a minute.
pub(crate) async fn an_agent_that_is_evicted_softly_is_removed(case: Case) -> Result<()> {
    let life = Life::begin(&case, "soft", &with_grace(obedient(":", "exit"), 60))?;
    life.online().await?;
    restart_kubelet(
        &case,
        &[
            "--eviction-soft=memory.available<100000Gi",
            "--eviction-soft-grace-period=memory.available=1s",
            "--eviction-max-pod-grace-period=8",
        ],
    )?;
    let ending = life.ended().await?;
    restart_kubelet(&case, &[])?;
    let relieved = || async {
        let node = case.suite.api.get("/api/v1/nodes/node0").await?;
        match node["spec"]["taints"].as_array().is_none_or(Vec::is_empty) {
            true => Ok(Some(())),
            false => bail!("taints: {}", node["spec"]["taints"]),
        }
    };
    case.wait("the end of the pressure", LIMIT, relieved).await?;

    ensure!(
        ending.pod["status"]["reason"] == "Evicted" && life.agent().is_none() && ending.removed() == 1,
        "evicted, and removed once\n{}",
        ending.explain()
    );
    ending.must_be("removed")?;
    let removal = ending.removal_in_time()?;
    // The kubelet counts from before its hooks, and the agent's hook returns when the sidecar has removed the agent. On a busy node
    // that takes seconds, so the agent's own SIGTERM says little about the grace. The sidecar's hook may be late by as much.
    let begins = [ending.warned(), ending.agent.told].into_iter().flatten().min();
    let [begins, ended] = [begins, ending.agent.ended].map(|time| time.with_context(|| ending.explain()));
    let agent = ended?.0 - begins?.0;
    ensure!(
        (4_000..11_000).contains(&agent),
        "the agent had {agent} ms, neither a minute nor the second of a hard eviction\n{}",
        ending.explain()
    );
    say(&format!(
        "soft eviction: the agent was killed {agent} ms after somebody was told of it, and removed {removal} ms after the sidecar's SIGTERM"
    ));
    Ok(())
}

/// Starts the kubelet again with these flags beside its own.
fn restart_kubelet(case: &Case, flags: &[&str]) -> Result<()> {
    case.blocking(|| {
        case.suite.node.restart("kubelet", |Program { arguments, .. }| {
            arguments.retain(|argument| !argument.starts_with("--eviction-"));
            arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        })
    })
}

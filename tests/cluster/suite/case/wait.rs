//! Waiting for a condition in the cluster or in the pool, with a limit.

use super::{Case, LIMIT};
use anyhow::{Context, Result, bail};
use azure_emulators::ado::AgentView;
use serde_json::Value;
use std::time::{Duration, Instant};

impl Case {
    /// Waits until `attempt` gives a value, or fails with what it said last.
    pub(crate) async fn wait<T, F: Future<Output = Result<Option<T>>>>(
        &self,
        what: &str,
        limit: Duration,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            let answer = attempt().await;
            if let Ok(Some(value)) = answer {
                return Ok(value);
            }
            if Instant::now() >= deadline {
                return match answer {
                    Err(error) => Err(error.context(format!("{what}: not within {limit:?}"))),
                    Ok(_) => bail!("{what}: not within {limit:?}"),
                };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until `condition` holds of what the pool shows.
    pub(crate) async fn wait_for_pool(&self, what: &str, condition: impl Fn(&[AgentView]) -> bool) -> Result<()> {
        self.wait_for_pool_within(LIMIT, what, condition).await
    }

    async fn wait_for_pool_within(
        &self,
        limit: Duration,
        what: &str,
        condition: impl Fn(&[AgentView]) -> bool,
    ) -> Result<()> {
        let looked = || async {
            let agents = self.pool.agents();
            match condition(&agents) {
                true => Ok(Some(())),
                false => bail!("the pool shows {agents:#?}"),
            }
        };
        self.wait(what, limit, looked).await
    }

    /// Waits until this many agents are online and no other is there.
    pub(crate) async fn wait_for_agents(&self, count: usize) -> Result<()> {
        self.wait_for_agents_within(LIMIT, count).await
    }

    pub(crate) async fn wait_for_agents_within(&self, limit: Duration, count: usize) -> Result<()> {
        let what = format!("{count} agents online and no other in the pool");
        self.wait_for_pool_within(limit, &what, |agents| {
            agents.len() == count && agents.iter().all(|agent| agent.online)
        })
        .await
    }

    /// Waits until `condition` holds of a pod.
    pub(crate) async fn wait_for_pod(
        &self,
        name: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let looked = || async {
            let pod = self
                .pod(name)
                .await?
                .with_context(|| format!("pod {name} is not there"))?;
            match condition(&pod) {
                true => Ok(Some(pod)),
                false => bail!("its status is {:#}", pod["status"]),
            }
        };
        self.wait(&format!("pod {name}: {what}"), LIMIT, looked).await
    }

    /// Waits until a pod is gone.
    pub(crate) async fn wait_until_gone(&self, name: &str) -> Result<()> {
        let looked = || async { Ok(self.pod(name).await?.is_none().then_some(())) };
        self.wait(&format!("the end of pod {name}"), LIMIT, looked).await
    }
}

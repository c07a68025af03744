//! One round: read the pools, write what was seen into the ledger, sweep, look after the placeholder.

use super::placeholder;
use super::{Health, Keep, Never, PodCache};
use crate::fleet::{PoolReader, PoolReading};
use crate::ledger_store::{LedgerStore, Saved, Stored};
use crate::session::{Sent, Session};
use crate::sweeper::{Sweeper, Swept, command};
use kube::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use sweep::{Decision, Ledger, Mode, Pod, Settings, Verdict};

/// How often the ledger is read again because somebody else wrote it.
const ATTEMPTS: usize = 5;
/// How often it is looked whether every namespace was listed.
const LISTING: Duration = Duration::from_millis(250);

/// What was seen and done in a round, of one pool.
#[derive(Debug)]
pub struct Round<'a> {
    /// The pool.
    pub reading: &'a PoolReading,
    /// The pods that are there.
    pub pods: &'a [Pod],
    /// What is known of pods and agents.
    pub ledger: &'a Ledger,
    /// What the sweep said.
    pub verdicts: &'a [Verdict],
    /// Why the sweep ended early, if it did.
    pub stopped: Option<&'a str>,
}

/// Who is told what happens: metrics, events.
pub trait Observer: Send + Sync {
    /// A request was sent to Azure DevOps.
    fn sent(&self, sent: &Sent);
    /// A pool was read and swept.
    fn round(&self, round: &Round<'_>);
    /// A pool could not be read, or the ledger.
    fn failed(&self, subject: &str, problem: &anyhow::Error);
    /// A pod with our sidecar is there, or changed.
    fn pod(&self, pod: &k8s_openapi::api::core::v1::Pod);
    /// A pod with our sidecar is gone.
    fn pod_gone(&self, uid: &str);
}

/// All that rounds need.
pub(super) struct Rounds {
    client: Client,
    session: Session,
    settings: Settings,
    mode: Mode,
    placeholder: Option<String>,
    pools: Vec<(PoolReader, placeholder::Memory)>,
    pods: Arc<PodCache>,
    store: LedgerStore,
    observers: Vec<Arc<dyn Observer>>,
    health: Arc<Health>,
    said: BTreeMap<String, String>,
}

impl Rounds {
    pub(super) fn new(
        arguments: &Keep,
        client: Client,
        session: Session,
        settings: Settings,
        pods: Arc<PodCache>,
        observers: Vec<Arc<dyn Observer>>,
        health: Arc<Health>,
    ) -> Self {
        let scope = &arguments.scope;
        Self {
            store: LedgerStore::new(&client, &scope.ledger_namespace, &scope.ledger, session.url()),
            client,
            session,
            settings,
            mode: if arguments.dry_run { Mode::DryRun } else { Mode::Remove },
            placeholder: arguments.placeholder.clone(),
            pools: scope
                .pools
                .iter()
                .map(|pool| (PoolReader::new(pool), placeholder::Memory::default()))
                .collect(),
            pods,
            observers,
            health,
            said: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self, interval: Duration) -> Never {
        while !self.pods.unlisted().is_empty() {
            tokio::time::sleep(LISTING).await;
        }
        let mut clock = tokio::time::interval(interval);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let mut problems = BTreeMap::new();
        for number in 0..self.pools.len() {
            let name = self.pools[number].0.name().to_owned();
            let subject = format!("pool \"{name}\"");
            match self.pool(number).await {
                Ok(None) => {}
                Ok(Some(stopped)) => drop(problems.insert(subject, format!("the sweep was stopped: {stopped}"))),
                Err(error) => {
                    for observer in &self.observers {
                        observer.failed(&name, &error);
                    }
                    problems.insert(subject, format!("{error:#}"));
                }
            }
        }
        for (subject, problem) in &problems {
            // The same sentence is not repeated each minute.
            if self.said.get(subject) != Some(problem) {
                tracing::warn!("{subject}: {problem}");
            }
        }
        for subject in self.said.keys().filter(|subject| !problems.contains_key(*subject)) {
            tracing::info!("{subject}: well again");
        }
        self.said.clone_from(&problems);
        self.health.round(problems);
    }

    /// One pool. Says why the sweep was stopped, if it was.
    async fn pool(&mut self, number: usize) -> anyhow::Result<Option<String>> {
        // Pods first: an agent of a pod that is younger than this list is not taken for a stranger's without a question.
        let (pods, departed) = (self.pods.pods(), self.pods.departed());
        let reading = self.pools[number].0.read(&self.session).await?;
        let mut stored = self.remember(&pods, &departed, &reading).await?;
        self.pods.written(&departed);
        let sweeper = Sweeper {
            session: &self.session,
            client: &self.client,
            settings: &self.settings,
            mode: self.mode,
        };
        let Swept { verdicts, stopped } = sweeper.run(&mut stored.ledger, &reading, &pods).await;
        for verdict in &verdicts {
            self.say(reading.pool.name.as_str(), verdict);
        }
        // What was removed is found out in the next round, if somebody else wrote meanwhile.
        self.store.save(&mut stored).await?;
        for observer in &self.observers {
            observer.round(&Round {
                reading: &reading,
                pods: &pods,
                ledger: &stored.ledger,
                verdicts: &verdicts,
                stopped: stopped.as_deref(),
            });
        }
        if let Some(name) = &self.placeholder {
            let (_, memory) = &mut self.pools[number];
            placeholder::keep(&self.session, &reading, name, self.mode, memory).await?;
        }
        Ok(stopped)
    }

    /// Writes what was seen into the ledger, before anything is removed.
    async fn remember(&self, pods: &[Pod], departed: &[Pod], reading: &PoolReading) -> anyhow::Result<Stored> {
        let listing = reading.listing();
        for _ in 0..ATTEMPTS {
            let mut stored = self.store.load().await?;
            stored.ledger.see_pods(pods);
            stored.ledger.see_pods(departed);
            stored.ledger.see_agents(&listing);
            if self.store.save(&mut stored).await? == Saved::Yes {
                if stored.ledger.refused() > 0 {
                    tracing::warn!(
                        pods = stored.ledger.refused(),
                        "the ledger is full: agents of these pods will not be removed when their pods are gone"
                    );
                }
                return Ok(stored);
            }
        }
        anyhow::bail!(
            "others wrote the ledger {ATTEMPTS} times while it was to be written; how many replicas are there?"
        )
    }

    fn say(&self, pool: &str, verdict: &Verdict) {
        let (agent, id) = (verdict.name.as_str(), verdict.agent.0);
        let pod = format!("{}/{}", verdict.pod.namespace, verdict.pod.name);
        let decision = verdict.decision.word();
        match &verdict.decision {
            Decision::Removed => {
                tracing::info!(
                    pool,
                    agent,
                    id,
                    pod,
                    uid = verdict.pod.uid,
                    decision,
                    "removed an agent whose pod is gone"
                );
            }
            Decision::WouldRemove => {
                tracing::info!(
                    pool,
                    agent,
                    id,
                    pod,
                    decision,
                    "would remove an agent whose pod is gone (dry run)"
                );
            }
            Decision::Clash => tracing::error!(
                pool,
                agent,
                id,
                pod,
                cluster = verdict.pod.cluster,
                decision,
                "an agent of this cluster and namespace is online, and nobody knows its pod: two clusters have one ID, or a job \
                 forged its marker; nothing of this namespace is removed while it is there"
            ),
            Decision::Failed(problem) => {
                tracing::warn!(pool, agent, id, pod, decision, "the agent was not removed: {problem}")
            }
            Decision::Unknown => tracing::debug!(
                pool,
                agent,
                id,
                pod,
                decision,
                "an agent is left behind whose pod was never seen; if it is not needed: {}",
                command(self.session.url(), verdict)
            ),
            Decision::AlreadyGone | Decision::Kept(_) => {
                tracing::debug!(
                    pool,
                    agent,
                    id,
                    pod,
                    decision,
                    "looked at an agent whose pod may be gone"
                );
            }
        }
    }
}

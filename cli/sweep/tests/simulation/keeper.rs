//! Who sweeps, as the rim does it: watch, read, write, sweep, write.

use super::fleet::{Fleet, NAMESPACE};
use super::scenario::Trouble;
use azure_protocol::ServerTime;
use proptest::prelude::TestCaseError;
use std::collections::BTreeMap;
use sweep::{AgentAnswer, DeleteAnswer, Ledger, Mode, Pod, PodAnswer, Run, Settings, Step};

/// Requests that are answered in a round while Azure DevOps throttles.
const BEFORE_THROTTLING: usize = 3;

/// One replica.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    pods: BTreeMap<String, Pod>,
    departed: BTreeMap<String, Pod>,
}

impl Keeper {
    /// What the watch shows.
    pub(super) fn watch(&mut self, fleet: &Fleet) {
        if fleet.suffers(Trouble::ApiServerAway) {
            return;
        }
        let half = fleet.suffers(Trouble::HalfOfThePods);
        let now: BTreeMap<String, Pod> = fleet
            .shown()
            .enumerate()
            .filter(|(number, _)| !half || number % 2 == 0)
            .map(|(_, pod)| (pod.uid.clone(), pod.clone()))
            .collect();
        let before = std::mem::replace(&mut self.pods, now);
        self.departed
            .extend(before.into_iter().filter(|(uid, _)| !self.pods.contains_key(uid)));
    }

    /// What was seen, written into a copy of the ledger.
    fn remember(&self, mut ledger: Ledger, fleet: &Fleet) -> Ledger {
        let pods: Vec<Pod> = self.pods.values().chain(self.departed.values()).cloned().collect();
        ledger.see_pods(&pods);
        ledger.see_agents(&fleet.listing());
        ledger
    }

    pub(super) fn round(&mut self, fleet: &mut Fleet) -> Result<(), TestCaseError> {
        if fleet.suffers(Trouble::AzureDevOpsAway) || fleet.suffers(Trouble::ApiServerAway) {
            return Ok(());
        }
        fleet.ledger = self.remember(fleet.ledger.clone(), fleet);
        self.written(fleet);
        let mut ledger = fleet.ledger.clone();
        self.sweep(&mut ledger, fleet)?;
        fleet.ledger = ledger;
        Ok(())
    }

    fn written(&mut self, fleet: &mut Fleet) {
        let seen: Vec<Pod> = self.pods.values().chain(self.departed.values()).cloned().collect();
        fleet.were_seen(&seen);
        self.departed.clear();
    }

    fn sweep(&self, ledger: &mut Ledger, fleet: &mut Fleet) -> Result<(), TestCaseError> {
        let settings = Settings::new([NAMESPACE.to_owned()]);
        let pods: Vec<Pod> = self.pods.values().cloned().collect();
        let listing = fleet.listing();
        let limit = (listing.agents.len() / 10).max(5);
        let mut run = Run::new(ledger, &listing, &pods, &settings, Mode::Remove);
        let (mut requests, mut removals) = (0, 0);
        loop {
            let step = run.next();
            if matches!(step, Step::GetAgent(..) | Step::Delete(..)) {
                requests += 1;
                if fleet.suffers(Trouble::Throttled) && requests > BEFORE_THROTTLING {
                    run.stop("429".to_owned());
                    continue;
                }
            }
            match step {
                Step::GetPod { name, .. } => run.pod(fleet.pod(&name).map_or(PodAnswer::Gone, PodAnswer::Present)),
                Step::GetAgent(_, id) => run.agent(match fleet.agents.get(&id) {
                    Some(agent) => AgentAnswer::Present(Box::new(agent.listed.clone()), ServerTime(fleet.now)),
                    None => AgentAnswer::Gone,
                }),
                Step::Delete(_, id) => {
                    fleet.remove(id)?;
                    removals += 1;
                    run.deleted(DeleteAnswer::Removed);
                }
                Step::Done => break,
            }
        }
        if removals > limit {
            return Err(TestCaseError::fail(format!(
                "{removals} removals, and {limit} are allowed"
            )));
        }
        Ok(())
    }
}

/// Two replicas read the ledger before either writes: the second has to read it again, and what it wrote after its sweep is lost.
pub(super) fn at_once(first: &mut Keeper, second: &mut Keeper, fleet: &mut Fleet) -> Result<(), TestCaseError> {
    if fleet.suffers(Trouble::AzureDevOpsAway)
        || fleet.suffers(Trouble::ApiServerAway)
        || fleet.suffers(Trouble::KeepDead)
    {
        return Ok(());
    }
    let stale = fleet.ledger.clone();
    fleet.ledger = first.remember(stale, fleet);
    first.written(fleet);
    fleet.ledger = second.remember(fleet.ledger.clone(), fleet);
    second.written(fleet);
    let (mut one, mut other) = (fleet.ledger.clone(), fleet.ledger.clone());
    first.sweep(&mut one, fleet)?;
    second.sweep(&mut other, fleet)?;
    fleet.ledger = one;
    Ok(())
}

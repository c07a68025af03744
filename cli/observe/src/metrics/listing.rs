//! One listing of a pool as gauges.

use super::{Labels, labels};
use crate::family::{JOBS, POD, WORKERS};
use crate::fleet::{Listing, Owner, Pool};
use crate::words::{JobState, WorkerState};
use std::collections::BTreeMap;

/// Agents by owner and state: every state of each owner that there is.
pub(super) fn workers(pool: &Pool, listing: &Listing) -> BTreeMap<Labels, i64> {
    let at = |owner: &Owner, state: WorkerState| {
        let Pool { organization, name } = pool;
        labels(
            &WORKERS,
            [organization, name, owner.namespace(), owner.as_str(), state.as_str()],
        )
    };
    let mut values = BTreeMap::new();
    for agent in &listing.agents {
        for state in WorkerState::ALL {
            *values.entry(at(&agent.owner, *state)).or_default() += i64::from(agent.state() == *state);
        }
    }
    for state in WorkerState::ALL {
        values.entry(at(&Owner::Foreign, *state)).or_default();
    }
    values
}

/// Jobs that have not ended.
pub(super) fn active(pool: &Pool, listing: &Listing) -> BTreeMap<Labels, i64> {
    let Pool { organization, name } = pool;
    let at = |namespace: &str, state: JobState| labels(&JOBS, [organization, name, namespace, state.as_str()]);
    let mut values = BTreeMap::new();
    for state in JobState::ALL {
        values.insert(at("", *state), 0);
        for agent in &listing.agents {
            values.insert(at(agent.owner.namespace(), *state), 0);
        }
    }
    for job in &listing.jobs {
        if let Some(state) = job.state() {
            *values.entry(at(listing.namespace(job.agent), state)).or_default() += 1;
        }
    }
    values
}

/// One series for each agent of a pod.
pub(super) fn pods(pool: &Pool, listing: &Listing) -> BTreeMap<Labels, i64> {
    let series = listing.agents.iter().filter_map(|agent| match &agent.owner {
        Owner::Pod { namespace, pod } => Some((
            labels(
                &POD,
                [&pool.organization, &pool.name, namespace, pod, agent.state().as_str()],
            ),
            1,
        )),
        Owner::Gone { .. } | Owner::Placeholder { .. } | Owner::Foreign => None,
    });
    series.collect()
}

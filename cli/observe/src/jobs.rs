//! What happened to a pool's jobs between two listings.

use crate::fleet::{Listing, Pool};
use crate::words::{JobResult, JobState};
use azure_protocol::{AgentId, JobRequest, ServerTime};
use std::collections::BTreeMap;

/// `finishTime` and `Date` are the server's clocks, but not the same machine's.
const SLACK_SECONDS: i64 = 5;

/// A job of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// ID of the request.
    pub id: i64,
    /// When it was queued.
    pub queued: Option<ServerTime>,
    /// When an agent was chosen.
    pub assigned: Option<ServerTime>,
    /// When the agent took it.
    pub received: Option<ServerTime>,
    /// When it ended.
    pub finished: Option<ServerTime>,
    /// How it ended; `None` while it has not.
    pub result: Option<JobResult>,
    /// The agent that has or had it.
    pub agent: Option<AgentId>,
}

impl From<&JobRequest> for Job {
    fn from(request: &JobRequest) -> Self {
        Self {
            id: request.id,
            queued: request.queued,
            assigned: request.assigned,
            received: request.received,
            finished: request.finished,
            result: request.result.as_deref().map(JobResult::read),
            agent: request.agent,
        }
    }
}

/// How far a job is known to be: a stage counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Queued,
    Assigned,
    Running,
    Finished,
}

impl Job {
    fn stage(&self) -> Stage {
        if self.finished.is_some() || self.result.is_some() {
            Stage::Finished
        } else if self.received.is_some() {
            Stage::Running
        } else if self.assigned.is_some() {
            Stage::Assigned
        } else {
            Stage::Queued
        }
    }

    /// How far it is; `None` where it has ended.
    pub fn state(&self) -> Option<JobState> {
        match self.stage() {
            Stage::Queued => Some(JobState::Queued),
            Stage::Assigned => Some(JobState::Assigned),
            Stage::Running => Some(JobState::Running),
            Stage::Finished => None,
        }
    }

    /// Seconds that it spent in a state that it has left; `None` where that state was skipped or a time is missing.
    fn seconds(&self, state: JobState) -> Option<f64> {
        let (from, to) = match state {
            JobState::Queued => (self.queued?, self.assigned?),
            JobState::Assigned => (self.assigned?, self.received?),
            JobState::Running => (self.received?, self.finished?),
        };
        // Clocks of several machines: never negative.
        Some(to.0.saturating_sub(from.0).max(0) as f64)
    }
}

/// What happened to one job.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It left a state after this many seconds.
    Left {
        /// Namespace of the agent that has or had it; empty where that is not ours.
        namespace: String,
        /// The state.
        state: JobState,
        /// How long it was in it.
        seconds: f64,
    },
    /// It ended.
    Ended {
        /// As above.
        namespace: String,
        /// How.
        result: JobResult,
    },
}

/// What was seen of each pool's jobs the last time.
#[derive(Debug, Default)]
pub struct Pools {
    pools: BTreeMap<Pool, Seen>,
}

#[derive(Debug)]
struct Seen {
    time: ServerTime,
    /// By ID. Bounded by the service, which lists 200 jobs at most.
    jobs: BTreeMap<i64, Known>,
}

#[derive(Debug)]
struct Known {
    stage: Stage,
    namespace: String,
}

impl Pools {
    /// What happened in a pool since its last listing. The first listing says nothing: what had happened before is not
    /// counted, so that a restart counts nothing twice.
    pub fn changes(&mut self, pool: &Pool, listing: &Listing) -> Vec<Change> {
        let before = self.pools.remove(pool);
        let mut changes = Vec::new();
        let mut jobs = BTreeMap::new();
        for job in &listing.jobs {
            let known = before.as_ref().and_then(|seen| seen.jobs.get(&job.id));
            // An agent that is gone has no owner any more: what it was is remembered with the job.
            let namespace = match (listing.namespace(job.agent), known) {
                ("", Some(known)) => known.namespace.clone(),
                (namespace, _) => namespace.to_owned(),
            };
            if let Some(seen) = &before {
                let from = match known {
                    Some(known) => Some(known.stage),
                    // It came and went between two listings, or it is an old one that the service shows again.
                    None if job.finished.is_some_and(|end| end.0 < seen.time.0 - SLACK_SECONDS) => None,
                    None => Some(Stage::Queued),
                };
                if let Some(from) = from {
                    changes.extend(passed(job, from, &namespace));
                }
            }
            let stage = job.stage();
            jobs.insert(job.id, Known { stage, namespace });
        }
        self.pools.insert(
            pool.clone(),
            Seen {
                time: listing.time,
                jobs,
            },
        );
        changes
    }
}

/// The stages that a job has passed since it was at this one.
fn passed(job: &Job, from: Stage, namespace: &str) -> Vec<Change> {
    let now = job.stage();
    let mut changes = Vec::new();
    for (stage, state) in [
        (Stage::Queued, JobState::Queued),
        (Stage::Assigned, JobState::Assigned),
        (Stage::Running, JobState::Running),
    ] {
        if stage < from || stage >= now {
            continue;
        }
        if let Some(seconds) = job.seconds(state) {
            changes.push(Change::Left {
                namespace: namespace.to_owned(),
                state,
                seconds,
            });
        }
    }
    if now == Stage::Finished && from < Stage::Finished {
        changes.push(Change::Ended {
            namespace: namespace.to_owned(),
            result: job.result.unwrap_or(JobResult::Other),
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Agent, Owner};

    fn pool() -> Pool {
        Pool {
            organization: "contoso".into(),
            name: "linux".into(),
        }
    }

    fn listing(time: i64, agents: Vec<Agent>, jobs: Vec<Job>) -> Listing {
        Listing {
            time: ServerTime(time),
            agents,
            jobs,
        }
    }

    fn agent(id: i64) -> Agent {
        Agent {
            id: AgentId(id),
            online: true,
            enabled: true,
            assigned: true,
            owner: Owner::Pod {
                namespace: "agents".into(),
                pod: "agent-0".into(),
            },
        }
    }

    fn job(id: i64, times: [Option<i64>; 4], result: Option<JobResult>) -> Job {
        let [queued, assigned, received, finished] = times.map(|time| time.map(ServerTime));
        Job {
            id,
            queued,
            assigned,
            received,
            finished,
            result,
            agent: assigned.map(|_| AgentId(1)),
        }
    }

    fn left(state: JobState, seconds: f64) -> Change {
        Change::Left {
            namespace: "agents".into(),
            state,
            seconds,
        }
    }

    #[test]
    fn a_job_is_counted_stage_by_stage_and_once() {
        let mut pools = Pools::default();
        let mut at = |time, times, result| {
            let listing = listing(time, vec![agent(1)], vec![job(7, times, result)]);
            pools.changes(&pool(), &listing)
        };
        assert_eq!(at(100, [Some(90), None, None, None], None), []);
        assert_eq!(
            at(130, [Some(90), Some(120), None, None], None),
            [left(JobState::Queued, 30.0)]
        );
        assert_eq!(at(131, [Some(90), Some(120), None, None], None), []);
        assert_eq!(
            at(
                300,
                [Some(90), Some(120), Some(125), Some(200)],
                Some(JobResult::Success)
            ),
            [
                left(JobState::Assigned, 5.0),
                left(JobState::Running, 75.0),
                Change::Ended {
                    namespace: "agents".into(),
                    result: JobResult::Success
                }
            ]
        );
        assert_eq!(
            at(
                330,
                [Some(90), Some(120), Some(125), Some(200)],
                Some(JobResult::Success)
            ),
            []
        );
    }

    #[test]
    fn a_restart_counts_nothing_twice_and_a_short_job_counts() {
        let mut pools = Pools::default();
        let done = job(7, [Some(1), Some(2), Some(3), Some(90)], Some(JobResult::Failure));
        let first = listing(100, vec![agent(1)], vec![done.clone()]);
        assert_eq!(pools.changes(&pool(), &first), []);
        let short = job(
            8,
            [Some(101), Some(102), Some(103), Some(104)],
            Some(JobResult::Success),
        );
        // The service shows an older one again, since a newer one is gone from its list.
        let old = job(6, [Some(1), Some(2), Some(3), Some(80)], Some(JobResult::Success));
        let second = listing(130, vec![agent(1)], vec![done, short, old]);
        let changes = pools.changes(&pool(), &second);
        assert_eq!(changes.len(), 4, "{changes:?}");
    }

    #[test]
    fn a_lost_job_is_its_namespaces_after_its_agent_is_gone() {
        let mut pools = Pools::default();
        let running = job(7, [Some(1), Some(2), Some(3), None], None);
        pools.changes(&pool(), &listing(100, vec![agent(1)], vec![running]));
        let lost = job(7, [Some(1), Some(2), Some(3), Some(700)], Some(JobResult::Error));
        let changes = pools.changes(&pool(), &listing(710, vec![], vec![lost]));
        assert_eq!(
            changes[1],
            Change::Ended {
                namespace: "agents".into(),
                result: JobResult::Error
            }
        );
    }

    #[test]
    fn a_job_that_went_back_to_the_queue_counts_again() {
        let mut pools = Pools::default();
        let mut at = |time, times| {
            let listing = listing(time, vec![agent(1)], vec![job(7, times, None)]);
            pools.changes(&pool(), &listing)
        };
        at(100, [Some(90), Some(95), None, None]);
        assert_eq!(at(110, [Some(90), None, None, None]), []);
        assert_eq!(
            at(120, [Some(90), Some(115), None, None]),
            [left(JobState::Queued, 25.0)]
        );
    }
}

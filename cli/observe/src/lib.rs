//! What an operator sees of a fleet of agents: [`Metrics`] for Prometheus and [`Notice`]s that become Kubernetes Events.
//!
//! [`Pools`] turns two successive listings of a pool into what happened between them: which jobs were given to an agent, started,
//! ended or were lost, and how long each took. [`Pods`] does the same for pods: which has a problem, which is ready, how its
//! agent left the pool. Whoever watches and asks brings the listings and the time; what comes out is performed elsewhere.
//!
//! **Invariant:** no clock, no IO. **Invariant:** a label of a metric is an organization, a pool, a namespace or a closed word;
//! a pod's name only where the operator asked for series of pods ([`Detail::Pods`]).

mod family;
mod fleet;
mod jobs;
mod metrics;
mod notice;
mod pods;
mod words;

pub use family::{Family, Kind, families};
pub use fleet::{Agent, Listing, Owner, Pool};
pub use jobs::{Change, Job, Pools};
pub use metrics::{CONTENT_TYPE, Detail, Metrics};
pub use notice::{Notice, NoticeKind, NoticeReason};
pub use pods::{Container, Happening, Pod, Pods, diagnosis};
pub use words::{JobResult, JobState, OrphanState, Remover, SweepOutcome, WorkerState};

//! Which agents of pods that are gone may be removed from a pool.
//!
//! Nobody inside a pod cleans up when its node is lost or everything in it is killed. From outside, the marker among an agent's
//! capabilities proves nothing: a job can forge it, and two clusters may have one ID. So the sweep goes by a [`Ledger`] of what
//! was seen while the pods lived, and a [`Run`] asks again, freshly, before each removal. Values only: the rim asks the API server and
//! Azure DevOps what a run wants to know ([`Step`]), and says what they answered.
//!
//! ```
//! use azure_protocol::{PoolId, ServerTime};
//! use sweep::{Ledger, Listing, Mode, Run, Settings, Step};
//!
//! let mut ledger = Ledger::new("https://dev.azure.com/contoso");
//! let listing = Listing { pool: PoolId(7), date: ServerTime(1_000), agents: Vec::new() };
//! let settings = Settings::new(["agents".to_owned()]);
//! let run = Run::new(&mut ledger, &listing, &[], &settings, Mode::Remove);
//! assert_eq!(run.next(), Step::Done, "an empty pool needs no sweep");
//! ```
//!
//! **Invariant:** an agent is removed only if it is in the ledger, its pod is gone by an answer that is fresh, and Azure DevOps
//! said right before that it is the same one, offline for long enough by its own clock, without a job, and still that pod's.
//! **Invariant:** an answer that is not understood ends the run.

mod budget;
mod ledger;
mod listing;
mod run;
mod shards;
mod verdict;

pub use budget::Budget;
pub use ledger::{Entry, Ledger, Life, Pod, Registered, Sighting};
pub use listing::{Listed, Listing};
pub use run::{AgentAnswer, DeleteAnswer, Mode, PodAnswer, Run, Settings, Step};
pub use shards::{SHARD_LIMIT, SHARDS, ShardError};
pub use verdict::{Decision, Kept, PodRef, Verdict};

//! The sidecar of an agent pod: performs what [`lifecycle`] decides, with [`azure`] as its client.
//!
//! | file | what it does |
//! |---|---|
//! | `config.rs` | the environment that the webhook wrote, as values |
//! | `driver.rs` | the loop between the machine and everything below |
//! | `token_file.rs`, `drain_file.rs` | the shared volume |
//! | `state.rs`, `socket.rs`, `termination.rs` | what a restart keeps, what `probe` and `pre-stop` ask, what a person reads |
//!
//! **Invariant:** the sidecar opens no port. **Invariant:** tokens leave only to the hosts of the operator's lists.

mod clock;
mod config;
mod descriptor;
mod drain_file;
mod driver;
mod socket;
mod state;
mod termination;
mod timer;
mod token_file;

pub use config::{Config, Places, Remote, state_dir};
pub use driver::run;
pub use socket::{Reply, pre_stop, probe};

//! The sidecar of an agent pod: performs what [`lifecycle`] decides, with [`azure`] as its client.
//!
//! | file | what it does |
//! |---|---|
//! | `config.rs` | the environment that the webhook wrote, as values |
//! | `driver.rs` | the loop between the machine and everything below |
//! | `gateway.rs` | the proxy between the agent and Azure DevOps (handoff `gateway`) |
//! | `local.rs` | everything that needs no Azure, also where the configuration is refused |
//! | `token_file.rs`, `drain_file.rs` | the shared volume |
//! | `state.rs`, `socket.rs` | the state that survives a restart; the server of `probe`, `ready` and `pre-stop` |
//! | `termination.rs` | the termination message |
//!
//! **Invariant:** the sidecar opens no port but the gateway's, on the loopback of a pod that asks for it. **Invariant:** tokens
//! leave only to the hosts of the operator's lists.

mod clock;
mod config;
mod descriptor;
mod drain_file;
mod driver;
mod gateway;
mod local;
mod socket;
mod state;
mod termination;
mod timer;
mod token_file;

pub use config::{Config, Places, Remote, state_dir};
pub use driver::run;
pub use socket::{Reply, pre_stop, probe, probe_json, ready};

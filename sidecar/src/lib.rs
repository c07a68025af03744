//! The sidecar of an agent pod: performs what [`lifecycle`] decides.
//!
//! | file | what it does |
//! |---|---|
//! | `config.rs` | the environment that the webhook wrote, as values |
//! | `driver.rs` | the loop between the machine and everything below |
//! | `entra.rs`, `ado.rs` | the two services, one request at a time |
//! | `http.rs`, `url.rs` | the client they share, and where tokens may go |
//! | `token_file.rs` | the shared volume |
//! | `state.rs`, `socket.rs`, `termination.rs` | what a restart keeps, what `probe` and `pre-stop` ask, what a person reads |
//!
//! **Invariant:** the sidecar opens no port. **Invariant:** tokens leave only to the hosts of the operator's lists.

mod ado;
mod config;
mod descriptor;
mod drain_file;
mod driver;
mod entra;
mod http;
mod secret;
mod socket;
mod state;
mod termination;
mod timer;
mod times;
mod token_file;
mod url;

pub use config::{Config, Remote, state_dir};
pub use driver::run;
pub use entra::{Binding, Identity};
pub use http::{Proxies, Trust};
pub use socket::{Heard, pre_stop, probe};
pub use url::{Authority, Organization};

/// What the two services' answers mean, whoever received them: the fuzz targets give any bytes to these.
pub mod answers {
    pub use crate::ado::answer as azure_devops;
    pub use crate::entra::answer as entra;
}

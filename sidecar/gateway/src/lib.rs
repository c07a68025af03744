//! The gateway's judgment: what an agent container may ask Azure DevOps for through its sidecar.
//!
//! The agent container knows the sidecar's address and a *ticket*, a constant that is no secret. A request with the ticket
//! is judged by a closed table: it holds what configuring and removing this pod's agent in its pool needs, and is sent on
//! with the sidecar's own token. A request with any other credential, or none, is sent on as it is, to the organization's host
//! and to no other. What the answers tell (a registration, a session, a job) the sidecar's state machine hears of.
//!
//! | file | what it does |
//! |---|---|
//! | `judge.rs`, `table.rs` | from a request's head to a [`Verdict`] |
//! | `target.rs`, `credential.rs` | path, query and credential, read strictly |
//! | `headers.rs` | which headers go on, and which come back |
//! | `rewrite.rs`, `change.rs` | what is changed in an answer, while it passes |
//! | `reading.rs`, `sessions.rs` | what an answer tells |
//! | `answer.rs` | what the gateway answers itself |
//!
//! **Invariant:** with the ticket no agent but [`Scope::own`] is ever read, changed or deleted, and a request with it is built
//! anew from what was understood of it. **Invariant:** the sidecar's token never comes here.

mod answer;
mod change;
mod credential;
mod headers;
mod judge;
mod reading;
mod rewrite;
mod sessions;
mod table;
mod target;

pub use answer::{Answer, agent_not_found, listed, refused, unavailable};
pub use change::{Change, Meant, out_of_service, registration_body, registration_name};
pub use credential::Credential;
pub use headers::{Encoding, back, onward};
pub use judge::{Scope, Traffic, judge};
pub use reading::{Found, Reader, Reading, Told};
pub use rewrite::{Malformed, Rewriter};
pub use sessions::Sessions;
pub use table::{Onward, Verdict, version};

//! The sidecar's behavior as a state machine: events in, commands out.
//!
//! The machine has no clock, no IO and no randomness: the driver passes [`Time`] and a jitter seed in, performs each
//! [`Command`] and reports what happened as an [`Event`]. Secrets never come here: a token is known by its [`TokenId`].
//!
//! ```text
//!   Starting ─── pool, role, name, file ───► Serving ◄──── only the sidecar was restarted
//!   tenant, token,  every failure is         token kept fresh,        │   after SIGTERM
//!   checks          reported and             two lookups at most      │
//!      │            tried again                  │                    │
//!      └─────────── PreStop, or Terminate ───────┤                    │
//!      ▼                                         ▼                    │
//!   NothingToRemove                           Removing ───────────────┘
//!      │             find ─► disable ─► busy? poll ─► remove ─► idle
//!      │ Terminate                               │ Terminate, and done or out of time
//!      └─────────────────────────────────────────┴─► Ended(outcome)
//! ```
//!
//! For a configuration that can never work there is no machine, but [`Refused`], which sends no requests.
//!
//! # Example
//!
//! A pod that is deleted before Entra issues its first token:
//!
//! ```
//! use contract::{Marker, OutcomeReason};
//! use lifecycle::{Command, Event, Handoff, Lifecycle, Settings, Time};
//! use std::time::Duration;
//!
//! let settings = Settings {
//!     agent_name: "agent-0".to_owned(),
//!     marker: Marker::parse("ado-agent/v1/cluster/namespace/agent-0/uid-0").expect("a marker"),
//!     pool: "linux".to_owned(),
//!     url: "https://dev.azure.com/contoso".to_owned(),
//!     client_id: "6f1c…".to_owned(),
//!     tenant: Some("72f9…".to_owned()),
//!     grace: Duration::from_secs(600),
//!     placeholder: false,
//!     handoff: Handoff::TokenFile,
//! };
//! let now = Time(Duration::from_secs(5));
//! let mut machine = Lifecycle::new(settings, None, 42, now);
//! let commands: Vec<Command> = std::iter::from_fn(|| machine.poll_command()).collect();
//! let asks = |command: &Command| matches!(command, Command::RequestToken { tenant } if tenant == "72f9…");
//! assert!(commands.iter().any(asks), "{commands:?}");
//!
//! machine.handle(Event::PreStop, now);
//! machine.handle(Event::Terminate, now);
//! let last = std::iter::from_fn(|| machine.poll_command()).last();
//! assert!(matches!(last, Some(Command::Exit(outcome)) if outcome.reason == OutcomeReason::NeverSeen));
//! ```
//!
//! # Reading order
//!
//! `lifecycle.rs` says what each event does, `lifecycle/settle.rs` in which order what is due is done. `phase.rs` has the phases; each of
//! them says what to ask Azure DevOps for and what a response means: `preflight.rs`, `serving.rs`, `removal.rs` (its stages in
//! `stage.rs`, the search for the agent in `search.rs`, the last seconds in `deadline.rs`). `token.rs` has the schedule of
//! tokens, `delivery.rs` what the agent container waits for, `calls.rs` the open request and the backoff, `sentences.rs` the
//! messages. With the gateway: `gateway.rs` has the messages between it and the machine, `gateway/admissions.rs` who may register,
//! `registration.rs` which agent that is, `removal/registered.rs` how that is removed. `docs/lifecycle.md` has schedules and
//! tables for operators.
//!
//! # Invariants
//!
//! - Every deadline that the machine waits for is in [`Lifecycle::poll_timeout`], and calling [`Lifecycle::handle_timeout`]
//!   at it makes it go away.
//! - The machine works for every order of events, including impossible ones.
//! - An agent is disabled, enabled or removed only after a response that proved that it is ours, or if it registered here.
//! - After [`Event::Terminate`] there is a [`Command::Exit`] before the kubelet's SIGKILL.

mod backoff;
mod calls;
mod context;
mod deadline;
mod delivery;
mod gateway;
mod idle;
mod lifecycle;
mod ownership;
mod phase;
mod preflight;
mod refused;
mod registration;
mod removal;
mod schedule;
mod search;
mod sentences;
mod serving;
mod stage;
mod status;
mod target;
mod token;
mod token_file;
mod types;

pub use gateway::{Admission, Found, Gate, GatewayEvent, Handoff, Jobs, RegistrationFailure, Traffic};
pub use lifecycle::Lifecycle;
pub use refused::Refused;
pub use registration::{Registered, Registration, Remover};
pub use types::*;

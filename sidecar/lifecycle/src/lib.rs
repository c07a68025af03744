//! The sidecar's behavior: events in, commands out.
//!
//! The machine has no clock, no IO and no randomness: the driver passes [`Time`] and a jitter seed in, performs each
//! [`Command`] and reports what happened as an [`Event`]. Secrets never come here: a token is known by its [`TokenId`].
//!
//! ```text
//!  Refused            Starting ──── pool, role, name, file ────► Serving ◄──── a new life: the pod lives on
//!  (asks nobody)      tenant, token,   every failure says        token kept fresh,      │   after SIGTERM
//!     │               checks           its sentence and is       two looks at most      │
//!     │                  │             tried again                  │                   │
//!     │                  └──────────── PreStop, or Terminate ───────┤                   │
//!     │                                                             ▼                   │
//!     │                                                          Leaving ───────────────┘
//!     │                  find ─► disable ─► busy? look again ─► remove ─► rest
//!     │                                                             │ Terminate, and done or out of time
//!     └──────────────────────── Terminate ────────────────────────► Ended(outcome)
//! ```
//!
//! An event changes the state (`lifecycle.rs`, `answers.rs`); what is then due follows from the state alone, whatever
//! brought it about (`due.rs`). The token, the token file, the open question and the removal are a file each, and so are
//! the sentences. `docs/lifecycle.md` has the schedules and tables for people.
//!
//! **Invariant:** every deadline that the machine waits for is in [`Lifecycle::poll_timeout`], and calling
//! [`Lifecycle::handle_timeout`] at it makes it go away. **Invariant:** the machine works for every order of events, the
//! impossible ones included. **Invariant:** an agent is disabled, enabled or removed only on the proof of an answer that it
//! is ours. **Invariant:** after [`Event::Terminate`] there is a [`Command::Exit`] before the kubelet's SIGKILL.

mod answers;
mod backoff;
mod due;
mod file;
mod lifecycle;
mod ownership;
mod preflight;
mod questions;
mod removal;
mod rest;
mod search;
mod sentences;
mod serving;
mod status;
mod token;
mod types;

pub use lifecycle::Lifecycle;
pub use types::*;

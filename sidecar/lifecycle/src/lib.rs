//! The sidecar's behaviour: events in, commands out.
//!
//! The machine has no clock, no IO and no randomness: the driver passes [`Time`] and a jitter seed in, performs each
//! [`Command`] and reports what happened as an [`Event`]. Secrets never come here: a token is known by its [`TokenId`].
//!
//! **Invariant:** every deadline that the machine waits for is in [`Lifecycle::poll_timeout`]. **Invariant:** the machine
//! works for every order of events, the impossible ones included.

mod answers;
mod backoff;
mod due;
mod file;
mod lifecycle;
mod ownership;
mod preflight;
mod questions;
mod removal;
mod search;
mod sentences;
mod serving;
mod status;
mod token;
mod types;

pub use lifecycle::Lifecycle;
pub use types::*;

//! `ado-agent keep` and `ado-agent sweep` as processes, between the double of the API server and the emulators: what they remember,
//! what they remove, and what they leave alone when everything around them fails.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is wrong, in its helpers, too"
)]

#[path = "keep/observed.rs"]
mod observed;
#[path = "keep/once.rs"]
mod once;
#[path = "keep/placeholder.rs"]
mod placeholder;
#[path = "keep/stage.rs"]
mod stage;
#[path = "keep/sweep.rs"]
mod sweep;
#[path = "keep/troubles.rs"]
mod troubles;

//! The demo: one agent from `kubectl apply` to removed, told as a timeline. Only Azure, the API server and the kubelet are
//! imitated.

mod narrator;
mod stories;
mod teller;

pub mod script;
pub mod stage;

pub use narrator::Narrator;
pub use stories::Story;
pub use teller::{Format, Teller};

/// Programs that the agent containers need on this machine, with the packages that bring them.
pub const TOOLS: [(&str, &str); 4] = [("bash", "bash"), ("curl", "curl"), ("jq", "jq"), ("tar", "tar")];

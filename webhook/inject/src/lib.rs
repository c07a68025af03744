//! The webhook's decision and its patch: what happens to a pod, as functions on values.
//!
//! [`inspect`] says which ServiceAccount has to be looked up, if any; [`Pending::decide`] decides and writes the patch.
//! [`review`] is what the API server posts and what it expects back.
//! `testdata/` shows by example what the webhook does to a pod; `docs/what-the-webhook-does.md` says it on one page.
//!
//! **Invariant:** no clock, no IO, no randomness; the same input gives the same bytes. **Invariant:** the patch is made
//! against the raw object, so fields that our Kubernetes types do not know survive. **Invariant:** no input panics.

mod advice;
mod agent;
mod azwi;
mod candidate;
mod decision;
mod denial;
mod eligibility;
mod environment;
mod grace;
mod handoff;
mod identity;
mod injected;
mod isolation;
mod json;
mod kubernetes;
mod limits;
mod node;
mod organization;
mod overrides;
mod patch;
mod plan;
mod pod;
mod pre_stop;
mod proxies;
mod recipes;
pub mod review;
mod settings;
mod sidecar;
mod status;
mod text;
mod unknown_keys;
mod url;
mod values;
mod variable;

pub use decision::{Decision, Injection, Inspection, Pending, Request, ServiceAccount, decide, inspect};
pub use denial::Denial;
pub use settings::{FederatedToken, LogLevel, Settings};
pub use url::organization_url;
pub use values::{Quantity, is_guid, is_image, is_image_pattern, is_tenant, quantity};

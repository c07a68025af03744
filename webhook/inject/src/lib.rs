//! The webhook's decision and its patch: what happens to a pod, as functions on values.
//!
//! [`inspect`] says which ServiceAccount has to be looked up, if any; [`Pending::decide`] decides and writes the patch.
//! [`review`] is what the API server posts and what it expects back.
//! `testdata/` shows by example what the webhook does to a pod; `docs/what-the-webhook-does.md` says it on one page.
//!
//! ```
//! use inject::{ClusterFacts, Context, Decision, Inspection, Request, ServiceAccount, Settings};
//! use serde_json::json;
//!
//! // Settings by name, as an operator types them. Only the image has no default.
//! let settings = Settings::read(|name| match name {
//!     "sidecar-image" => Some("registry.example/ado-agent-sidecar:0.1.0".to_owned()),
//!     "pool" => Some("kubernetes".to_owned()),
//!     _ => None,
//! })
//! .expect("they are right");
//! let cluster = ClusterFacts {
//!     id: "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
//!     native_sidecars: true,
//! };
//! let pod = json!({
//!     "metadata": { "labels": { "ado-agent.dev/inject": "true" } },
//!     "spec": {
//!         "serviceAccountName": "agents",
//!         "containers": [{
//!             "name": "agent",
//!             "env": [{ "name": "AZP_URL", "value": "https://dev.azure.com/contoso" }],
//!         }],
//!     },
//! });
//!
//! let context = Context { settings: &settings, cluster: &cluster };
//! let decision = match inject::inspect(&pod, &Request::create_pod("team"), context) {
//!     Inspection::Decided(decision) => decision,
//!     Inspection::NeedsAccount(pending) => {
//!         assert_eq!(pending.account(), "agents");
//!         pending.decide(&ServiceAccount::Found {
//!             client_id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
//!             tenant_id: None,
//!         })
//!     }
//! };
//! let Decision::Inject(injection) = decision else { panic!("{decision:?}") };
//! let patch: serde_json::Value = serde_json::from_slice(&injection.patch).expect("a JSON Patch");
//! assert_eq!(patch[0]["path"], "/metadata/annotations");
//! ```
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
mod env_var;
mod environment;
mod forms;
mod gateway;
mod grace;
mod handoff;
mod identity;
mod injected;
mod isolation;
mod json;
mod kubernetes;
mod limits;
mod node;
mod origin;
mod overrides;
mod patch;
mod plan;
mod pod;
mod pre_stop;
mod proxy;
mod recipes;
mod registration;
pub mod review;
mod settings;
mod sidecar;
pub mod status;
mod text;
mod unknown_keys;
mod values;

pub use decision::{Decision, Injection, Inspection, Pending, Request, ServiceAccount, decide, inspect};
pub use denial::Denial;
pub use settings::{
    ClusterFacts, Context, FederatedToken, LogLevel, Problem, RunAsUser, SETTINGS, Setting, Settings, VARIABLE_PREFIX,
    variable,
};

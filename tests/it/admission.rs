//! The webhook as the API server meets it: reviews over TLS, bad requests, certificates that change, load, its end. The shapes
//! of pods are the goldens of `inject`.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is wrong, in its helpers, too"
)]

#[path = "admission/accounts.rs"]
mod accounts;
#[path = "admission/attacks.rs"]
mod attacks;
#[path = "admission/bad_requests.rs"]
mod bad_requests;
#[path = "admission/certificates.rs"]
mod certificates;
#[path = "admission/cluster.rs"]
mod cluster;
#[path = "admission/configuration.rs"]
mod configuration;
#[path = "admission/connections.rs"]
mod connections;
#[path = "admission/ending.rs"]
mod ending;
#[path = "admission/http.rs"]
mod http;
#[path = "admission/pods.rs"]
mod pods;
#[path = "admission/wire.rs"]
mod wire;
#[path = "admission/world.rs"]
mod world;

//! A real single-node Kubernetes on this machine: plain processes in namespaces of their own, without a container engine, a
//! registry or a route out. Only Azure is imitated.
//!
//! [`components`] are built from their published Go modules; [`up`] starts them and installs cert-manager; [`down`] leaves
//! nothing behind. For people there is `cargo run --bin cluster`, and docs/cluster.md.

pub mod agent_image;
mod api;
pub mod azure;
pub mod azwi;
mod build;
mod cert_manager;
mod cgroup;
pub mod command;
pub mod components;
mod control_plane;
mod debian;
mod dns;
pub mod keda;
mod kernel;
pub mod kind;
mod layout;
mod namespace;
mod node;
mod packages;
mod pki;
mod process;
mod product;
mod runtime;
pub mod seeds;
mod service;
mod state;
mod teardown;

pub use api::Api;
pub use control_plane::issuer;
pub use layout::Layout;
pub use node::{Ground, Node, Options, up};
pub use packages::MissingPackages;
pub use product::archive;
pub use service::Program;
pub use teardown::down;

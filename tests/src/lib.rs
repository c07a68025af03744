//! The world that the project is tested in: emulators of Entra and Azure DevOps, doubles of the API server and the
//! kubelet. Everything that is imitated is imitated here.

pub mod ado;
pub mod agent_package;
pub mod apiserver;
pub mod assumptions;
pub mod bench;
pub mod clock;
pub mod cluster;
pub mod cluster_issuer;
pub mod demo;
pub mod entra;
pub mod faults;
pub mod guid;
pub mod http;
pub mod jwt;
pub mod kubelet;
pub mod kustomize;
pub mod lone_sidecar;
pub mod programs;
pub mod recording;
pub mod reference;
pub mod stub_agent;
pub mod tls;
pub mod token_proxy;
pub mod world;

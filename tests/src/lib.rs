//! The world that the project is tested in: emulators of Entra and Azure DevOps, doubles of the API server and the
//! kubelet. Everything that is imitated is imitated here.

pub mod apiserver;
pub mod bench;
pub mod cluster;
pub mod kustomize;
pub mod programs;
pub mod reference;
pub mod stub_agent;
pub mod clock;
pub mod tls;
pub mod jwt;
pub mod http;
pub mod faults;
pub mod recording;
pub mod cluster_issuer;
pub mod entra;
pub mod guid;
pub mod demo;
pub mod kubelet;
pub mod ado;
pub mod world;
pub mod assumptions;

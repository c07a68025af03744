//! What the project is tested with, besides the emulators of Azure and the stub of the agent: doubles of the API server and
//! the kubelet, the demo, the benchmarks.

pub mod agent_package;
pub mod apiserver;
pub mod bench;
pub mod cgroup;
pub mod chart;
pub mod demo;
pub mod helm;
pub mod images;
pub mod kubelet;
pub mod kustomize;
pub mod lone_sidecar;
pub mod monitoring;
pub mod pages;
pub mod programs;
pub mod provisioning;
pub mod reference;
pub mod tokens;

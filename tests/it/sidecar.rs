//! The real sidecar, as a process, against the emulators over TLS: files, signals, exit codes, probe.

#[path = "sidecar/ado.rs"]
mod ado;
#[path = "sidecar/deregistration.rs"]
mod deregistration;
#[path = "sidecar/entra.rs"]
mod entra;
#[path = "sidecar/floods.rs"]
mod floods;
#[path = "sidecar/hosts.rs"]
mod hosts;
#[path = "sidecar/network.rs"]
mod network;
#[path = "sidecar/pod.rs"]
mod pod;
#[path = "sidecar/pre_stop_script.rs"]
mod pre_stop_script;
#[path = "sidecar/restart.rs"]
mod restart;
#[path = "sidecar/scarcity.rs"]
mod scarcity;
#[path = "sidecar/second_program.rs"]
mod second_program;
#[path = "sidecar/secrets.rs"]
mod secrets;
#[path = "sidecar/story.rs"]
mod story;
#[path = "sidecar/token_file.rs"]
mod token_file;

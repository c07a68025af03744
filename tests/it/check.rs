//! `ado-agent check`, as a process, against a cluster and an Azure that are broken in many ways, each of them in one: the API
//! server is the double, the webhook the real program, Entra and Azure DevOps the emulators.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is wrong, in its helpers, too"
)]

#[path = "check/broken.rs"]
mod broken;
#[path = "check/broken_azure.rs"]
mod broken_azure;
#[path = "check/command.rs"]
mod command;
#[path = "check/world.rs"]
mod world;

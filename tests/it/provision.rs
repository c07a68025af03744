//! `ado-agent provision` and `deprovision`, as processes, against the emulators over TLS and a stub of `az`.

#[path = "provision/making.rs"]
mod making;
#[path = "provision/refusals.rs"]
mod refusals;
#[path = "provision/removing.rs"]
mod removing;
#[path = "provision/waiting.rs"]
mod waiting;

//! The world that the project is tested in: emulators of Entra and Azure DevOps, doubles of the API server and the
//! kubelet. Everything that is imitated is imitated here.

pub mod programs;

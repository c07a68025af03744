//! Emulators of Microsoft Entra ID and Azure DevOps over real TLS sockets, with the token issuer of an imaginary cluster: the
//! requests, responses and errors that are documented or were observed, and faults on demand.
//!
//! Whatever no source proves is listed in [`assumptions`].

pub mod ado;
pub mod assumptions;
pub mod clock;
pub mod cluster_issuer;
pub mod entra;
pub mod faults;
pub mod guid;
pub mod http;
pub mod jwt;
pub mod recording;
pub mod tls;
pub mod token_proxy;
pub mod world;

//! Where an emulator listens and under which names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where an emulator listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address; port 0 is any free port.
    pub address: SocketAddr,
    /// Names or IP addresses for the certificate, beside the loopback's, the address itself and the service's own.
    pub names: Vec<String>,
}

impl Default for Listen {
    /// Any free port of the loopback.
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            names: Vec::new(),
        }
    }
}

impl Listen {
    /// All names that the certificate has to have.
    pub(crate) fn names(&self, service: &[&str]) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), IpAddr::from(Ipv4Addr::LOCALHOST).to_string()];
        if !self.address.ip().is_unspecified() {
            names.push(self.address.ip().to_string());
        }
        names.extend(service.iter().map(|name| (*name).to_owned()));
        names.extend(self.names.iter().cloned());
        names.sort();
        names.dedup();
        names
    }
}

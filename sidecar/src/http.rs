//! The HTTPS client that Entra and Azure DevOps share: whom it trusts, which proxy it uses, what it never does.
//!
//! **Invariant:** https only, no redirects, no environment, no body is held as a whole. A connection that was opened stays open
//! until the server closes it, because the removal of the agent has no time for a handshake.

mod answer;
mod sieve;

pub(crate) use answer::{Answer, Wanted, excerpt, send};
pub(crate) use sieve::Keep;

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Certificates to trust beside the public roots.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    bundle: Vec<CertificateDer<'static>>,
    file: Option<PathBuf>,
}

impl Trust {
    /// The operator's bundle as PEM, and a file that is read again when it changes.
    ///
    /// # Errors
    /// The bundle is no PEM or holds no certificate.
    pub fn new(pem: Option<String>, file: Option<PathBuf>) -> Result<Self, String> {
        let bundle = pem.map_or(Ok(Vec::new()), |pem| certificates(pem.as_bytes()))?;
        Ok(Self { bundle, file })
    }
}

/// Proxies to use. `Debug` shows no credentials.
#[derive(Clone, Default)]
pub struct Proxies(Option<Proxy>);

impl Proxies {
    /// The proxy for https and the hosts that are reached without it, both as in `HTTPS_PROXY` and `NO_PROXY`.
    ///
    /// # Errors
    /// The proxy is no URL; the message does not repeat it.
    pub fn new(https: Option<String>, except: Option<String>) -> Result<Self, &'static str> {
        let Some(https) = https else { return Ok(Self(None)) };
        let proxy = Proxy::https(https).map_err(|_| "this is no URL of a proxy")?;
        let except = except.and_then(|list| NoProxy::from_string(&list));
        Ok(Self(Some(proxy.no_proxy(except))))
    }
}

// By hand: the client's own `Debug` shows the proxy's password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Proxies(one)"
        } else {
            "Proxies(none)"
        })
    }
}

/// The client, built when it is first needed and again when the CA file changes.
pub(crate) struct Http {
    trust: Trust,
    proxies: Proxies,
    built: Mutex<Option<(Vec<u8>, Client)>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl Http {
    pub(crate) fn new(trust: Trust, proxies: Proxies) -> Self {
        Self {
            trust,
            proxies,
            built: Mutex::default(),
        }
    }

    /// The client for the CA file as it is now. A file that cannot be read or understood leaves the client that there is.
    pub(crate) fn client(&self) -> Result<Client, String> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.trust.file.as_deref().map(read_bundle).transpose();
        match (&*built, file) {
            (Some((_, client)), Err(_)) => Ok(client.clone()),
            (Some((known, client)), Ok(file)) if file.as_deref().unwrap_or_default() == *known => Ok(client.clone()),
            (_, Ok(file)) => {
                let file = file.unwrap_or_default();
                let client = self.build(&file)?;
                *built = Some((file, client.clone()));
                Ok(client)
            }
            (None, Err(problem)) => Err(problem),
        }
    }

    fn build(&self, file: &[u8]) -> Result<Client, String> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let mut bundle = self.trust.bundle.clone();
        if !file.is_empty() {
            bundle.extend(certificates(file)?);
        }
        roots.add_parsable_certificates(bundle);
        let mut builder = builder(roots)?;
        if let Some(proxy) = &self.proxies.0 {
            builder = builder.proxy(proxy.clone());
        }
        builder.build().map_err(|error| answer::chain(&error))
    }
}

/// A client without any proxy that trusts `roots` only.
pub(crate) fn builder(roots: RootCertStore) -> Result<ClientBuilder, String> {
    let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .http1_only()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE)
        // No time limit: a timer that looks for idle connections would wake us between deadlines.
        .pool_idle_timeout(None)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("ado-agent-sidecar/", env!("CARGO_PKG_VERSION"))))
}

/// Certificates of a PEM bundle, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("the CA bundle holds no certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("the CA bundle is no PEM: {error}")),
    }
}

/// The CA file's content, if it is a bundle.
fn read_bundle(path: &Path) -> Result<Vec<u8>, String> {
    let content = std::fs::read(path).map_err(|error| format!("CA bundle {}: {error}", path.display()))?;
    certificates(&content).map_err(|problem| format!("{}: {problem}", path.display()))?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_credentials_are_not_shown() {
        let proxies =
            Proxies::new(Some("http://user:hunter2@proxy.corp:3128".into()), Some("a,b".into())).expect("a proxy");
        let http = Http::new(Trust::default(), proxies);
        http.client().expect("a client");
        assert!(!format!("{http:?}").contains("hunter2"), "{http:?}");
        let problem = Proxies::new(Some("http://user:hunter2@[/".into()), None).expect_err("no URL");
        assert!(!problem.contains("hunter2"));
    }

    #[test]
    fn a_ca_file_is_read_again_and_a_broken_one_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ca.crt");
        let trust = Trust::new(None, Some(file.clone())).expect("nothing to parse");
        let http = Http::new(trust, Proxies::default());
        assert!(http.client().expect_err("no file").contains("ca.crt"));
        let bundle = concat!(
            "-----BEGIN CERTIFICATE-----\n",
            "MIIBEzCBu6ADAgECAhRs\n",
            "-----END CERTIFICATE-----\n"
        );
        std::fs::write(&file, bundle).expect("written");
        http.client()
            .expect("PEM of something is a bundle; what is no certificate in it is left out");
        std::fs::write(&file, "half a bun").expect("written");
        http.client().expect("the old client");
        assert_eq!(
            http.built.lock().expect("unpoisoned").as_ref().expect("built").0,
            bundle.as_bytes()
        );
    }
}

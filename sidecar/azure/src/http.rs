//! The HTTPS client that Entra and Azure DevOps share: which certificates it trusts, which proxy it uses, what it never does.
//!
//! **Invariant:** https only, no redirects, no environment, no body is held as a whole. A connection that was opened stays open
//! until the server closes it, because the removal of an agent has no time for a handshake.

mod error;

pub use error::{HttpError, ProxyError, TrustError};

use azure_protocol::Flow;
use reqwest::header::ACCEPT_ENCODING;
use reqwest::{Client, ClientBuilder, NoProxy, Proxy, RequestBuilder, Response, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Longest CA bundle that is read, in bytes.
const BUNDLE_LIMIT: u64 = 1024 * 1024;

/// Certificates to trust in addition to the public roots.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    bundle: Vec<CertificateDer<'static>>,
    file: Option<PathBuf>,
}

impl Trust {
    /// The operator's bundle as PEM, and a file that is read again when it changes.
    ///
    /// # Errors
    /// The bundle is not PEM, or holds no certificate that can be read.
    pub fn new(pem: Option<String>, file: Option<PathBuf>) -> Result<Self, TrustError> {
        let mut bundle = Vec::new();
        if let Some(pem) = pem {
            bundle = certificates(pem.as_bytes())?;
            add(&mut RootCertStore::empty(), &bundle)?;
        }
        Ok(Self { bundle, file })
    }
}

/// Proxies to use. `Debug` shows no credentials.
#[derive(Clone, Default)]
pub struct Proxies(Option<Proxy>);

impl Proxies {
    /// The proxy for https, user and password for it, and the hosts that are reached without it; URL and hosts as in
    /// `HTTPS_PROXY` and `NO_PROXY`.
    ///
    /// # Errors
    /// The proxy is not a URL; the message does not repeat it.
    pub fn new(
        https: Option<String>,
        credentials: Option<(String, String)>,
        except: Option<String>,
    ) -> Result<Self, ProxyError> {
        let Some(https) = https else { return Ok(Self(None)) };
        let mut proxy = Proxy::https(https).map_err(|_| ProxyError)?;
        if let Some((user, password)) = credentials {
            proxy = proxy.basic_auth(&user, &password);
        }
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
pub struct Http {
    trust: Trust,
    proxies: Proxies,
    user_agent: &'static str,
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
    /// A client that names itself `user_agent`. Nothing is read or sent before the first request.
    pub fn new(trust: Trust, proxies: Proxies, user_agent: &'static str) -> Self {
        Self {
            trust,
            proxies,
            user_agent,
            built: Mutex::default(),
        }
    }

    /// The client for the CA file as it is now. A file that cannot be read or understood leaves the client that there is.
    pub(crate) fn client(&self) -> Result<Client, HttpError> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self
            .trust
            .file
            .as_deref()
            .map_or(Ok(Vec::new()), read_bundle)
            .map_err(HttpError::from);
        if let (Ok(file), Some((known, client))) = (&file, &*built)
            && file == known
        {
            return Ok(client.clone());
        }
        let new = file.and_then(|file| Ok((self.build(&file)?, file)));
        match (new, &*built) {
            (Ok((client, file)), _) => {
                *built = Some((file, client.clone()));
                Ok(client)
            }
            (Err(problem), Some((_, client))) => {
                warn!(%problem, "the certificates that were trusted before stay in use");
                Ok(client.clone())
            }
            (Err(problem), None) => Err(problem),
        }
    }

    fn build(&self, file: &[u8]) -> Result<Client, HttpError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if !self.trust.bundle.is_empty() {
            add(&mut roots, &self.trust.bundle)?;
        }
        if let Some(path) = &self.trust.file {
            let named = |problem| TrustError::In {
                path: path.clone(),
                problem: Box::new(problem),
            };
            add(&mut roots, &certificates(file).map_err(named)?).map_err(named)?;
        }
        let mut builder = self.builder(roots)?;
        if let Some(proxy) = &self.proxies.0 {
            builder = builder.proxy(proxy.clone());
        }
        Ok(builder.build()?)
    }

    /// A client without any proxy that trusts `roots` only.
    pub(crate) fn builder(&self, roots: RootCertStore) -> Result<ClientBuilder, HttpError> {
        let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
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
        .user_agent(self.user_agent))
    }
}

/// Sends a request; gives the response as soon as its head is there. The request's timeout covers the body, too.
pub(crate) async fn send(request: RequestBuilder) -> Result<Response, HttpError> {
    // Without this header any encoding would be acceptable (RFC 9110, 12.5.3), and none of them is understood.
    Ok(request.header(ACCEPT_ENCODING, "identity").send().await?)
}

/// Gives the body piece by piece to `push`, until that has read enough.
pub(crate) async fn read(response: &mut Response, mut push: impl FnMut(&[u8]) -> Flow) -> Result<(), HttpError> {
    while let Some(piece) = response.chunk().await? {
        let flow = push(&piece);
        // A long response comes faster than it is read: others must not wait for its end.
        tokio::task::yield_now().await;
        if flow == Flow::Enough {
            break;
        }
    }
    Ok(())
}

/// Certificates of a PEM bundle, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) if pem.trim_ascii().is_empty() => Err(TrustError::Empty),
        Ok(_) => Err(TrustError::NoCertificate),
        Err(error) => Err(TrustError::NotPem(error)),
    }
}

/// Adds these certificates. Of a bundle with some that cannot be read the others are trusted, as other clients do.
pub(crate) fn add(roots: &mut RootCertStore, certificates: &[CertificateDer<'static>]) -> Result<(), TrustError> {
    let (added, ignored) = roots.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        return Err(TrustError::Unreadable(ignored));
    }
    if ignored > 0 {
        warn!(
            "{ignored} of {} certificates of a CA bundle cannot be read and are not trusted",
            added + ignored
        );
    }
    Ok(())
}

/// A CA bundle's file. A ConfigMap holds at most 1 MiB.
pub(crate) fn read_bundle(path: &Path) -> Result<Vec<u8>, TrustError> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BUNDLE_LIMIT + 1).read_to_end(&mut content));
    read.map_err(|source| TrustError::File {
        path: path.to_owned(),
        source,
    })?;
    if content.len() as u64 > BUNDLE_LIMIT {
        return Err(TrustError::TooLarge { path: path.to_owned() });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_credentials_are_not_shown() {
        let proxies = Proxies::new(
            Some("http://user:hunter2@proxy.corp:3128".into()),
            None,
            Some("a,b".into()),
        )
        .expect("a proxy");
        let http = Http::new(Trust::default(), proxies, "test");
        http.client().expect("a client");
        assert!(!format!("{http:?}").contains("hunter2"), "{http:?}");
        let problem = Proxies::new(Some("http://user:hunter2@[/".into()), None, None).expect_err("no URL");
        assert!(!format!("{problem} {problem:?}").contains("hunter2"));
        let credentials = Some(("user".into(), "hunter2".into()));
        let proxies = Proxies::new(Some("http://proxy.corp:3128".into()), credentials, None).expect("a proxy");
        assert!(!format!("{proxies:?}").contains("hunter2"), "{proxies:?}");
    }

    #[test]
    fn a_ca_file_is_read_again_and_a_broken_one_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ca.crt");
        let trust = Trust::new(None, Some(file.clone())).expect("nothing to parse");
        let http = Http::new(trust, Proxies::default(), "test");
        assert!(http.client().expect_err("no file").to_string().contains("ca.crt"));
        let bundle = certificate();
        std::fs::write(&file, &bundle).expect("written");
        http.client().expect("a bundle");
        std::fs::write(&file, "half a bun").expect("written");
        http.client().expect("the old client");
        assert_eq!(
            http.built.lock().expect("unpoisoned").as_ref().expect("built").0,
            bundle.as_bytes()
        );
    }

    fn certificate() -> String {
        let certified = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate");
        certified.cert.pem()
    }

    /// PEM without a certificate in it.
    fn broken() -> &'static str {
        "-----BEGIN CERTIFICATE-----\nMIIBEzCBu6ADAgECAhRs\n-----END CERTIFICATE-----\n"
    }

    #[test]
    fn what_is_no_bundle_is_named() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIIBEzCBu6ADAgECAhRs\n-----END PRIVATE KEY-----\n";
        let huge = "#".repeat((1 << 20) + 1);
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ca.crt");
        for (content, named) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("\u{0}\u{1}\u{fffd}", "holds no certificate"),
            (key, "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nMIIBEz", "is not PEM"),
            (
                "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
                "is not PEM",
            ),
            (broken(), "none of the 1 certificates"),
            (&huge, "larger than 1 MiB"),
        ] {
            std::fs::write(&file, content).expect("written");
            let trust = Trust::new(None, Some(file.clone())).expect("read later");
            let problem = Http::new(trust, Proxies::default(), "test")
                .client()
                .expect_err(named)
                .to_string();
            assert!(problem.contains(named) && problem.contains("ca.crt"), "{problem}");
            if content.len() < 1000 {
                let problem = Trust::new(Some(content.to_owned()), None).expect_err(named).to_string();
                assert!(problem.contains(named), "{problem}");
            }
        }
        std::fs::write(&file, certificate() + broken()).expect("written");
        let trust = Trust::new(None, Some(file)).expect("read later");
        Http::new(trust, Proxies::default(), "test")
            .client()
            .expect("the one that can be read is trusted");
    }
}

//! The HTTPS client that Entra and Azure DevOps share: which certificates it trusts, which proxy it uses, what it never does.
//!
//! **Invariant:** https only, no redirects, no environment, no body is held as a whole. A connection that was opened stays open
//! until the server closes it, because the removal of an agent has no time for a handshake.

mod error;
mod proxies;
#[cfg(test)]
mod tests;
mod trust;

pub use error::{HttpError, ProxyError, TrustError};
pub use proxies::Proxies;
pub use trust::Trust;
pub(crate) use trust::{add, certificates, read_bundle};

use azure_protocol::Flow;
use http::{HeaderValue, Uri};
use reqwest::header::ACCEPT_ENCODING;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, redirect};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The client, built when it is first needed and again when the CA file changes.
pub struct Http {
    trust: Trust,
    proxies: Proxies,
    user_agent: &'static str,
    built: Built<Client>,
    tls: Built<Arc<ClientConfig>>,
}

/// What was built of the certificates, with the content of the CA file.
type Built<T> = Mutex<Option<(Vec<u8>, T)>>;

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
            tls: Mutex::default(),
        }
    }

    /// The client for the CA file as it is now.
    pub(crate) fn client(&self) -> Result<Client, HttpError> {
        self.current(&self.built, |file| self.build(file))
    }

    /// The same certificates, for a client of another kind.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, HttpError> {
        self.current(&self.tls, |file| {
            // The one protocol that is spoken is named by whoever connects.
            Ok(Arc::new(tls_config(self.trust.roots(file)?)?))
        })
    }

    /// The proxy through which an address is reached, and the credential for it.
    pub(crate) fn proxy_for(&self, to: &Uri) -> Option<(Uri, Option<HeaderValue>)> {
        let one = self.proxies.one()?;
        let intercept = one.matcher.intercept(to)?;
        let credential = one.credential.clone().or_else(|| intercept.basic_auth().cloned());
        Some((intercept.uri().clone(), credential))
    }

    /// What is built for the CA file as it is now. A file that cannot be read or understood leaves what there is.
    fn current<T: Clone>(
        &self,
        built: &Built<T>,
        build: impl FnOnce(&[u8]) -> Result<T, HttpError>,
    ) -> Result<T, HttpError> {
        let mut built = built.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.trust.file().map_err(HttpError::from);
        if let (Ok(file), Some((known, client))) = (&file, &*built)
            && file == known
        {
            return Ok(client.clone());
        }
        let new = file.and_then(|file| Ok((build(&file)?, file)));
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
        let mut builder = self.builder(self.trust.roots(file)?)?;
        if let Some(one) = self.proxies.one() {
            builder = builder.proxy(one.proxy.clone());
        }
        Ok(builder.build()?)
    }

    /// A client without any proxy that trusts `roots` only.
    pub(crate) fn builder(&self, roots: RootCertStore) -> Result<ClientBuilder, HttpError> {
        let mut tls = tls_config(roots)?;
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

fn tls_config(roots: RootCertStore) -> Result<ClientConfig, HttpError> {
    Ok(
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
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

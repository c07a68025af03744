//! AKS identity binding: the token request goes to a proxy in the cluster instead of Entra.
//!
//! As Microsoft's SDKs do it: the usual request below the proxy's URL, with its own server name and only its own CA. The
//! client is built for every exchange, about once an hour, so a rotated CA or a moved proxy takes effect by itself.

use crate::endpoint::token_endpoint;
use crate::http::{self, Http, HttpError, TrustError};
use contract::{HttpsUrl, HttpsUrlError, redacted};
use reqwest::header::HOST;
use reqwest::{RequestBuilder, Url};
use rustls::RootCertStore;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The cluster's token proxy, as azwi describes it.
#[derive(Debug, Clone)]
pub struct Binding {
    url: Url,
    server_name: Option<String>,
    ca_file: Option<PathBuf>,
    ca_data: Option<String>,
}

/// Why a value is not that of a token proxy. The message begins with the value, without what may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// Its URL.
    #[error("{value:?}: {problem}")]
    Url {
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: HttpsUrlError,
    },
    /// Its server name.
    #[error("{0:?}: expected a host name")]
    ServerName(String),
}

impl Binding {
    /// The proxy at this URL, with the server name that its certificate has, if that is not the URL's host, and the CA that
    /// issued it: a file, or its content. Without either, the public roots are trusted.
    ///
    /// # Errors
    /// The URL is not an https URL, or the server name is not a host name.
    pub fn new(
        url: &str,
        server_name: Option<String>,
        ca_file: Option<PathBuf>,
        ca_data: Option<String>,
    ) -> Result<Self, BindingError> {
        let wrong = |problem| BindingError::Url {
            value: redacted(url),
            problem,
        };
        HttpsUrl::parse(url).map_err(wrong)?;
        let url = Url::parse(url).map_err(|_| wrong(HttpsUrlError::BadHost))?;
        if let Some(name) = &server_name
            && (name.starts_with('*') || !contract::is_host_entry(name))
        {
            return Err(BindingError::ServerName(redacted(name)));
        }
        Ok(Self {
            url,
            server_name,
            ca_file,
            ca_data,
        })
    }

    /// The request to the proxy, without its form.
    pub(super) async fn post(&self, tenant: &str, http: &Http) -> Result<RequestBuilder, HttpError> {
        let builder = http.builder(self.roots()?)?;
        let Some(server_name) = &self.server_name else {
            let client = builder.build()?;
            return Ok(client.post(token_endpoint(&self.url, tenant)));
        };
        // The client can be told no server name of its own, so the URL names it and the name is resolved to the proxy.
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.trim_matches(['[', ']']), port))
            .await
            .map_err(|source| HttpError::Resolve {
                host: host.to_owned(),
                source,
            })?
            .collect();
        let client = builder.resolve_to_addrs(server_name, &addresses).build()?;
        let mut url = self.url.clone();
        url.set_host(Some(server_name))
            .map_err(|_| HttpError::ServerName(server_name.clone()))?;
        let authority = match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(client.post(token_endpoint(&url, tenant)).header(HOST, authority))
    }

    /// The file if it is there, else the data: azwi sets the file's name even where it only brings data.
    fn roots(&self) -> Result<RootCertStore, TrustError> {
        let file = self.ca_file.as_deref().filter(|file| file.exists());
        let pem = match (file, &self.ca_data) {
            (Some(file), _) => http::read_bundle(file)?,
            (None, Some(data)) => data.clone().into_bytes(),
            (None, None) => {
                return Ok(RootCertStore {
                    roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
                });
            }
        };
        let mut roots = RootCertStore::empty();
        http::add(&mut roots, &http::certificates(&pem)?)?;
        Ok(roots)
    }
}

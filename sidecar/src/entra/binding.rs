//! AKS identity binding: the token request goes to a proxy in the cluster instead of Entra.
//!
//! As Microsoft's SDKs do it: the usual request below the proxy's URL, with its own server name and only its own CA. The
//! client is built for every exchange, about once an hour, so a rotated CA and a moved proxy need no further thought.

use super::http;
use crate::config::Names;
use crate::url::token_endpoint;
use contract::HttpsUrl;
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

impl Binding {
    /// Reads azwi's variables; `None` where there is no proxy, or a wrong one that has been reported.
    pub(crate) fn read(names: &mut Names<'_>) -> Option<Self> {
        let name = contract::AZURE_TOKEN_PROXY_VARIABLE;
        let value = names.optional(name)?;
        let url = match HttpsUrl::parse(&value).map(|_| Url::parse(&value)) {
            Ok(Ok(url)) => url,
            Ok(Err(_)) => {
                names.refuse(format!("{name} is no URL"));
                return None;
            }
            Err(problem) => {
                names.refuse(format!("{name} is \"{}\": {problem}", contract::redacted(&value)));
                return None;
            }
        };
        let sni = contract::AZURE_SNI_NAME_VARIABLE;
        let server_name = names.optional(sni);
        if let Some(server_name) = &server_name
            && (server_name.starts_with('*') || !contract::is_host_entry(server_name))
        {
            names.wrong(sni, &contract::redacted(server_name), "expected a host name");
        }
        Some(Self {
            url,
            server_name,
            ca_file: names.optional(contract::AZURE_CA_FILE_VARIABLE).map(PathBuf::from),
            ca_data: names.optional(contract::AZURE_CA_DATA_VARIABLE),
        })
    }

    /// The request to the proxy, without its form.
    pub(super) async fn post(&self, tenant: &str) -> Result<RequestBuilder, String> {
        let builder = http::builder(self.roots()?)?;
        let Some(server_name) = &self.server_name else {
            let client = builder.build().map_err(|error| error.to_string())?;
            return Ok(client.post(token_endpoint(&self.url, tenant)));
        };
        // The client can be told no server name of its own, so the URL names it and the name is resolved to the proxy.
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.trim_matches(['[', ']']), port))
            .await
            .map_err(|error| format!("{host}: {error}"))?
            .collect();
        let client = builder
            .resolve_to_addrs(server_name, &addresses)
            .build()
            .map_err(|error| error.to_string())?;
        let mut url = self.url.clone();
        url.set_host(Some(server_name)).map_err(|error| error.to_string())?;
        let authority = match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(client.post(token_endpoint(&url, tenant)).header(HOST, authority))
    }

    /// The file if it is there, else the data: azwi sets the file's name even where it only brings data.
    fn roots(&self) -> Result<RootCertStore, String> {
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

//! The proxy that is used, and what is reached without it.

use super::ProxyError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{NoProxy, Proxy};
use std::fmt;
use std::sync::Arc;

/// Proxies to use. `Debug` shows no credentials.
#[derive(Clone, Default)]
pub struct Proxies(Option<OneProxy>);

/// The proxy in the two forms in which the two clients take it.
#[derive(Clone)]
pub(super) struct OneProxy {
    pub(super) proxy: Proxy,
    pub(super) matcher: Arc<Matcher>,
    /// `Proxy-Authorization`, where the credentials do not stand in the URL.
    pub(super) credential: Option<HeaderValue>,
}

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
        let list = except.unwrap_or_default();
        let matcher = Matcher::builder().https(https.clone()).no(list.clone()).build();
        let mut proxy = Proxy::https(https).map_err(|_| ProxyError)?;
        let mut credential = None;
        if let Some((user, password)) = credentials {
            proxy = proxy.basic_auth(&user, &password);
            let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
            credential = HeaderValue::try_from(format!("Basic {encoded}")).ok();
        }
        Ok(Self(Some(OneProxy {
            proxy: proxy.no_proxy(NoProxy::from_string(&list)),
            matcher: Arc::new(matcher),
            credential,
        })))
    }

    pub(super) fn one(&self) -> Option<&OneProxy> {
        self.0.as_ref()
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

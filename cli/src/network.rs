//! How this program reaches servers on the internet: which certificates it trusts, and through which proxy it goes.

use azure::{Http, Proxies, Trust};
use std::path::PathBuf;
use std::sync::Arc;

/// How we name ourselves to servers.
const USER_AGENT: &str = concat!("ado-agent/", env!("CARGO_PKG_VERSION"));

/// Certificates and proxy of this machine.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Network {
    /// Certificates to trust besides the public ones, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

impl Network {
    /// An HTTP client that trusts what the person trusts and, as `HTTPS_PROXY` and `NO_PROXY` say, goes through a proxy.
    ///
    /// # Errors
    /// The certificates or the proxy cannot be used.
    pub fn http(&self) -> anyhow::Result<Arc<Http>> {
        self.http_with(None)
    }

    /// The same, trusting a further bundle (PEM), such as the private CA of the webhook's operator.
    ///
    /// # Errors
    /// As for [`Self::http`].
    pub fn http_with(&self, bundle: Option<String>) -> anyhow::Result<Arc<Http>> {
        let variable = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| std::env::var(name).ok())
                .find(|value| !value.is_empty())
        };
        let proxies = Proxies::new(
            variable(&["https_proxy", "HTTPS_PROXY"]),
            None,
            variable(contract::NO_PROXY_VARIABLES),
        )?;
        let trust = Trust::new(bundle, self.ca_file.clone())?;
        Ok(Arc::new(Http::new(trust, proxies, USER_AGENT)))
    }
}

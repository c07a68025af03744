//! What can go wrong between us and a server.

use contract::error_chain;
use rustls::pki_types::pem;
use std::io;
use std::path::PathBuf;

/// No response, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The certificates to trust cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The TLS client cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client cannot be built, or the request failed. The message has the whole chain of causes, without the URL.
    #[error("{}", error_chain(.0))]
    Request(reqwest::Error),
    /// A connection could not be made. The message has the whole chain of causes.
    #[error("{}", error_chain(.0.as_ref()))]
    Connect(Box<dyn std::error::Error + Send + Sync>),
    /// No connection in time.
    #[error("no connection within five seconds")]
    ConnectTimeout,
    /// A request that was sent on got no answer. The message has the whole chain of causes.
    #[error("{}", error_chain(.0))]
    Forward(#[from] hyper_util::client::legacy::Error),
    /// A path that cannot be sent.
    #[error("a path that cannot be sent")]
    UnusableTarget,
    /// A token that cannot stand in a header; it is not repeated.
    #[error("a token that cannot stand in a header")]
    UnusableToken,
    /// The host of the token proxy has no address.
    #[error("{host}: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The server name of the token proxy cannot be part of a URL.
    #[error("{0:?}: not a host name")]
    ServerName(String),
}

impl HttpError {
    /// Whether the server cannot have seen the request: no connection came about.
    pub fn is_before_sending(&self) -> bool {
        match self {
            Self::Forward(error) => error.is_connect(),
            Self::Request(error) => error.is_connect() || error.is_builder(),
            Self::Trust(_)
            | Self::Tls(_)
            | Self::Connect(_)
            | Self::ConnectTimeout
            | Self::UnusableTarget
            | Self::UnusableToken
            | Self::Resolve { .. }
            | Self::ServerName(_) => true,
        }
    }
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }
}

/// Certificates that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nothing but white space.
    #[error("the CA bundle is empty")]
    Empty,
    /// Something else than certificates.
    #[error("the CA bundle holds no certificate; expected PEM with BEGIN CERTIFICATE")]
    NoCertificate,
    /// Broken PEM.
    #[error("the CA bundle is not PEM: {0}")]
    NotPem(pem::Error),
    /// So many certificates, and none of them is one.
    #[error("none of the {0} certificates of the CA bundle can be read")]
    Unreadable(usize),
    /// The file cannot be read.
    #[error("CA bundle {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than a ConfigMap can be.
    #[error("CA bundle {}: larger than 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The content of this file is not a bundle.
    #[error("{}: {problem}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<Self>,
    },
}

/// A proxy that is not a URL; the value is not repeated, since it may carry a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a proxy")]
pub struct ProxyError;

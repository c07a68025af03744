//! The serving certificate: read from a directory, checked, replaced while serving.
//!
//! The directory is polled and not watched: the kubelet replaces the `..data` symlink, which is no event on the files. A pair
//! that cannot be used never replaces one that can.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::metrics::Metrics;
use crate::validity;

/// The certificate chain, leaf first.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The private key of the leaf.
pub const KEY_FILE: &str = "tls.key";

/// Why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The certificates are not PEM, or there are none.
    #[error("{path} holds no PEM certificate")]
    Certificate {
        /// The file.
        path: PathBuf,
    },
    /// The key is not a PEM key.
    #[error("{path} holds no PEM private key")]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The key is of an unknown kind, or not that of the certificate.
    #[error("the key in {folder} does not match the certificate: {source}")]
    Pair {
        /// The folder.
        folder: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The certificate has no readable end.
    #[error("the certificate in {path} has no readable end of its validity")]
    Validity {
        /// The file.
        path: PathBuf,
    },
}

/// A certificate chain and its key that can be used together.
#[derive(Debug)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    not_after: i64,
}

impl Pair {
    /// Reads a pair from the text of its two files; the folder is for messages.
    ///
    /// # Errors
    /// What is wrong with either, or with both together.
    pub fn read(folder: &Path, certificate: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Self, Error> {
        let path = || folder.join(CERTIFICATE_FILE);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Certificate { path: path() })?;
        let leaf = chain.first().ok_or_else(|| Error::Certificate { path: path() })?;
        let not_after = validity::not_after(leaf).ok_or_else(|| Error::Validity { path: path() })?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Error::Key {
            path: folder.join(KEY_FILE),
        })?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| Error::Pair {
            folder: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            key: Arc::new(key),
            not_after,
        })
    }

    /// The end of the leaf's validity, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// Presents the current pair in every handshake, whatever server name the client sends.
#[derive(Clone, Default)]
pub struct Certificates(Arc<RwLock<Option<Pair>>>);

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pair.as_ref().map(|pair| Arc::clone(&pair.key))
    }
}

impl Certificates {
    /// What is wrong with the certificate at `now`, for `/readyz`; `None` if there is a valid pair.
    pub fn problem(&self, now: SystemTime) -> Option<String> {
        let pair = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match pair.as_ref() {
            None => Some("there is no usable certificate yet".to_owned()),
            Some(pair) if i64::try_from(now).is_ok_and(|now| now >= pair.not_after) => {
                Some("the serving certificate has expired".to_owned())
            }
            Some(_) => None,
        }
    }

    fn has_pair(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// rustls' server configuration: TLS 1.2 and 1.3, HTTP/1.1, no client certificates.
    ///
    /// # Errors
    /// None with ring, which knows both versions.
    pub fn server_config(&self, provider: Arc<CryptoProvider>) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Polls the directory.
pub struct Reloader {
    folder: PathBuf,
    certificates: Certificates,
    provider: Arc<CryptoProvider>,
    metrics: Arc<Metrics>,
    /// What was read last, usable or not, so that nothing is parsed or reported twice.
    last: Option<Contents>,
    expiry_reported: bool,
}

#[derive(PartialEq, Eq)]
enum Contents {
    Read { certificate: Vec<u8>, key: Vec<u8> },
    Unreadable(String),
}

impl Reloader {
    /// A reloader that has read nothing yet.
    pub fn new(folder: &Path, provider: Arc<CryptoProvider>, metrics: Arc<Metrics>) -> Self {
        Self {
            folder: folder.to_owned(),
            certificates: Certificates::default(),
            provider,
            metrics,
            last: None,
            expiry_reported: false,
        }
    }

    /// The certificates that this reloader swaps.
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Polls the directory forever.
    pub async fn run(mut self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            self.reload();
        }
    }

    /// Reads the folder once and swaps the pair if it changed and can be used.
    pub fn reload(&mut self) {
        let contents = match self.read() {
            Ok(contents) => contents,
            Err(error) => Contents::Unreadable(error.to_string()),
        };
        if self.last.as_ref() != Some(&contents) {
            match self.pair(&contents) {
                Ok(pair) => self.swap(pair),
                Err(sentence) => {
                    self.metrics.certificate_failed();
                    let consequence = if self.certificates.has_pair() {
                        "the previous one stays in use"
                    } else {
                        "not ready until there is one that can"
                    };
                    tracing::error!(problem = %sentence, "the certificate pair cannot be used; {consequence}");
                }
            }
            self.last = Some(contents);
        }
        self.report_expiry();
    }

    fn swap(&mut self, pair: Pair) {
        self.metrics.certificate_loaded(pair.not_after);
        self.expiry_reported = false;
        tracing::info!(folder = %self.folder.display(), not_after_seconds = pair.not_after, "certificate pair loaded");
        *self.certificates.0.write().unwrap_or_else(PoisonError::into_inner) = Some(pair);
    }

    fn report_expiry(&mut self) {
        if let Some(problem) = self.certificates.problem(SystemTime::now())
            && self.certificates.has_pair()
            && !self.expiry_reported
        {
            self.expiry_reported = true;
            tracing::error!(folder = %self.folder.display(), "{problem}: not ready until there is a valid one");
        }
    }

    fn read(&self) -> Result<Contents, Error> {
        // The kubelet's `..data` is resolved once, so that both files are from one update.
        let data = self.folder.join("..data");
        let folder = std::fs::canonicalize(&data).unwrap_or_else(|_| self.folder.clone());
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|source| Error::Read {
                path: self.folder.join(name),
                source,
            })
        };
        Ok(Contents::Read {
            certificate: read(CERTIFICATE_FILE)?,
            key: read(KEY_FILE)?,
        })
    }

    fn pair(&self, contents: &Contents) -> Result<Pair, String> {
        match contents {
            Contents::Unreadable(sentence) => Err(sentence.clone()),
            Contents::Read { certificate, key } => {
                Pair::read(&self.folder, certificate, key, &self.provider).map_err(|error| error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a reload logs.
    fn logged(reloader: &mut Reloader) -> String {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || reloader.reload());
        String::from_utf8(std::mem::take(&mut log.0.lock().unwrap())).unwrap()
    }

    #[test]
    fn a_previous_pair_is_mentioned_only_if_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut reloader = Reloader::new(folder.path(), provider, Arc::default());
        let missing = logged(&mut reloader);
        assert!(
            missing.contains("cannot be used; not ready until there is one"),
            "{missing}"
        );
        assert!(!missing.contains("previous"), "{missing}");
        assert_eq!(logged(&mut reloader), "", "the same is not said again");

        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(folder.path().join(CERTIFICATE_FILE), certificate.pem()).unwrap();
        std::fs::write(folder.path().join(KEY_FILE), key.serialize_pem()).unwrap();
        assert!(logged(&mut reloader).contains("certificate pair loaded"));

        std::fs::write(folder.path().join(KEY_FILE), "not a key").unwrap();
        let broken = logged(&mut reloader);
        assert!(
            broken.contains("cannot be used; the previous one stays in use"),
            "{broken}"
        );
    }
}

//! Which certificates are trusted.

use super::TrustError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tracing::warn;

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

    /// The content of the CA file as it is now.
    pub(super) fn file(&self) -> Result<Vec<u8>, TrustError> {
        self.file.as_deref().map_or(Ok(Vec::new()), read_bundle)
    }

    /// Everything that is trusted, with this content of the CA file.
    pub(super) fn roots(&self, file: &[u8]) -> Result<RootCertStore, TrustError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if !self.bundle.is_empty() {
            add(&mut roots, &self.bundle)?;
        }
        if let Some(path) = &self.file {
            let named = |problem| TrustError::In {
                path: path.clone(),
                problem: Box::new(problem),
            };
            add(&mut roots, &certificates(file).map_err(named)?).map_err(named)?;
        }
        Ok(roots)
    }
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

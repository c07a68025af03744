//! A private certificate authority for the emulators and doubles, and TLS clients that trust it and nothing else.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Makes ring the process's crypto provider. Every start function of this library calls it; calling it again does nothing.
pub fn install_provider() {
    // An error says that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A private certificate authority (ECDSA P-256) whose key never leaves the process.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate with its key, both as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate, followed by nothing: the authority is the root.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new authority, unknown to everybody.
    pub fn new() -> Self {
        install_provider();
        let key = KeyPair::generate().expect("ring generates a P-256 key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "ado-agent-injector test authority");
        let certificate = params.self_signed(&key).expect("an authority signs itself").pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// The authority's certificate as PEM: what a client has to trust.
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// Writes [`Self::pem`] to a file.
    pub fn write_pem(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &self.certificate)
    }

    /// A new serving certificate for these names or IP addresses.
    ///
    /// # Panics
    /// When a name is neither a DNS name nor an IP address.
    pub fn issue(&self, names: &[impl AsRef<str>]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
        let key = KeyPair::generate().expect("ring generates a P-256 key");
        let mut params = CertificateParams::new(names).expect("the names are DNS names or IP addresses");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the authority signs a serving certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client configuration that trusts this authority only.
    pub fn client_config(&self) -> rustls::ClientConfig {
        client_config(&[&self.certificate]).expect("the authority's own certificate is a root")
    }
}

impl Pair {
    /// A server configuration with this pair, for HTTP/1.1.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .expect("the pair's certificate is PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("the pair's key is PEM");
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("certificate and key belong together");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

/// A client configuration that trusts these PEM bundles and nothing else.
pub fn client_config(bundles: &[&str]) -> io::Result<rustls::ClientConfig> {
    install_provider();
    Ok(rustls::ClientConfig::builder()
        .with_root_certificates(roots(bundles)?)
        .with_no_client_auth())
}

/// The certificates of PEM bundles as trust anchors.
///
/// # Errors
/// A bundle is not PEM, or a certificate cannot be a trust anchor.
pub fn roots(bundles: &[&str]) -> io::Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    for bundle in bundles {
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots
                .add(certificate.map_err(io::Error::other)?)
                .map_err(io::Error::other)?;
        }
    }
    Ok(roots)
}

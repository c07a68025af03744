//! Which certificates a pod of the webhook serves: a TLS handshake through the API server's port forwarding.

use super::super::looked::Looked;
use super::PATIENCE;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsConnector;

/// Port of the webhook where its pod does not name it.
const PORT: u16 = 10250;

/// The chain (DER) that the pod serves for `name`.
pub(super) async fn served(pods: &Api<Pod>, pod: &Pod, name: &str) -> Looked<Vec<Vec<u8>>> {
    match tokio::time::timeout(PATIENCE, shake_hands(pods, pod, name)).await {
        Ok(seen) => seen,
        Err(_) => Looked::Failed("no answer".to_owned()),
    }
}

async fn shake_hands(pods: &Api<Pod>, pod: &Pod, name: &str) -> Looked<Vec<Vec<u8>>> {
    let port = port(pod);
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    let mut forwarder = match pods.portforward(pod, &[port]).await {
        Ok(forwarder) => forwarder,
        Err(error) => return Err::<Vec<_>, _>(error).into(),
    };
    let Some(stream) = forwarder.take_stream(port) else {
        return Looked::Failed("the port cannot be forwarded".to_owned());
    };
    let name = match ServerName::try_from(name.to_owned()) {
        Ok(name) => name,
        Err(error) => return Looked::Failed(error.to_string()),
    };
    let recorder = Arc::new(Recorder::default());
    let config = match config(&recorder) {
        Ok(config) => config,
        Err(error) => return Looked::Failed(error.to_string()),
    };
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    forwarder.abort();
    let chain = recorder.chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shaken {
        Ok(_) => Looked::Found(chain),
        Err(error) => Looked::Failed(error.to_string()),
    }
}

/// The container port named `https`.
fn port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .find(|port| port.name.as_deref() == Some("https"))
        .and_then(|port| u16::try_from(port.container_port).ok())
        .unwrap_or(PORT)
}

fn config(recorder: &Arc<Recorder>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth())
}

/// Writes the chain down and judges nothing: nothing is sent over the connection, and the chain is judged afterwards.
#[derive(Debug, Default)]
struct Recorder {
    chain: Mutex<Vec<Vec<u8>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(rest).map(|der| der.to_vec()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

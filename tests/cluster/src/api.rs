//! The API server, asked as the administrator: for tests that look often, without a process for each look.

use crate::control_plane::issuer;
use crate::pki::Pki;
use anyhow::{Context, Result, ensure};
use azure_emulators::tls;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::time::Duration;

/// A client. Clones are the same.
#[derive(Clone, Debug)]
pub struct Api {
    client: reqwest::Client,
}

impl Api {
    /// A client with the administrator's certificate. It reaches the API server from the node's network only.
    pub(crate) fn new(pki: &Pki) -> Result<Self> {
        tls::install_provider();
        let authority = std::fs::read_to_string(pki.certificate("ca"))?;
        let certificate = CertificateDer::from_pem_file(pki.certificate("admin"))?;
        let key = PrivateKeyDer::from_pem_file(pki.key("admin"))?;
        let configuration = rustls::ClientConfig::builder()
            .with_root_certificates(tls::roots(&[&authority])?)
            .with_client_auth_cert(vec![certificate], key)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(configuration)
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { client })
    }

    /// The object or list at a path such as `/api/v1/namespaces/agents/pods`; nothing where there is none.
    pub async fn find(&self, path: &str) -> Result<Option<Value>> {
        let (status, text) = self.text(path).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "GET {path}: {status} {text}");
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("GET {path}"))
    }

    /// The object or list at a path.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.find(path).await?.with_context(|| format!("GET {path}: not found"))
    }

    /// Creates an object and answers what it became.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let (status, text) = self.send(Method::POST, path, Some(object)).await?;
        ensure!(status == 201, "POST {path}: {status} {text}");
        serde_json::from_str(&text).with_context(|| format!("POST {path}"))
    }

    /// Tells `see` of what happens to the objects of a list, first that they are there, until it says that it has seen enough
    /// or the server ends it. The path ends in a query (`/api/v1/namespaces/agents/pods?fieldSelector=metadata.name%3Da`).
    pub async fn watch(&self, path: &str, mut see: impl FnMut(&Value) -> bool) -> Result<()> {
        let request = self.client.get(format!("{}{path}&watch=true", issuer()));
        // The client's limit is for answers that end.
        let answer = request.timeout(Duration::from_hours(1)).send().await;
        let mut answer = answer.with_context(|| format!("watch {path}"))?;
        ensure!(answer.status() == 200, "watch {path}: {}", answer.status());
        let mut rest = Vec::new();
        while let Some(bytes) = answer.chunk().await? {
            rest.extend_from_slice(&bytes);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if see(&serde_json::from_slice(&line)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Status and body at a path, such as `/metrics`.
    pub async fn text(&self, path: &str) -> Result<(u16, String)> {
        self.send(Method::GET, path, None).await
    }

    /// Status and answer of a request with an object, such as the creation of one.
    pub async fn send(&self, method: Method, path: &str, object: Option<&Value>) -> Result<(u16, String)> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", issuer()));
        if let Some(object) = object {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(object.to_string());
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

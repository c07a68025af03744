//! A connection on which a test says exactly what it wants, and reads what comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tests::apiserver::webhook::service_name;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{Running, soon};

/// A TLS connection to the webhook.
pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

pub(crate) async fn tls(
    address: SocketAddr,
    mut config: rustls::ClientConfig,
    name: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

impl Wire {
    pub(crate) async fn connect(to: &Running) -> Self {
        let config = azure_emulators::tls::client_config(&[&to.ca]).unwrap();
        let stream = soon("the handshake", tls(to.tls, config, &service_name(), &[]))
            .await
            .unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        soon("bytes are taken", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// The next answer; a `100 Continue` counts as one.
    pub(crate) async fn answer(&mut self) -> Answer {
        soon("an answer", self.read_answer())
            .await
            .expect("the connection ended without an answer")
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            self.more().await?;
        }
        let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        Some(Answer { status, headers, body })
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer).await.ok()?;
        self.read.extend_from_slice(&buffer[..count]);
        (count > 0).then_some(())
    }

    /// Waits until the webhook closes the connection; true if it did so without a byte.
    pub(crate) async fn ends_silently(mut self) -> bool {
        let rest = soon("the webhook closes the connection", async {
            while self.more().await.is_some() {}
            self.read
        })
        .await;
        rest.is_empty()
    }

    /// Posts a body to `/mutate` and reads the answer; the connection stays open.
    pub(crate) async fn post(&mut self, body: impl AsRef<[u8]>) -> Answer {
        self.post_to("/mutate?timeout=5s", body).await
    }

    /// The same with a query of the caller's.
    pub(crate) async fn post_to(&mut self, target: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let head = head(
            "POST",
            target,
            &[
                ("content-type", "application/json"),
                ("content-length", &body.len().to_string()),
            ],
        );
        self.send([head.as_bytes(), body].concat()).await;
        self.answer().await
    }
}

/// The head of an HTTP/1.1 request.
pub(crate) fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: {}:443\r\n{headers}\r\n",
        service_name()
    )
}

//! Posts reviews, each connection one after the other, as the API server does, and checks every answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::apiserver::webhook::service_name;
use azure_emulators::tls;

/// No answer takes longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Allowed, with a JSON Patch.
    Patch,
    /// Allowed, and nothing more.
    Allow,
}

/// A server, and what it is asked.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    connector: TlsConnector,
    path: &'static str,
    body: Bytes,
    expected: Expected,
}

impl Target {
    /// A server at an address whose certificate `ca` vouches for.
    ///
    /// # Errors
    /// `ca` is no PEM.
    pub fn new(address: SocketAddr, ca: &str, body: Bytes, expected: Expected) -> anyhow::Result<Self> {
        let mut config = tls::client_config(&[ca])?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            address,
            connector: TlsConnector::from(Arc::new(config)),
            path: "/mutate?timeout=5s",
            body,
            expected,
        })
    }

    /// Asked at another path than our webhook is.
    #[must_use]
    pub fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    /// Opens connections that have been used once, for an answer that is checked in full.
    ///
    /// # Errors
    /// No connection, or another answer.
    pub async fn connect(&self, number: usize) -> anyhow::Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..number {
            connections.push(self.ask().await?.0);
        }
        Ok(connections)
    }

    /// One answer, which is checked in full.
    ///
    /// # Errors
    /// No connection, or another answer.
    pub(super) async fn answer(&self) -> anyhow::Result<Bytes> {
        Ok(self.ask().await?.1)
    }

    async fn ask(&self) -> anyhow::Result<(Connection, Bytes)> {
        let mut connection = Connection::open(self.clone()).await?;
        let answer = connection.post().await?;
        self.check(&answer)?;
        Ok((connection, answer))
    }

    fn check(&self, answer: &[u8]) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_slice(answer)?;
        let response = &answer["response"];
        ensure!(response["allowed"] == true, "not allowed: {answer}");
        if self.expected == Expected::Patch {
            let patch = response["patch"]
                .as_str()
                .with_context(|| format!("no patch: {answer}"))?;
            let patch = base64::engine::general_purpose::STANDARD.decode(patch)?;
            let patch: json_patch::Patch = serde_json::from_slice(&patch)?;
            ensure!(!patch.0.is_empty(), "the patch is empty");
        }
        Ok(())
    }

    /// What every answer is looked at for: cheap, since the client shares the processor with the servers.
    fn mark(&self) -> &'static [u8] {
        match self.expected {
            Expected::Patch => br#""patchType":"JSONPatch""#,
            Expected::Allow => br#""allowed":true"#,
        }
    }
}

/// A keep-alive connection.
pub struct Connection {
    target: Target,
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(super) async fn open(target: Target) -> anyhow::Result<Self> {
        let name = service_name();
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let stream = target
            .connector
            .connect(ServerName::try_from(name.clone())?, stream)
            .await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            target,
            host: format!("{name}:443"),
            sender,
        })
    }

    pub(super) async fn post(&mut self) -> anyhow::Result<Bytes> {
        let request = Request::post(self.target.path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.target.body.clone()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        ensure!(status == StatusCode::OK, "{status}: {text}");
        let mark = self.target.mark();
        ensure!(
            body.windows(mark.len()).any(|window| window == mark),
            "another answer: {text}"
        );
        Ok(body)
    }

    async fn post_many(mut self, number: usize) -> anyhow::Result<(Self, Vec<Duration>)> {
        let mut times = Vec::with_capacity(number);
        for _ in 0..number {
            let started = Instant::now();
            tokio::time::timeout(PATIENCE, self.post())
                .await
                .context("no answer")??;
            times.push(started.elapsed());
        }
        Ok((self, times))
    }
}

/// Posts `total` reviews over these connections at once; the connections, and how long each review took, sorted.
///
/// # Errors
/// An answer was not what it has to be.
pub async fn post(connections: Vec<Connection>, total: usize) -> anyhow::Result<(Vec<Connection>, Vec<Duration>)> {
    let each = total.div_ceil(connections.len().max(1));
    let mut tasks: JoinSet<_> = connections.into_iter().map(|one| one.post_many(each)).collect();
    let (mut connections, mut times) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (connection, took) = done??;
        connections.push(connection);
        times.extend(took);
    }
    times.sort_unstable();
    Ok((connections, times))
}

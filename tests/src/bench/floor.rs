//! The floor: the least that can answer a review. The same TLS, HTTP and JSON as the webhook's and a certificate of the
//! same kind, and nothing between: no router, limits, deadlines, metrics or log, no decision. The body becomes a
//! `serde_json::Value`, its UID comes back in an allow. A second one also logs, to show what of the rest is the log.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

use super::process::Process;
use crate::apiserver::webhook::write_pair;
use azure_emulators::tls::Pair;

/// The subcommand of `bench` that is this server.
pub const COMMAND: &str = "floor";
/// Makes it log.
const LOG_FLAG: &str = "--log";

/// Whether the floor logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    Nothing,
    /// One line a review, as the webhook does.
    Reviews,
}

/// Serves until it is killed, with the pair in `folder`. Its first line of output is where it listens.
///
/// # Errors
/// The pair cannot be read, no port can be bound.
pub fn serve(folder: &Path, log: Log) -> anyhow::Result<()> {
    if log == Log::Reviews {
        let builder = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_target(false);
        builder.json().flatten_event(true).init();
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name}"));
    let pair = Pair {
        certificate: read(webhook::tls::CERTIFICATE_FILE)?,
        key: read(webhook::tls::KEY_FILE)?,
    };
    azure_emulators::tls::install_provider();
    let acceptor = TlsAcceptor::from(pair.server_config());
    // As many threads as the webhook has.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(connection(stream, acceptor.clone()));
        }
    })
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor) {
    let _ = stream.set_nodelay(true);
    if let Ok(stream) = acceptor.accept(stream).await {
        let connection = hyper::server::conn::http1::Builder::new();
        // How a client ends its connection is no concern of ours.
        let _ = connection
            .serve_connection(TokioIo::new(stream), service_fn(allow))
            .await;
    }
}

async fn allow(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = json!({
        "apiVersion": review["apiVersion"],
        "kind": review["kind"],
        "response": {"uid": review["request"]["uid"], "allowed": true},
    });
    let answer = serde_json::to_vec(&answer).unwrap_or_default();
    let asked = &review["request"];
    tracing::info!(
        uid = asked["uid"].as_str(),
        namespace = asked["namespace"].as_str(),
        name = asked["object"]["metadata"]["generateName"].as_str(),
        owner = asked["object"]["metadata"]["ownerReferences"][0]["name"].as_str(),
        decision = "allowed",
        reason = "allowed",
        ms = 0.125,
        "review"
    );
    let mut response = Response::new(Full::from(answer));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// The floor as a process. Dropping it kills the process.
pub struct Floor {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Floor {
    /// Starts this program a second time, as the floor.
    ///
    /// # Errors
    /// It did not say where it listens.
    pub async fn start(pair: &Pair, log: Log) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        write_pair(folder.path(), pair)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .arg(folder.path())
            .args((log == Log::Reviews).then_some(LOG_FLAG))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("the standard output was piped")?;
        let mut stderr = child.stderr.take().context("the standard error was piped")?;
        tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
        let line = BufReader::new(stdout).lines().next_line().await?;
        let address = line.context("the floor ended at once")?.parse()?;
        Ok(Self {
            child,
            address,
            _folder: folder,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    ///
    /// # Errors
    /// It has ended.
    pub fn process(&self) -> anyhow::Result<Process> {
        Ok(Process(self.child.id().context("the floor has ended")?))
    }
}

//! A bare HTTPS round trip from a fresh process: what a sidecar's start is compared with. One connection, one request, and
//! a file at the end, as the sidecar writes one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pod::appears;
use azure_emulators::tls;
use azure_emulators::world::World;

/// The subcommand of `bench` that is this program.
pub const COMMAND: &str = "round-trip";

/// Asks once and writes the file `done`. `body` names a form to post; without one it gets.
///
/// # Errors
/// No answer, or not 200.
pub fn ask(address: SocketAddr, path: &str, ca: &Path, done: &Path, body: Option<&Path>) -> anyhow::Result<()> {
    let config = tls::client_config(&[&std::fs::read_to_string(ca)?])?;
    let request = match body {
        Some(form) => Request::post(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(HOST, address.to_string())
            .body(Full::new(Bytes::from(std::fs::read(form)?)))?,
        None => Request::get(path)
            .header(HOST, address.to_string())
            .body(Full::default())?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
        std::fs::write(done, body)?;
        Ok(())
    })
}

/// Round trips to the same Entra that the sidecars ask.
pub struct RoundTrip {
    folder: TempDir,
    address: SocketAddr,
    tenant: String,
}

/// Which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A GET of a page that exists: nothing but the round trip.
    Page,
    /// The sidecar's own exchange, which costs Entra two signatures.
    Token,
}

impl RoundTrip {
    /// Writes what the program needs.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn new(world: &World) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        world.authority.write_pem(&folder.path().join("ca.pem"))?;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &world.agents.client_id),
            ("scope", contract::DEFAULT_SCOPE),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &world.assertion()),
        ];
        let form = form.map(|(name, value)| format!("{name}={}", percent_encoded(value)));
        std::fs::write(folder.path().join("form"), form.join("&"))?;
        Ok(Self {
            folder,
            address: world.entra.address(),
            tenant: world.settings.tenant.clone(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How long a fresh process takes until its answer is in a file.
    ///
    /// # Errors
    /// It gets no answer.
    pub fn run(&self, ask: Ask) -> anyhow::Result<Duration> {
        let done = self.path("done");
        let path = match ask {
            Ask::Page => format!("/{}/v2.0/.well-known/openid-configuration", self.tenant),
            Ask::Token => format!("/{}/oauth2/v2.0/token", self.tenant),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command
            .env_clear()
            .arg(COMMAND)
            .arg(self.address.to_string())
            .arg(path)
            .arg(self.path("ca.pem"))
            .arg(&done)
            .stdin(Stdio::null());
        if ask == Ask::Token {
            command.arg(self.path("form"));
        }
        let started = Instant::now();
        let mut child = command.spawn()?;
        let took = appears(&done, started);
        let status = child.wait()?;
        ensure!(status.success(), "the round trip failed: {status}");
        std::fs::remove_file(done).context("it was there")?;
        took
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

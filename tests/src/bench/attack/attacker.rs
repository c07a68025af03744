//! Clients that mean harm: each opens a connection, does one thing to it, and comes back when it is closed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http2;
use crate::apiserver::webhook::service_name;
use azure_emulators::tls;

/// Where attackers come from: as a pod of the cluster does, from another address than the API server.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Between two tries of one client; without it the attacker's own handshakes would be what is measured.
const PAUSE: Duration = Duration::from_millis(50);

/// What a client does.
#[derive(Debug, Clone)]
pub enum Conduct {
    /// Posts a body again and again.
    Post(Bytes),
    /// Posts bodies made of a number that rises.
    PostEach(fn(usize) -> Bytes),
    /// Posts again and again and reads no answer.
    PostUnread(Bytes),
    /// Sends so many bytes of a body and no more.
    OpenBody(usize),
    /// The same, in chunks, without a length.
    OpenChunks(usize),
    /// Sends so many bytes of a head and no more.
    OpenHead(usize),
    /// Agrees on TLS and asks for nothing.
    Silent,
    /// Asks once and never again.
    AskOnce(Bytes),
    /// Connects and does not begin TLS, or stops in the middle of its first message.
    NoHandshake,
    /// Connects to the plain port and asks for nothing.
    Plain,
    /// HTTP/2: opens so many requests, each with 64 KiB of a body that goes on.
    Streams(u32),
}

/// Whom to attack.
#[derive(Clone)]
pub struct Victim {
    tls: SocketAddr,
    plain: SocketAddr,
    connector: TlsConnector,
    connector_h2: TlsConnector,
}

impl Victim {
    /// A webhook by its ports and the authority of its certificate.
    ///
    /// # Errors
    /// `ca` is no PEM.
    pub fn new(tls: SocketAddr, plain: SocketAddr, ca: &str) -> anyhow::Result<Self> {
        let connector = |protocols: &[&str]| -> anyhow::Result<TlsConnector> {
            let mut config = tls::client_config(&[ca])?;
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self {
            tls,
            plain,
            connector: connector(&["http/1.1"])?,
            connector_h2: connector(&["h2"])?,
        })
    }

    async fn connect(&self, port: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(ADDRESS, 0))?;
        // What is sent but not read stays with the victim.
        socket.set_recv_buffer_size(4096)?;
        socket.connect(port).await
    }

    async fn agree(&self, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.connect(self.tls).await?;
        let name = ServerName::try_from(service_name()).map_err(std::io::Error::other)?;
        connector.connect(name, stream).await
    }
}

/// What was done so far.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Done {
    /// Connections that were made, TLS included where it is.
    pub connections: usize,
    /// Requests that were sent in full.
    pub requests: usize,
    /// Answers of status 200.
    pub answered: usize,
}

#[derive(Default)]
struct Counters {
    connections: AtomicUsize,
    requests: AtomicUsize,
    answered: AtomicUsize,
}

fn count(counter: &AtomicUsize) -> usize {
    counter.fetch_add(1, Ordering::Relaxed)
}

/// Clients at work, until it is dropped.
pub struct Attackers {
    counters: Arc<Counters>,
    _clients: JoinSet<()>,
}

impl Attackers {
    /// So many clients of one conduct.
    pub fn start(victim: &Victim, conduct: &Conduct, clients: usize) -> Self {
        let counters = Arc::new(Counters::default());
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let client = Client {
                victim: victim.clone(),
                conduct: conduct.clone(),
                counters: Arc::clone(&counters),
            };
            tasks.spawn(client.run());
        }
        Self {
            counters,
            _clients: tasks,
        }
    }

    /// What they did so far.
    pub fn done(&self) -> Done {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Done {
            connections: read(&self.counters.connections),
            requests: read(&self.counters.requests),
            answered: read(&self.counters.answered),
        }
    }
}

struct Client {
    victim: Victim,
    conduct: Conduct,
    counters: Arc<Counters>,
}

impl Client {
    async fn run(self) {
        loop {
            // That the victim hangs up is what an attacker lives with.
            let _ = self.once().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(&self) -> std::io::Result<()> {
        let (victim, counters) = (&self.victim, &*self.counters);
        let stream = match self.conduct {
            Conduct::Plain | Conduct::NoHandshake => {
                let is_plain = matches!(self.conduct, Conduct::Plain);
                let mut stream = victim.connect(if is_plain { victim.plain } else { victim.tls }).await?;
                if count(&counters.connections).is_multiple_of(2) && !is_plain {
                    // The head of a record of 16 KiB and of a ClientHello in it.
                    stream.write_all(&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3]).await?;
                }
                return until_closed(stream).await;
            }
            Conduct::Streams(_) => victim.agree(&victim.connector_h2).await?,
            Conduct::Post(_)
            | Conduct::PostEach(_)
            | Conduct::PostUnread(_)
            | Conduct::OpenBody(_)
            | Conduct::OpenChunks(_)
            | Conduct::OpenHead(_)
            | Conduct::Silent
            | Conduct::AskOnce(_) => victim.agree(&victim.connector).await?,
        };
        count(&counters.connections);
        self.misbehave(stream).await
    }

    async fn misbehave(&self, mut stream: TlsStream<TcpStream>) -> std::io::Result<()> {
        let counters = &*self.counters;
        match &self.conduct {
            Conduct::Post(body) => loop {
                self.post(&mut stream, body).await?;
            },
            Conduct::PostEach(body) => loop {
                let body = body(counters.requests.load(Ordering::Relaxed));
                self.post(&mut stream, &body).await?;
            },
            Conduct::PostUnread(body) => loop {
                send(&mut stream, body).await?;
                count(&counters.requests);
            },
            Conduct::AskOnce(body) => {
                self.post(&mut stream, body).await?;
                until_closed(stream).await
            }
            Conduct::Silent => until_closed(stream).await,
            Conduct::OpenBody(bytes) => {
                stream.write_all(&head(&format!("content-length: {}", 4 << 20))).await?;
                write(&mut stream, &[b' '; 16 * 1024], *bytes).await?;
                count(&counters.requests);
                until_closed(stream).await
            }
            Conduct::OpenChunks(bytes) => {
                stream.write_all(&head("transfer-encoding: chunked")).await?;
                let chunk = [&b"4000\r\n"[..], &[b' '; 16 * 1024], b"\r\n"].concat();
                write(&mut stream, &chunk, *bytes).await?;
                count(&counters.requests);
                until_closed(stream).await
            }
            Conduct::OpenHead(bytes) => {
                stream
                    .write_all(b"POST /mutate HTTP/1.1\r\nhost: x\r\nfiller: ")
                    .await?;
                write(&mut stream, &[b'x'; 16 * 1024], *bytes).await?;
                until_closed(stream).await
            }
            Conduct::Streams(streams) => {
                http2::open_requests(&mut stream, *streams).await?;
                counters.requests.fetch_add(*streams as usize, Ordering::Relaxed);
                until_closed(stream).await
            }
            Conduct::Plain | Conduct::NoHandshake => Ok(()),
        }
    }

    async fn post(&self, stream: &mut TlsStream<TcpStream>, body: &[u8]) -> std::io::Result<()> {
        send(stream, body).await?;
        count(&self.counters.requests);
        if read_answer(stream).await? == 200 {
            count(&self.counters.answered);
        }
        Ok(())
    }
}

fn head(length: &str) -> Vec<u8> {
    let name = service_name();
    format!("POST /mutate?timeout=30s HTTP/1.1\r\nhost: {name}\r\ncontent-type: application/json\r\n{length}\r\n\r\n")
        .into_bytes()
}

async fn send(stream: &mut TlsStream<TcpStream>, body: &[u8]) -> std::io::Result<()> {
    stream
        .write_all(&head(&format!("content-length: {}", body.len())))
        .await?;
    stream.write_all(body).await?;
    stream.flush().await
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), part: &[u8], total: usize) -> std::io::Result<()> {
    let mut left = total;
    while left > 0 {
        let next = left.min(part.len());
        stream.write_all(&part[..next]).await?;
        left -= next;
    }
    stream.flush().await
}

/// The status of an answer that has a length, read to its end.
async fn read_answer(stream: &mut TlsStream<TcpStream>) -> std::io::Result<u16> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    let mut expected = None;
    while expected.is_none_or(|(_, end)| read.len() < end) {
        let bytes = stream.read(&mut buffer).await?;
        if bytes == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&buffer[..bytes]);
        expected = expected.or_else(|| {
            let end = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let status = head.split(' ').nth(1)?.parse().ok()?;
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
            Some((status, end + length))
        });
    }
    Ok(expected.map_or(0, |(status, _)| status))
}

async fn until_closed(mut stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

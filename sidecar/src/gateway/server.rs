//! Connections to the gateway: how many, how large, how long.
//!
//! Only processes of the pod can reach the port: the agent, its jobs, and what these leave running. A job that takes all connections
//! harms its own listener, but neither the sidecar's memory nor the removal, which needs none of them.

use super::memory::{BUFFER, CONNECTIONS, KERNEL_BUFFER};
use super::write_timeout::WriteTimeout;
use super::{Shared, service};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

const HEADERS: usize = 64;
/// How long a head may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// How long a client may take to read.
const STALL: Duration = Duration::from_secs(30);
/// Connections that the kernel queues beyond those.
const BACKLOG: u32 = 32;
/// Pause after a failed `accept`: without free file descriptors the next one would fail at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens on the loopback.
pub(super) fn bind(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // An earlier run's connections may linger.
    socket.set_reuseaddr(true)?;
    // Before `listen`: accepted connections inherit these.
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.bind(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG)
}

/// Serves until it is dropped, and all its connections with it.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            Err(error) => {
                warn!(%error, "a connection to the gateway could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move {
            shared.requests.acquire().await;
            Ok::<_, Infallible>(service::answer(shared, request).await)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, STALL)), service)
        .await;
    if let Err(error) = served {
        // Clients disconnect; hostile ones send invalid requests.
        debug!(%error, "a connection to the gateway ended");
    }
}

//! The admission server of ado-agent-injector: a thin shell around the decisions of [`inject`].
//!
//! [`run`] serves `/mutate` over TLS and `/livez`, `/readyz` and `/metrics` on a plain port until it is shut down.
//! `config.rs` reads flags and variables, `router.rs` has the routes, `admission.rs` answers one review, `accounts.rs` looks
//! ServiceAccounts up, `cluster.rs` identifies the cluster, `tls.rs` reloads the certificate. `memory.rs` has every limit on memory,
//! `connections.rs` decides which connection is closed at the limit.
//!
//! **Invariant:** no state but caches, no writes to the API server, no secrets in responses. **Invariant:** a certificate pair
//! that cannot be used never replaces one that can, and never ends the process.

mod accounts;
mod admission;
mod body;
mod budget;
mod client;
mod cluster;
pub mod config;
mod connection;
mod connections;
pub mod memory;
pub mod metrics;
mod router;
pub mod server;
pub mod tls;
pub mod validity;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use accounts::Accounts;
use budget::Budget;
use cluster::Cluster;
use config::Config;
use connection::Service;
use connections::Connections;
use metrics::{Metrics, Port};
use router::Shared;
use server::{Phase, Timeouts};
use tls::Reloader;

/// Why the webhook could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be bound.
    #[error("cannot listen on {address}; another process may use the port")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The kubeconfig file cannot be used.
    #[error("the file of --kubeconfig cannot be used")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// The process is not in a pod of a cluster, and no kubeconfig was given.
    #[error("this process has no ServiceAccount of a cluster; outside of one, give it a --kubeconfig")]
    NotInCluster(#[source] kube::config::InClusterError),
    /// The credentials for the API server cannot be used.
    #[error("the credentials for the API server cannot be used")]
    Client(#[source] kube::Error),
    /// rustls does not take its own provider.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// The bound ports.
#[derive(Debug)]
pub struct Listeners {
    /// For `/mutate`.
    pub tls: TcpListener,
    /// For `/livez`, `/readyz` and `/metrics`.
    pub plain: TcpListener,
}

impl Listeners {
    /// Binds both ports.
    ///
    /// # Errors
    /// [`Error::Bind`] with the address.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            tls: bind(config.tls_address)?,
            plain: bind(config.plain_address)?,
        })
    }
}

/// `[::]` accepts IPv4, too; without IPv6 on the node, `0.0.0.0` is bound instead.
fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    match listen(address) {
        Ok(listener) => Ok(listener),
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            listen(address).map_err(|source| Error::Bind { address, source })
        }
        Err(source) => Err(Error::Bind { address, source }),
    }
}

/// Accepted connections inherit the buffer sizes of the listener.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(memory::SOCKET_RECEIVE)?;
    socket.set_send_buffer_size(memory::SOCKET_SEND)?;
    socket.bind(address)?;
    socket.listen(memory::BACKLOG)
}

/// Serves until `shutdown` completes, then drains.
///
/// # Errors
/// What keeps it from starting. Once it serves, nothing ends it but `shutdown`.
pub async fn run(config: Config, listeners: Listeners, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let limits = config.limits;
    let metrics = Arc::new(Metrics::default());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut reloader = Reloader::new(&config.tls_dir, Arc::clone(&provider), Arc::clone(&metrics));
    reloader.reload();
    let certificates = reloader.certificates();
    let acceptor = certificates.server_config(provider).map_err(Error::Tls)?;
    let client = client(&config).await?;
    let accounts = Arc::new(Accounts::new(client.clone(), Arc::clone(&metrics)));
    let cluster = Cluster::new(config.settings.cluster_id.clone());
    let (phase, phases) = watch::channel(Phase::Serving);
    let (plain_phase, plain_phases) = watch::channel(Phase::Serving);
    let connections = Connections::new(Port::Tls, limits.connections, Arc::clone(&metrics));
    let shared = Arc::new(Shared {
        accounts: Arc::clone(&accounts),
        budget: Budget::new(limits.large_bodies, Arc::clone(&connections), Arc::clone(&metrics)),
        body_timeout: limits.timeouts.body,
        certificates,
        cluster: cluster.clone(),
        large: Arc::new(Semaphore::new(1)),
        metrics: Arc::clone(&metrics),
        phase: phases.clone(),
        settings: config.settings,
    });
    let mut background = JoinSet::new();
    background.spawn(reloader.run(limits.certificate_poll));
    background.spawn(cluster.run(client));
    background.spawn(accounts.watch());
    tracing::info!(
        tls = address(&listeners.tls),
        plain = address(&listeners.plain),
        "listening"
    );
    let plain = Service {
        tls: None,
        router: router::plain(&shared),
        timeouts: Timeouts {
            idle: limits.plain_idle,
            ..limits.timeouts
        },
        metrics: Arc::clone(&metrics),
        phase: plain_phases,
    };
    let plain_connections = Connections::new(Port::Plain, limits.plain_connections, Arc::clone(&metrics));
    background.spawn(server::run(plain, plain_connections, listeners.plain));
    let mut mutating = JoinSet::new();
    let service = Service {
        tls: Some(Arc::new(acceptor)),
        router: router::mutating(&shared),
        timeouts: limits.timeouts,
        metrics,
        phase: phases,
    };
    mutating.spawn(server::run(service, connections, listeners.tls));

    shutdown.await;
    tracing::info!(delay = ?limits.drain_delay, deadline = ?limits.drain_deadline, "shutting down: not ready, still answering");
    phase.send_replace(Phase::Draining);
    tokio::time::sleep(limits.drain_delay).await;
    phase.send_replace(Phase::Closing);
    if tokio::time::timeout(limits.drain_deadline, mutating.join_next())
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the deadline");
    }
    plain_phase.send_replace(Phase::Closing);
    tracing::info!("shut down");
    Ok(())
}

fn address(listener: &TcpListener) -> String {
    listener
        .local_addr()
        .map(|address| address.to_string())
        .unwrap_or_default()
}

async fn client(config: &Config) -> Result<Client, Error> {
    let mut access = match &config.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(Error::Kubeconfig)?;
            let options = KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(Error::Kubeconfig)?
        }
        None => kube::Config::incluster().map_err(Error::NotInCluster)?,
    };
    // Lookups are retried within the time of their review instead.
    access.default_retry = false;
    Client::try_from(access).map_err(Error::Client)
}

//! `ado-agent keep`: what runs in the cluster outside the pods. It remembers which agent was whose, removes agents of pods that
//! are gone, and keeps a placeholder in the pool.
//!
//! One round a minute: the pods come from a watch, each pool is read with two requests, what was seen is written into the ledger
//! before anything is removed. Two replicas do no harm: whoever writes the ledger second reads it again, and an agent is removed only
//! once.

pub mod events;
mod health;
mod log;
mod observation;
mod placeholder;
mod pods;
mod round;

pub use health::Health;
pub use log::LogFormat;
pub use observation::Observation;
pub use placeholder::{MADE_HERE, PLACEHOLDER_CAPABILITY};
pub use pods::PodCache;
pub use round::{Observer, Round};

use crate::Exit;
use crate::cluster::Cluster;
use crate::organization::Credential;
use crate::session::Session;
use anyhow::Context as _;
use clap::Args;
use observe::{Detail, Metrics};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use sweep::Settings;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What is looked after, and how carefully: `sweep` and `keep` alike.
#[derive(Debug, Clone, Args)]
pub struct Scope {
    /// Organization URL.
    #[arg(long, value_name = "URL", env = "ADO_AGENT_KEEP_URL")]
    pub(crate) url: String,
    /// Pools by name, separated by commas.
    #[arg(
        long = "pool",
        value_name = "NAME",
        env = "ADO_AGENT_KEEP_POOLS",
        value_delimiter = ',',
        required = true
    )]
    pub(crate) pools: Vec<String>,
    /// Namespaces of agent pods, separated by commas; else --namespace.
    #[arg(long, value_name = "NAME", env = "ADO_AGENT_KEEP_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Minutes that an agent has to be offline, by Azure DevOps' clock, before it is removed. A session ends 5 minutes after its
    /// last request, a job's lock after 10.
    #[arg(long, value_name = "MINUTES", env = "ADO_AGENT_KEEP_OFFLINE_MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u16).range(5..))]
    offline_minutes: u16,
    /// Names of agents that are never removed, separated by commas: placeholders of KEDA and others.
    #[arg(
        long,
        value_name = "NAME",
        env = "ADO_AGENT_KEEP_NEVER_REMOVE",
        value_delimiter = ','
    )]
    never_remove: Vec<String>,
    /// Namespace of the ledger's ConfigMaps.
    #[arg(long, value_name = "NAME", env = "ADO_AGENT_KEEP_LEDGER_NAMESPACE", default_value = contract::SYSTEM_NAMESPACE)]
    pub(crate) ledger_namespace: String,
    /// Name of the ledger's ConfigMaps, without -0 to -3.
    #[arg(
        long,
        value_name = "NAME",
        env = "ADO_AGENT_KEEP_LEDGER",
        default_value = "ado-agent-ledger"
    )]
    pub(crate) ledger: String,
}

impl Scope {
    /// The namespaces, or the one that the cluster's options name.
    pub(crate) fn namespaces(&self, fallback: &str) -> Vec<String> {
        let mut namespaces: Vec<String> = self
            .namespaces
            .iter()
            .filter(|name| !name.is_empty())
            .cloned()
            .collect();
        if namespaces.is_empty() {
            namespaces.push(fallback.to_owned());
        }
        namespaces
    }

    pub(crate) fn settings(&self, namespaces: &[String]) -> Settings {
        Settings {
            offline_seconds: i64::from(self.offline_minutes) * 60,
            placeholders: self.never_remove.clone(),
            ..Settings::new(namespaces.iter().cloned())
        }
    }
}

/// Look after agents from outside their pods: remember whose they are, remove those of pods that are gone, keep a placeholder.
#[derive(Debug, Args)]
pub struct Keep {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    credential: Credential,
    #[command(flatten)]
    scope: Scope,
    /// Only say which agents would be removed.
    #[arg(long, env = "ADO_AGENT_KEEP_DRY_RUN")]
    dry_run: bool,
    /// Keep an agent of this name in each pool, offline, with the capabilities of the newest agent: Azure DevOps takes no job for a
    /// pool without an agent that could do it (KEDA).
    #[arg(long, value_name = "NAME", env = "ADO_AGENT_KEEP_PLACEHOLDER")]
    placeholder: Option<String>,
    /// Seconds between two rounds.
    #[arg(long, value_name = "SECONDS", env = "ADO_AGENT_KEEP_INTERVAL", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Address of /livez, /readyz and /metrics, plain HTTP.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "ADO_AGENT_KEEP_LISTEN",
        default_value = "[::]:8080"
    )]
    listen: SocketAddr,
    /// Show a series for each agent's pod, too: for small clusters.
    #[arg(long, env = "ADO_AGENT_KEEP_POD_METRICS")]
    pod_metrics: bool,
    /// Name of this pod, for its Events.
    #[arg(
        long,
        value_name = "NAME",
        env = "ADO_AGENT_KEEP_POD_NAME",
        default_value = "ado-agent-keep"
    )]
    pod_name: String,
    /// Format of the log.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "ADO_AGENT_KEEP_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
    /// Level of the log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", env = "ADO_AGENT_KEEP_LOG_LEVEL", default_value = "info")]
    log_level: tracing::Level,
}

pub(crate) async fn run(arguments: Keep) -> anyhow::Result<Exit> {
    log::start(arguments.log_level, arguments.log_format);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        served = serve(arguments) => served.map(|never| match never {}),
        _ = terminate.recv() => Ok(Exit::Good),
        _ = interrupt.recv() => Ok(Exit::Good),
    }
}

/// What never is.
enum Never {}

async fn serve(arguments: Keep) -> anyhow::Result<Never> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("{} cannot be bound", arguments.listen))?;
    tracing::info!(listen = %listener.local_addr()?, "serving /livez and /readyz, and /metrics");
    let (client, namespace) = arguments.cluster.connect().await?;
    let namespaces = arguments.scope.namespaces(&namespace);
    let settings = {
        let mut settings = arguments.scope.settings(&namespaces);
        settings.placeholders.extend(arguments.placeholder.clone());
        settings
    };
    let metrics = Arc::new(Metrics::new(
        if arguments.pod_metrics {
            Detail::Pods
        } else {
            Detail::Fleet
        },
        env!("CARGO_PKG_VERSION"),
    ));
    let organization = arguments.credential.connect(&arguments.scope.url)?;
    let (observation, notices) = Observation::new(
        Arc::clone(&metrics),
        organization.url.organization(),
        &arguments.scope.pools,
        &namespaces,
        &settings.placeholders,
    );
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::<Observation>::clone(&observation)];
    let session = {
        let observers = observers.clone();
        let watcher = move |sent: &_| observers.iter().for_each(|observer| observer.sent(sent));
        Session::new(organization, Some(Box::new(watcher)))
    };
    let interval = Duration::from_secs(arguments.interval);
    let health = Arc::new(Health::new(interval));
    let pods = Arc::new(PodCache::new(&namespaces));
    let watched = client.clone();
    let watches = pods::watch(&watched, &pods, &observers);
    let telling = observation::tell(&watched, &arguments.pod_name, &namespaces, &pods, observation, notices);
    let rounds = round::Rounds::new(
        &arguments,
        client,
        session,
        settings,
        Arc::clone(&pods),
        observers.clone(),
        Arc::clone(&health),
    );
    let server = health::serve(listener, Arc::clone(&health), metrics);
    tokio::select! {
        never = watches => Ok(never),
        never = telling => Ok(never),
        never = rounds.run(interval) => Ok(never),
        ended = server => {
            ended.context("/livez and /readyz are not served any more")?;
            anyhow::bail!("/livez and /readyz are not served any more")
        }
    }
}

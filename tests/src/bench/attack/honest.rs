//! The client that must not notice: 20 reviews a second, most over connections that stay open, some over a new one, and
//! the kubelet's probes.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bench::load::{Connection, Target};
use crate::bench::report::percentile;

/// Between two reviews.
const EVERY: Duration = Duration::from_millis(50);
/// Every so-manieth review comes over a new connection.
const NEW: usize = 4;
/// `timeoutSeconds` of the shipped configuration.
const TIMEOUT: Duration = Duration::from_secs(5);
/// `timeoutSeconds` of the shipped readiness probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// As often as the shipped readiness probe asks.
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// What the honest client saw.
#[derive(Debug, Default, Serialize)]
pub(super) struct Seen {
    /// How long reviews took over connections that were open, sorted.
    #[serde(skip)]
    pub(super) kept: Vec<Duration>,
    /// Over new ones, TLS included.
    #[serde(skip)]
    pub(super) new: Vec<Duration>,
    /// Reviews without a patch in time, and why the first of them.
    pub(super) failures: Vec<String>,
    /// Probes without an answer of 200 in time.
    pub(super) probes_failed: Vec<String>,
}

impl Seen {
    /// p50 and p99 over open connections and over new ones, in seconds.
    pub(super) fn percentiles(&self) -> [f64; 4] {
        let of = |times: &[Duration], share| {
            if times.is_empty() {
                TIMEOUT.as_secs_f64()
            } else {
                percentile(times, share)
            }
        };
        [
            of(&self.kept, 0.5),
            of(&self.kept, 0.99),
            of(&self.new, 0.5),
            of(&self.new, 0.99),
        ]
    }
}

/// Posts for so long. Each review is sent when it is due, whatever became of the one before.
///
/// # Errors
/// A task panicked.
pub(super) async fn ask(target: &Target, plain: SocketAddr, lasts: Duration) -> anyhow::Result<Seen> {
    let end = Instant::now() + lasts;
    let probes = tokio::spawn(probe(plain, end));
    let mut reviews = tokio::task::JoinSet::new();
    let mut kept: Vec<Connection> = Vec::new();
    let (give_back, mut given_back) = tokio::sync::mpsc::unbounded_channel();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number: usize = 0;
    while Instant::now() < end {
        ticks.tick().await;
        while let Ok(connection) = given_back.try_recv() {
            kept.push(connection);
        }
        number += 1;
        let connection = if number.is_multiple_of(NEW) { None } else { kept.pop() };
        let (target, give_back) = (target.clone(), give_back.clone());
        reviews.spawn(async move {
            let is_new = connection.is_none();
            let started = Instant::now();
            let asking = async {
                let mut connection = match connection {
                    Some(connection) => connection,
                    None => Connection::open(target).await?,
                };
                connection.post().await?;
                anyhow::Ok(connection)
            };
            let result = tokio::time::timeout(TIMEOUT, asking).await;
            let took = started.elapsed();
            match result {
                Ok(Ok(connection)) => {
                    // Two stay open.
                    if !number.is_multiple_of(NEW) {
                        let _ = give_back.send(connection);
                    }
                    Ok((is_new, took))
                }
                Ok(Err(error)) => Err(format!("{}: {error:#}", if is_new { "new" } else { "kept" })),
                Err(_) => Err("no answer within 5 s".to_owned()),
            }
        });
    }
    let mut seen = Seen::default();
    while let Some(done) = reviews.join_next().await {
        match done? {
            Ok((true, took)) => seen.new.push(took),
            Ok((false, took)) => seen.kept.push(took),
            Err(error) => seen.failures.push(error),
        }
    }
    seen.kept.sort_unstable();
    seen.new.sort_unstable();
    seen.probes_failed = probes.await?;
    Ok(seen)
}

async fn probe(plain: SocketAddr, end: Instant) -> Vec<String> {
    let mut failed = Vec::new();
    while Instant::now() < end {
        for path in ["/livez", "/readyz"] {
            // As the kubelet: a new connection for each.
            let client = reqwest::Client::builder().no_proxy().timeout(PROBE_TIMEOUT).build();
            let Ok(client) = client else { continue };
            match client.get(format!("http://{plain}{path}")).send().await {
                Ok(answer) if answer.status().is_success() => {}
                Ok(answer) => failed.push(format!("{path}: {}", answer.status())),
                Err(error) => failed.push(format!("{path}: {error}")),
            }
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
    failed
}

//! What `/metrics` says, in Prometheus' text format. No label holds a name from the cluster, so the size is bounded.

mod family;
mod label;

pub use family::{Metric, reference};
pub use label::{Closed, Lookup, Port};

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use family::{
    ACCOUNTS, BODY, BUILD, CONNECTIONS, CONNECTIONS_CLOSED, DURATION, HANDSHAKES_FAILED, IN_FLIGHT, LARGE_BODIES,
    LOOKUPS, NOT_AFTER, REJECTED, RELOADS, REQUESTS,
};
use inject::Decision;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What `/metrics` is served as.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Labels whose values are closed words: they own nothing, so counting allocates nothing.
type Words<const N: usize> = [(&'static str, &'static str); N];
type Level = Gauge<i64, AtomicI64>;

/// All counters of one webhook.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Words<3>, Counter>,
    rejected: Family<[(&'static str, u16); 1], Counter>,
    lookups: Family<Words<1>, Counter>,
    closed: Family<Words<2>, Counter>,
    reloads: Family<Words<1>, Counter>,
    duration: Histogram,
    body: Histogram,
    large_bodies: Level,
    handshakes_failed: Counter,
    in_flight: Level,
    connections: Level,
    not_after: Level,
    accounts: Level,
}

const DURATION_BOUNDS: [f64; 7] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0];
const BODY_BOUNDS: [f64; 6] = [4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

/// Puts a metric into the registry, which adds a counter's `_total` and the full stop of the help by itself.
fn register<M>(registry: &mut Registry, family: Metric, metric: M) -> M
where
    M: Clone + EncodeMetric + TypedMetric + std::fmt::Debug + Send + Sync + 'static,
{
    let name = match family.kind {
        "counter" => family.name.trim_end_matches("_total"),
        _ => family.name,
    };
    registry.register(name, family.help.trim_end_matches('.'), metric.clone());
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let build: Family<Words<1>, Level> = register(&mut registry, BUILD, Family::default());
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        let reloads: Family<Words<1>, Counter> = register(&mut registry, RELOADS, Family::default());
        for result in ["loaded", "failed"] {
            reloads.get_or_create(&[("result", result)]).inc_by(0);
        }
        Self {
            reloads,
            requests: register(&mut registry, REQUESTS, Family::default()),
            rejected: register(&mut registry, REJECTED, Family::default()),
            lookups: register(&mut registry, LOOKUPS, Family::default()),
            closed: register(&mut registry, CONNECTIONS_CLOSED, Family::default()),
            duration: register(&mut registry, DURATION, Histogram::new(DURATION_BOUNDS)),
            body: register(&mut registry, BODY, Histogram::new(BODY_BOUNDS)),
            large_bodies: register(&mut registry, LARGE_BODIES, Level::default()),
            handshakes_failed: register(&mut registry, HANDSHAKES_FAILED, Counter::default()),
            in_flight: register(&mut registry, IN_FLIGHT, Level::default()),
            connections: register(&mut registry, CONNECTIONS, Level::default()),
            not_after: register(&mut registry, NOT_AFTER, Level::default()),
            accounts: register(&mut registry, ACCOUNTS, Level::default()),
            registry,
        }
    }
}

/// Decrements a gauge on drop.
pub struct Held<'a>(&'a Level);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// A review was answered.
    pub fn answered(&self, operation: &'static str, decision: &Decision, took: Duration, bytes: usize) {
        let labels = [
            ("operation", operation),
            ("outcome", decision.outcome()),
            ("reason", decision.reason()),
        ];
        self.requests.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
        self.body.observe(bytes as f64);
    }

    /// A request got an HTTP error instead of a review.
    pub fn rejected(&self, status: u16) {
        self.rejected.get_or_create(&[("code", status)]).inc();
    }

    /// A ServiceAccount was needed.
    pub fn looked_up(&self, lookup: Lookup) {
        self.lookups.get_or_create(&[("result", lookup.as_str())]).inc();
    }

    /// The number of accounts in memory changed.
    pub fn set_accounts(&self, count: usize) {
        self.accounts.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A changed pair was loaded; `not_after` is in seconds since 1970.
    pub fn certificate_loaded(&self, not_after: i64) {
        self.reloads.get_or_create(&[("result", "loaded")]).inc();
        self.not_after.set(not_after);
    }

    /// A changed pair could not be used.
    pub fn certificate_failed(&self) {
        self.reloads.get_or_create(&[("result", "failed")]).inc();
    }

    /// A connection ended before its TLS handshake was complete.
    pub fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    /// A request is being answered until the result is dropped.
    pub fn in_flight(&self) -> Held<'_> {
        self.in_flight.inc();
        Held(&self.in_flight)
    }

    /// A connection was accepted. Those of the plain port are not counted, since a scrape is one of them.
    pub fn opened(&self, port: Port) {
        if port == Port::Tls {
            self.connections.inc();
        }
    }

    /// A connection is gone.
    pub fn gone(&self, port: Port) {
        if port == Port::Tls {
            self.connections.dec();
        }
    }

    /// The webhook closed a connection.
    pub fn closed(&self, port: Port, reason: Closed) {
        let labels = [("port", port.as_str()), ("reason", reason.as_str())];
        self.closed.get_or_create(&labels).inc();
    }

    /// The memory in use for large bodies and responses changed by this many bytes.
    pub fn large_bodies(&self, difference: i64) {
        self.large_bodies.inc_by(difference);
    }

    /// The text for `/metrics`. A metric whose labels were never seen is not in it.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(4096);
        // Writing into a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::SkipReason;

    fn skip() -> Decision {
        Decision::Skip {
            reason: SkipReason::OptedOut,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn every_metric_of_the_reference_is_rendered_with_its_help() {
        let metrics = Metrics::default();
        metrics.answered("CREATE", &skip(), Duration::ZERO, 1);
        metrics.rejected(400);
        metrics.looked_up(Lookup::Live);
        metrics.closed(Port::Tls, Closed::Idle);
        let text = metrics.render();
        for Metric { name, kind, help } in reference() {
            assert!(
                text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")),
                "{name}"
            );
        }
        assert_eq!(text.matches("# TYPE").count(), reference().len());
    }

    #[test]
    fn buckets_are_cumulative() {
        let metrics = Metrics::default();
        for bytes in [1, 5000, 5_000_000] {
            metrics.answered("CREATE", &skip(), Duration::from_millis(2), bytes);
        }
        let text = metrics.render();
        assert!(text.contains("body_bytes_bucket{le=\"4096\"} 1\n"), "{text}");
        assert!(text.contains("body_bytes_bucket{le=\"4.194304e+06\"} 2\n"), "{text}");
        assert!(text.contains("body_bytes_bucket{le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("body_bytes_sum 5005001.0\n"), "{text}");
        assert!(
            text.contains("{operation=\"CREATE\",outcome=\"skipped\",reason=\"opted-out\"} 3\n"),
            "{text}"
        );
    }

    #[test]
    fn a_gauge_is_decremented_on_drop() {
        let metrics = Metrics::default();
        let held = metrics.in_flight();
        assert!(metrics.render().contains("ado_agent_webhook_requests_in_flight 1\n"));
        drop(held);
        assert!(metrics.render().contains("ado_agent_webhook_requests_in_flight 0\n"));
    }
}

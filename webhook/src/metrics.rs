//! What `/metrics` says, in Prometheus' text format. No label holds a name from the cluster, so the size is bounded.

mod family;
mod label;

pub use family::{Metric, reference};
pub use label::{Closed, Lookup, Port};

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use family::{
    ACCOUNTS, BODY, BUILD, CONNECTIONS, CONNECTIONS_CLOSED, DURATION, HANDSHAKES_FAILED, IN_FLIGHT, LARGE_BODIES,
    LOOKUPS, NOT_AFTER, REJECTED, RELOADS, REQUESTS,
};
use inject::Decision;

/// All counters of one webhook.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str, &'static str), u64>>,
    rejected: Mutex<BTreeMap<u16, u64>>,
    lookups: Mutex<BTreeMap<Lookup, u64>>,
    closed: Mutex<BTreeMap<(Port, Closed), u64>>,
    large_bodies: AtomicI64,
    duration: Histogram<7>,
    body: Histogram<6>,
    reloads_loaded: AtomicU64,
    reloads_failed: AtomicU64,
    handshakes_failed: AtomicU64,
    in_flight: AtomicI64,
    connections: AtomicI64,
    not_after: AtomicI64,
    accounts: AtomicI64,
}

const DURATION_BOUNDS: [f64; 7] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0];
const BODY_BOUNDS: [f64; 6] = [4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

/// Counts per bucket (the last one is without bound) and the sum in millionths.
struct Histogram<const N: usize> {
    buckets: [AtomicU64; N],
    above: AtomicU64,
    sum_millionths: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum_millionths: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn observe(&self, bounds: &[f64; N], value: f64) {
        let bucket = bounds.iter().zip(&self.buckets).find(|(bound, _)| value <= **bound);
        bucket
            .map_or(&self.above, |(_, count)| count)
            .fetch_add(1, Ordering::Relaxed);
        // Rounded down on purpose: a sum may lack a millionth an entry.
        self.sum_millionths.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    fn render(&self, out: &mut String, metric: Metric, bounds: &[f64; N]) {
        head(out, metric);
        let name = metric.name;
        let mut count = 0;
        for (bound, bucket) in bounds.iter().zip(&self.buckets) {
            count += bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        count += self.above.load(Ordering::Relaxed);
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let sum = self.sum_millionths.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {count}");
    }
}

fn head(out: &mut String, Metric { name, kind, help }: Metric) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn single(out: &mut String, metric: Metric, value: impl std::fmt::Display) {
    head(out, metric);
    let _ = writeln!(out, "{} {value}", metric.name);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lowers a gauge when it goes out of scope.
pub struct Held<'a>(&'a AtomicI64);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hold(gauge: &AtomicI64) -> Held<'_> {
    gauge.fetch_add(1, Ordering::Relaxed);
    Held(gauge)
}

impl Metrics {
    /// A review was answered.
    pub fn answered(&self, operation: &'static str, decision: &Decision, took: Duration, bytes: usize) {
        let labels = (operation, decision.outcome(), decision.reason());
        *lock(&self.requests).entry(labels).or_default() += 1;
        self.duration.observe(&DURATION_BOUNDS, took.as_secs_f64());
        self.body.observe(&BODY_BOUNDS, bytes as f64);
    }

    /// A request got an HTTP error instead of a review.
    pub fn rejected(&self, status: u16) {
        *lock(&self.rejected).entry(status).or_default() += 1;
    }

    /// A ServiceAccount was needed.
    pub fn looked_up(&self, lookup: Lookup) {
        *lock(&self.lookups).entry(lookup).or_default() += 1;
    }

    /// The number of accounts in memory changed.
    pub fn set_accounts(&self, count: usize) {
        self.accounts
            .store(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// A changed pair was loaded; `not_after` is in seconds since 1970.
    pub fn certificate_loaded(&self, not_after: i64) {
        self.reloads_loaded.fetch_add(1, Ordering::Relaxed);
        self.not_after.store(not_after, Ordering::Relaxed);
    }

    /// A changed pair could not be used.
    pub fn certificate_failed(&self) {
        self.reloads_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended before TLS was agreed.
    pub fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is being answered until the result is dropped.
    pub fn in_flight(&self) -> Held<'_> {
        hold(&self.in_flight)
    }

    /// A connection was accepted. Those of the plain port are not counted: whoever reads this is one of them.
    pub fn opened(&self, port: Port) {
        if port == Port::Tls {
            self.connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection is gone.
    pub fn gone(&self, port: Port) {
        if port == Port::Tls {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// We closed a connection.
    pub fn closed(&self, port: Port, reason: Closed) {
        *lock(&self.closed).entry((port, reason)).or_default() += 1;
    }

    /// So many bytes more are held for large bodies, or fewer.
    pub fn large_bodies(&self, difference: i64) {
        self.large_bodies.fetch_add(difference, Ordering::Relaxed);
    }

    /// The text for `/metrics`.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(4096);
        head(&mut out, REQUESTS);
        for ((operation, outcome, reason), count) in lock(&self.requests).iter() {
            let name = REQUESTS.name;
            let _ = writeln!(
                out,
                "{name}{{operation=\"{operation}\",outcome=\"{outcome}\",reason=\"{reason}\"}} {count}"
            );
        }
        head(&mut out, REJECTED);
        for (code, count) in lock(&self.rejected).iter() {
            let _ = writeln!(out, "{}{{code=\"{code}\"}} {count}", REJECTED.name);
        }
        self.duration.render(&mut out, DURATION, &DURATION_BOUNDS);
        self.body.render(&mut out, BODY, &BODY_BOUNDS);
        single(&mut out, IN_FLIGHT, self.in_flight.load(Ordering::Relaxed));
        single(&mut out, CONNECTIONS, self.connections.load(Ordering::Relaxed));
        head(&mut out, CONNECTIONS_CLOSED);
        for ((port, reason), count) in lock(&self.closed).iter() {
            let (name, port, reason) = (CONNECTIONS_CLOSED.name, port.as_str(), reason.as_str());
            let _ = writeln!(out, "{name}{{port=\"{port}\",reason=\"{reason}\"}} {count}");
        }
        single(&mut out, LARGE_BODIES, self.large_bodies.load(Ordering::Relaxed));
        single(
            &mut out,
            HANDSHAKES_FAILED,
            self.handshakes_failed.load(Ordering::Relaxed),
        );
        head(&mut out, RELOADS);
        for (result, count) in [("loaded", &self.reloads_loaded), ("failed", &self.reloads_failed)] {
            let _ = writeln!(
                out,
                "{}{{result=\"{result}\"}} {}",
                RELOADS.name,
                count.load(Ordering::Relaxed)
            );
        }
        single(&mut out, NOT_AFTER, self.not_after.load(Ordering::Relaxed));
        head(&mut out, LOOKUPS);
        for (lookup, count) in lock(&self.lookups).iter() {
            let _ = writeln!(out, "{}{{result=\"{}\"}} {count}", LOOKUPS.name, lookup.as_str());
        }
        single(&mut out, ACCOUNTS, self.accounts.load(Ordering::Relaxed));
        head(&mut out, BUILD);
        let _ = writeln!(out, "{}{{version=\"{}\"}} 1", BUILD.name, env!("CARGO_PKG_VERSION"));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::SkipReason;

    #[test]
    fn every_metric_of_the_reference_is_rendered_with_its_help() {
        let text = Metrics::default().render();
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
        let skip = Decision::Skip {
            reason: SkipReason::OptedOut,
            warnings: Vec::new(),
        };
        for bytes in [1, 5000, 5_000_000] {
            metrics.answered("CREATE", &skip, Duration::from_millis(2), bytes);
        }
        let text = metrics.render();
        assert!(text.contains("body_bytes_bucket{le=\"4096\"} 1\n"), "{text}");
        assert!(text.contains("body_bytes_bucket{le=\"4194304\"} 2\n"), "{text}");
        assert!(text.contains("body_bytes_bucket{le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("body_bytes_sum 5005001\n"), "{text}");
        assert!(
            text.contains("{operation=\"CREATE\",outcome=\"skipped\",reason=\"opted-out\"} 3\n"),
            "{text}"
        );
    }

    #[test]
    fn a_gauge_falls_when_its_holder_goes() {
        let metrics = Metrics::default();
        let held = metrics.in_flight();
        assert!(metrics.render().contains("ado_agent_webhook_requests_in_flight 1\n"));
        drop(held);
        assert!(metrics.render().contains("ado_agent_webhook_requests_in_flight 0\n"));
    }
}

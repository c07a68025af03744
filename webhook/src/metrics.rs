//! What `/metrics` says, in Prometheus' text format. No label holds a name from the cluster, so the size is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use inject::Decision;

/// One metric, as it stands in `/metrics` and in the reference.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it counts, with its labels.
    pub help: &'static str,
}

const REQUESTS: Metric = Metric {
    name: "ado_agent_webhook_requests_total",
    kind: "counter",
    help: "Reviews that were answered, by operation, outcome (injected, skipped, denied) and reason.",
};
const REJECTED: Metric = Metric {
    name: "ado_agent_webhook_rejected_total",
    kind: "counter",
    help: "HTTP requests to /mutate that were no review or could not be answered, by HTTP status (code).",
};
const DURATION: Metric = Metric {
    name: "ado_agent_webhook_request_duration_seconds",
    kind: "histogram",
    help: "Time from the complete body of a review to its answer.",
};
const BODY: Metric = Metric {
    name: "ado_agent_webhook_request_body_bytes",
    kind: "histogram",
    help: "Size of reviews.",
};
const IN_FLIGHT: Metric = Metric {
    name: "ado_agent_webhook_requests_in_flight",
    kind: "gauge",
    help: "Requests to /mutate that are being answered.",
};
const CONNECTIONS: Metric = Metric {
    name: "ado_agent_webhook_connections",
    kind: "gauge",
    help: "Open TLS connections, handshakes included.",
};
const CONNECTIONS_CLOSED: Metric = Metric {
    name: "ado_agent_webhook_connections_closed_total",
    kind: "counter",
    help: "Connections that the webhook closed, by port (tls, plain) and reason: never-asked (no request in time), slow-head, idle, unread (the answer), evicted (for a newcomer, or for its share of the memory), no-room (the newcomer).",
};
const LARGE_BODIES: Metric = Metric {
    name: "ado_agent_webhook_large_bodies_bytes",
    kind: "gauge",
    help: "Memory that is held for reviews and answers of more than 32 KiB.",
};
const HANDSHAKES_FAILED: Metric = Metric {
    name: "ado_agent_webhook_tls_handshakes_failed_total",
    kind: "counter",
    help: "Connections that ended before TLS was agreed.",
};
const RELOADS: Metric = Metric {
    name: "ado_agent_webhook_tls_reload_total",
    kind: "counter",
    help: "Certificate pairs that were found changed, by result: loaded, or failed (the old pair stays in use).",
};
const NOT_AFTER: Metric = Metric {
    name: "ado_agent_webhook_cert_not_after_seconds",
    kind: "gauge",
    help: "End of the serving certificate's validity in seconds since 1970; 0 while there is none.",
};
const LOOKUPS: Metric = Metric {
    name: "ado_agent_webhook_account_lookups_total",
    kind: "counter",
    help: "ServiceAccounts that a decision needed, by result: cached, live, missing, remembered (a recent miss) or unreadable.",
};
const ACCOUNTS: Metric = Metric {
    name: "ado_agent_webhook_accounts_cached",
    kind: "gauge",
    help: "ServiceAccounts with a client id that are held in memory.",
};
const BUILD: Metric = Metric {
    name: "ado_agent_webhook_build_info",
    kind: "gauge",
    help: "Always 1; the version is a label.",
};

const ALL: [Metric; 14] = [
    REQUESTS,
    REJECTED,
    DURATION,
    BODY,
    IN_FLIGHT,
    CONNECTIONS,
    CONNECTIONS_CLOSED,
    LARGE_BODIES,
    HANDSHAKES_FAILED,
    RELOADS,
    NOT_AFTER,
    LOOKUPS,
    ACCOUNTS,
    BUILD,
];

/// Every metric, for the reference.
pub fn reference() -> &'static [Metric] {
    &ALL
}

/// Where the answer about a ServiceAccount came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// From the watch.
    Cached,
    /// From a read of its own.
    Live,
    /// From a read that found no such account.
    Missing,
    /// From a read of the last seconds that found no client id or no account.
    Remembered,
    /// The API server gave no answer.
    Unreadable,
}

impl Lookup {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Live => "live",
            Self::Missing => "missing",
            Self::Remembered => "remembered",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One of the two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Of `/mutate`.
    Tls,
    /// Of probes and metrics.
    Plain,
}

impl Port {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Plain => "plain",
        }
    }
}

/// Why the webhook closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closed {
    /// No request came in time.
    NeverAsked,
    /// The head of a request began and did not end.
    SlowHead,
    /// There was no request for long.
    Idle,
    /// The client did not read its answer.
    Unread,
    /// Another one needed its place or its share of the memory.
    Evicted,
    /// It was the newcomer, and every other connection was being answered.
    NoRoom,
}

impl Closed {
    fn as_str(self) -> &'static str {
        match self {
            Self::NeverAsked => "never-asked",
            Self::SlowHead => "slow-head",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Evicted => "evicted",
            Self::NoRoom => "no-room",
        }
    }
}

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

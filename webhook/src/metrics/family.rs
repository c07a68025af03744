//! The metrics by name, as `/metrics` and the reference have them.

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

pub(super) const REQUESTS: Metric = Metric {
    name: "ado_agent_webhook_requests_total",
    kind: "counter",
    help: "Reviews that were answered, by operation, outcome (injected, skipped, denied) and reason.",
};
pub(super) const REJECTED: Metric = Metric {
    name: "ado_agent_webhook_rejected_total",
    kind: "counter",
    help: "HTTP requests to /mutate that were not a review or could not be answered, by HTTP status (code).",
};
pub(super) const DURATION: Metric = Metric {
    name: "ado_agent_webhook_request_duration_seconds",
    kind: "histogram",
    help: "Time from the complete body of a review to its response, in seconds.",
};
pub(super) const BODY: Metric = Metric {
    name: "ado_agent_webhook_request_body_bytes",
    kind: "histogram",
    help: "Size of reviews in bytes.",
};
pub(super) const IN_FLIGHT: Metric = Metric {
    name: "ado_agent_webhook_requests_in_flight",
    kind: "gauge",
    help: "Requests to /mutate that are being answered.",
};
pub(super) const CONNECTIONS: Metric = Metric {
    name: "ado_agent_webhook_connections",
    kind: "gauge",
    help: "Open TLS connections, handshakes included.",
};
pub(super) const CONNECTIONS_CLOSED: Metric = Metric {
    name: "ado_agent_webhook_connections_closed_total",
    kind: "counter",
    help: "Connections that the webhook closed, by port (tls, plain) and reason: no-request (none in time), slow-head, idle, unread (the response), evicted (for a new connection, or for its share of the memory), no-room (a new connection, while all others were being answered).",
};
pub(super) const LARGE_BODIES: Metric = Metric {
    name: "ado_agent_webhook_large_bodies_bytes",
    kind: "gauge",
    help: "Memory in use for reviews and responses of more than 32 KiB, in bytes.",
};
pub(super) const HANDSHAKES_FAILED: Metric = Metric {
    name: "ado_agent_webhook_tls_handshakes_failed_total",
    kind: "counter",
    help: "Connections that ended before their TLS handshake was complete.",
};
pub(super) const RELOADS: Metric = Metric {
    name: "ado_agent_webhook_tls_reload_total",
    kind: "counter",
    help: "Changed certificate pairs, by result: loaded, or failed (the previous pair, if any, stays in use).",
};
pub(super) const NOT_AFTER: Metric = Metric {
    name: "ado_agent_webhook_cert_not_after_seconds",
    kind: "gauge",
    help: "End of the serving certificate's validity in seconds since 1970; 0 while there is none.",
};
pub(super) const LOOKUPS: Metric = Metric {
    name: "ado_agent_webhook_account_lookups_total",
    kind: "counter",
    help: "ServiceAccounts that a decision needed, by result: cached, live, missing, cached-miss (not there, or without a client ID, seconds ago) or unreadable.",
};
pub(super) const ACCOUNTS: Metric = Metric {
    name: "ado_agent_webhook_accounts_cached",
    kind: "gauge",
    help: "ServiceAccounts with a client ID in the cache.",
};
pub(super) const BUILD: Metric = Metric {
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

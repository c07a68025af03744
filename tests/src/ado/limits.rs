//! Rate limits: headers first, then 429.

use crate::clock::Timestamp;
use crate::http::Reply;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// How much one identity may ask. The real limit counts consumption (200 units in five minutes), this one requests.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Requests within the window.
    pub requests: usize,
    /// The sliding window.
    pub window: Duration,
}

/// What each identity asked lately.
#[derive(Debug, Default)]
pub(super) struct Limits {
    limit: Mutex<Option<RateLimit>>,
    asked: Mutex<HashMap<String, Vec<Timestamp>>>,
}

/// What an identity has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    limit: RateLimit,
    used: usize,
    /// When the oldest request leaves the window.
    reset: Timestamp,
}

impl Limits {
    pub(super) fn set(&self, limit: Option<RateLimit>) {
        *self.limit.lock().expect("limits do not panic") = limit;
        self.asked.lock().expect("limits do not panic").clear();
    }

    /// Counts a request; `None` where there is no limit.
    pub(super) fn spend(&self, identity: &str, now: Timestamp) -> Option<Budget> {
        let limit = (*self.limit.lock().expect("limits do not panic"))?;
        let mut asked = self.asked.lock().expect("limits do not panic");
        let times = asked.entry(identity.to_owned()).or_default();
        times.retain(|time| time.plus(limit.window) > now);
        // A blocked request costs nothing, or nobody would ever come back.
        let used = times.len() + 1;
        if used <= limit.requests {
            times.push(now);
        }
        let oldest = times.first().copied().unwrap_or(now);
        Some(Budget {
            limit,
            used,
            reset: oldest.plus(limit.window),
        })
    }
}

impl Budget {
    pub(super) fn is_exceeded(&self) -> bool {
        self.used > self.limit.requests
    }

    /// The headers, from half of the budget on.
    pub(super) fn decorate(&self, reply: &mut Reply, now: Timestamp) {
        if self.used * 2 < self.limit.requests {
            return;
        }
        let left = self.limit.requests.saturating_sub(self.used);
        let wait = (self.reset.0 - now.0 + 999) / 1000;
        reply.headers.extend([
            ("x-ratelimit-resource", "emulator/requests".to_owned()),
            ("x-ratelimit-limit", self.limit.requests.to_string()),
            ("x-ratelimit-remaining", left.to_string()),
            ("x-ratelimit-reset", self.reset.seconds().to_string()),
        ]);
        if self.is_exceeded() {
            reply.headers.push(("x-ratelimit-delay", wait.to_string()));
            reply.headers.push(("retry-after", wait.to_string()));
        }
    }
}

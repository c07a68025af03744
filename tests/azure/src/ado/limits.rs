//! Rate limits: headers first, then answers that come late, then 429 (Azure DevOps documentation, "Rate and usage limits").

use crate::clock::Timestamp;
use crate::http::Reply;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// How much one identity may ask. The real limit counts consumption (200 units in five minutes), this one requests. As JSON:
/// `{"requests": 100, "window_seconds": 300, "delayed": 20, "delay_millis": 2000}`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests within the window that are answered at once.
    pub requests: usize,
    /// The sliding window, in seconds.
    pub window_seconds: u64,
    /// How many more are answered late, with `Retry-After` and `X-RateLimit-Delay`, before any is blocked.
    #[serde(default)]
    pub delayed: usize,
    /// How late, in milliseconds. The real service goes up to 30 seconds.
    #[serde(default)]
    pub delay_millis: u64,
}

impl RateLimit {
    fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds)
    }
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
        times.retain(|time| time.plus(limit.window()) > now);
        // A blocked request costs nothing, or nobody would ever come back.
        let used = times.len() + 1;
        if used <= limit.requests + limit.delayed {
            times.push(now);
        }
        let oldest = times.first().copied().unwrap_or(now);
        Some(Budget {
            limit,
            used,
            reset: oldest.plus(limit.window()),
        })
    }
}

impl Budget {
    pub(super) fn is_exceeded(&self) -> bool {
        self.used > self.limit.requests + self.limit.delayed
    }

    /// By how much the answer is late, if it is.
    pub(super) fn delay(&self) -> Option<Duration> {
        let late = self.used > self.limit.requests && !self.is_exceeded();
        late.then_some(Duration::from_millis(self.limit.delay_millis))
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
        if self.used > self.limit.requests {
            let delay = self
                .delay()
                .map_or_else(|| wait.to_string(), |delay| delay.as_secs_f64().to_string());
            reply.headers.push(("x-ratelimit-delay", delay));
            reply.headers.push(("retry-after", wait.to_string()));
        }
    }
}

//! `/livez` and `/readyz`: whether rounds are made, and whether the last ones had success. `/metrics` beside them.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use observe::Metrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Rounds without a sign of life, beyond a fixed time, after which a restart may help.
const MISSED_ROUNDS: u32 = 10;
/// See [`MISSED_ROUNDS`]: a round may wait for slow answers.
const SLOW: Duration = Duration::from_secs(1_200);

/// How it goes.
#[derive(Debug)]
pub struct Health {
    patience: Duration,
    state: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    last_round: Instant,
    rounds: u64,
    problems: BTreeMap<String, String>,
}

impl Health {
    /// With a round in each interval.
    pub fn new(interval: Duration) -> Self {
        Self {
            patience: interval * MISSED_ROUNDS + SLOW,
            state: Mutex::new(Progress {
                last_round: Instant::now(),
                rounds: 0,
                problems: BTreeMap::new(),
            }),
        }
    }

    /// A round ended with these problems, by subject.
    pub fn round(&self, problems: BTreeMap<String, String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_round = Instant::now();
        state.rounds += 1;
        state.problems = problems;
    }

    /// Whether rounds are still made.
    ///
    /// # Errors
    /// For how long none was.
    pub fn live(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.last_round.elapsed();
        if since < self.patience {
            Ok(())
        } else {
            Err(format!("no round for {} s", since.as_secs()))
        }
    }

    /// Whether the last round had success.
    ///
    /// # Errors
    /// There was none yet, or what was wrong.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.rounds == 0 {
            return Err("no round has ended yet".to_owned());
        }
        let problems: Vec<String> = state
            .problems
            .iter()
            .map(|(subject, problem)| format!("{subject}: {problem}"))
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }
}

fn answer(result: Result<(), String>, what: &str) -> (StatusCode, String) {
    match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("not {what}: {problem}\n")),
    }
}

/// Serves until the listener fails.
pub(super) async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let router = Router::new()
        .route(
            "/livez",
            get(async |State(health): State<Arc<Health>>| answer(health.live(), "live")),
        )
        .route(
            "/readyz",
            get(async |State(health): State<Arc<Health>>| answer(health.ready(), "ready")),
        )
        .with_state(health)
        .route(
            "/metrics",
            get(async move || ([(CONTENT_TYPE, observe::CONTENT_TYPE)], metrics.render())),
        );
    axum::serve(listener, router).await
}

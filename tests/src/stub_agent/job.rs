//! One job: its lock is renewed while it runs, then it is finished. Nothing is executed (`JobDispatcher.cs`).

use super::client::Server;
use super::{complain, pause, say};
use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What the server asks for.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) request: i64,
    pub(super) name: String,
    /// How long the job runs: a job of the emulator says so, a real one has steps instead.
    duration: Duration,
}

impl Assignment {
    /// Reads the body of a job message, a string of JSON.
    pub(super) fn parse(message: &Value) -> anyhow::Result<Self> {
        let body = message["body"].as_str().context("the message has no body")?;
        let body: Value = serde_json::from_str(body).context("the body is no JSON")?;
        let milliseconds = body["variables"]["stub.milliseconds"]["value"]
            .as_str()
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        Ok(Self {
            request: body["requestId"].as_i64().context("the body has no requestId")?,
            name: body["jobName"].as_str().unwrap_or("job").to_owned(),
            duration: Duration::from_millis(milliseconds),
        })
    }
}

/// Runs the job until it ends, is cancelled or loses its lock.
pub(super) async fn run(server: Arc<Server>, pool: String, job: Assignment, mut cancelled: watch::Receiver<bool>) {
    let path = format!(
        "{pool}/jobrequests/{}?lockToken=00000000-0000-0000-0000-000000000000",
        job.request
    );
    if !first_lock(&server, &path, job.request).await {
        return;
    }
    let result = tokio::select! {
        () = tokio::time::sleep(job.duration) => Some("succeeded"),
        _ = cancelled.wait_for(|cancelled| *cancelled) => Some("canceled"),
        () = keep_locked(&server, &path, job.request) => None,
    };
    let Some(result) = result else { return };
    let body = json!({ "requestId": job.request, "finishTime": rfc3339(super::now()), "result": result });
    match server.call(Method::PATCH, &path, Some(&body)).await {
        Ok(_) => say(&format!("Job {} completed with result: {result}", job.name)),
        Err(error) => complain(&format!("Job {} could not be completed. {error}", job.name)),
    }
}

/// The first renewal must succeed within five attempts.
async fn first_lock(server: &Server, path: &str, request: i64) -> bool {
    for _ in 0..5 {
        match server.once(Method::PATCH, path, Some(&json!({ "requestId": request }))).await {
            Ok(answer) if answer["lockedUntil"].is_string() => return true,
            Ok(_) => complain("The lock of the job has no end"),
            Err(error) => complain(&format!("Failed to renew the lock of the job. {error}")),
        }
        tokio::time::sleep(pause(Duration::from_secs(5))).await;
    }
    false
}

/// Renews every 60 s; returns when the server says that the lock is lost.
async fn keep_locked(server: &Server, path: &str, request: i64) {
    loop {
        tokio::time::sleep(pause(Duration::from_secs(60))).await;
        if let Err(error) = server.once(Method::PATCH, path, Some(&json!({ "requestId": request }))).await {
            complain(&format!("Failed to renew the lock of the job. {error}"));
            if matches!(error.type_key(), "TaskAgentJobNotFoundException" | "TaskAgentJobTokenExpiredException") {
                return;
            }
        }
    }
}

/// A point in time as the service writes it.
fn rfc3339(seconds: i64) -> String {
    // Days to a civil date, after Howard Hinnant's public-domain "chrono-compatible low-level date algorithms".
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_time_as_the_service_does() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_440_599), "2026-11-23T12:09:59Z");
    }
}

//! One job as the listener sees it (`JobDispatcher.cs`): its lock is renewed while a worker runs it; what the worker does not
//! finish itself, the listener does.

use crate::client::Server;
use crate::files::Root;
use crate::worker::{self, Outcome, Worker};
use crate::{complain, pause, say};
use anyhow::Context;
use azure_emulators::clock::{Clock, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The first renewal of the lock is tried once and five times more.
const FIRST_RETRIES: u32 = 5;
/// Between renewals.
const RENEWAL: Duration = Duration::from_secs(60);
/// Renewals that fail are tried again until so long after the lock's end.
const AFTER_THE_LOCK: Duration = Duration::from_secs(300);
/// From this version on the worker finishes the job (`PlanUtil.cs`).
const WORKER_FINISHES: u64 = 8;

/// What the server asks for.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) request: i64,
    /// Id of the job.
    pub(crate) job: String,
    pub(crate) name: String,
    plan_version: u64,
    /// The whole message, for the worker.
    body: Value,
}

impl Assignment {
    /// Reads the body of a job message, a string of JSON. What the real listener cannot do without has to be there.
    pub(crate) fn parse(message: &Value) -> anyhow::Result<Self> {
        let body = message["body"].as_str().context("the message has no body")?;
        let body: Value = serde_json::from_str(body).context("the body is no JSON")?;
        anyhow::ensure!(body["variables"].is_object(), "the body has no variables");
        worker::system_connection(&body).context("the body has no endpoint SystemVssConnection")?;
        Ok(Self {
            request: body["requestId"].as_i64().context("the body has no requestId")?,
            job: body["jobId"].as_str().context("the body has no jobId")?.to_owned(),
            name: body["jobDisplayName"].as_str().unwrap_or("job").to_owned(),
            plan_version: body["plan"]["version"]
                .as_u64()
                .context("the body has no plan.version")?,
            body,
        })
    }
}

/// A job and all that running it takes.
pub(crate) struct Job {
    pub(crate) server: Arc<Server>,
    pub(crate) pool: String,
    pub(crate) root: Root,
    /// Where its steps run.
    pub(crate) folder: PathBuf,
    pub(crate) assignment: Assignment,
    pub(crate) once: bool,
}

impl Job {
    /// Runs the job until its worker ends. A job whose lock was never renewed is given up without a word to the server.
    pub(crate) async fn run(&self, mut canceled: watch::Receiver<bool>) {
        let Some(locked_until) = self.first_lock().await else {
            return;
        };
        let mut worker = match Worker::start(&self.root, &self.assignment.body, &self.folder, self.once).await {
            Ok(worker) => worker,
            Err(error) => return complain(&format!("The worker cannot be started: {error:#}")),
        };
        let lost = self.keep_locked(locked_until);
        tokio::pin!(lost);
        let (mut outcome, mut is_locked) = (None, true);
        let ended = loop {
            tokio::select! {
                ended = worker.ended() => break ended,
                () = &mut lost, if is_locked => {
                    is_locked = false;
                    outcome.get_or_insert(Outcome::Abandoned);
                    worker.cancel().await;
                }
                () = is_set(&mut canceled), if outcome.is_none() => {
                    outcome = Some(Outcome::Canceled);
                    worker.cancel().await;
                }
            }
        };
        let outcome = outcome.unwrap_or(ended);
        say(&format!(
            "Job {} completed with result: {outcome}",
            self.assignment.name
        ));
        if self.assignment.plan_version >= WORKER_FINISHES {
            return;
        }
        let body = json!({
            "requestId": self.assignment.request,
            "finishTime": Clock::new().now().iso(),
            "result": outcome as u8,
        });
        if let Err(error) = self.server.call(Method::PATCH, &self.path(), Some(&body)).await {
            complain(&format!("Job {} could not be completed. {error}", self.assignment.name));
        }
    }

    fn path(&self) -> String {
        let request = self.assignment.request;
        format!(
            "{}/jobrequests/{request}?lockToken=00000000-0000-0000-0000-000000000000",
            self.pool
        )
    }

    async fn renew(&self) -> Result<Timestamp, crate::client::Error> {
        let body = json!({ "requestId": self.assignment.request, "data": {}, "agentDelays": [] });
        let answer = self.server.call(Method::PATCH, &self.path(), Some(&body)).await?;
        answer["lockedUntil"]
            .as_str()
            .and_then(Timestamp::parse)
            .ok_or_else(|| crate::client::Error::Answer("the lock of the job has no end".to_owned()))
    }

    async fn first_lock(&self) -> Option<Timestamp> {
        for left in (0..=FIRST_RETRIES).rev() {
            match self.renew().await {
                Ok(until) => return Some(until),
                Err(error) => {
                    complain(&format!("Failed to renew the lock of the job. {error}"));
                    if is_lost(&error) {
                        return None;
                    }
                }
            }
            if left > 0 {
                tokio::time::sleep(pause(Duration::from_secs(5))).await;
            }
        }
        None
    }

    /// Renews every minute; returns when the lock is lost.
    async fn keep_locked(&self, mut locked_until: Timestamp) {
        let mut failures = 0;
        loop {
            let wait = match failures {
                0 => RENEWAL,
                1..=5 => Duration::from_secs(10),
                _ => Duration::from_secs(22),
            };
            tokio::time::sleep(pause(wait)).await;
            match self.renew().await {
                Ok(until) => (locked_until, failures) = (until, 0),
                Err(error) => {
                    complain(&format!("Failed to renew the lock of the job. {error}"));
                    failures += 1;
                    if is_lost(&error) || Clock::new().now() > locked_until.plus(AFTER_THE_LOCK) {
                        return;
                    }
                }
            }
        }
    }
}

/// Resolves when the job is to be canceled.
async fn is_set(canceled: &mut watch::Receiver<bool>) {
    if canceled.wait_for(|canceled| *canceled).await.is_err() {
        std::future::pending().await
    }
}

/// Whether the server says that the lock is somebody else's or nobody's.
fn is_lost(error: &crate::client::Error) -> bool {
    matches!(
        error.type_key(),
        "TaskAgentJobNotFoundException" | "TaskAgentJobTokenExpiredException"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_message_needs_what_the_listener_reads() {
        let whole = json!({
            "requestId": 7, "jobId": "j", "jobDisplayName": "build", "variables": {}, "plan": { "version": 8 },
            "resources": { "endpoints": [{ "name": "SystemVssConnection", "url": "https://a/" }] },
        });
        let parse = |body: &Value| Assignment::parse(&json!({ "body": body.to_string() }));
        let assignment = parse(&whole).unwrap();
        assert_eq!((assignment.request, assignment.name.as_str()), (7, "build"));
        for member in ["requestId", "jobId", "variables", "plan", "resources"] {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(member);
            assert!(parse(&without).is_err(), "{member}");
        }
    }
}

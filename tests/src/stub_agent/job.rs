//! One job: its lock is renewed while its script steps run, then it is finished (`JobDispatcher.cs`). Other tasks than
//! scripts, logs and timelines are not there.

use super::client::Server;
use super::{complain, pause, say};
use crate::clock::Clock;
use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::watch;

/// What the server asks for.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) request: i64,
    pub(super) name: String,
    /// The steps that are shell scripts.
    scripts: Vec<String>,
}

impl Assignment {
    /// Reads the body of a job message, a string of JSON.
    pub(super) fn parse(message: &Value) -> anyhow::Result<Self> {
        let body = message["body"].as_str().context("the message has no body")?;
        let body: Value = serde_json::from_str(body).context("the body is no JSON")?;
        let steps = body["steps"].as_array().into_iter().flatten();
        Ok(Self {
            request: body["requestId"].as_i64().context("the body has no requestId")?,
            name: body["jobDisplayName"].as_str().unwrap_or("job").to_owned(),
            scripts: steps
                .filter_map(|step| step["inputs"]["script"].as_str())
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// Runs the job until it ends, is cancelled or loses its lock.
pub(super) async fn run(
    server: Arc<Server>,
    pool: String,
    folder: PathBuf,
    job: Assignment,
    mut cancelled: watch::Receiver<bool>,
) {
    let path = format!(
        "{pool}/jobrequests/{}?lockToken=00000000-0000-0000-0000-000000000000",
        job.request
    );
    if !first_lock(&server, &path, job.request).await {
        return;
    }
    let result = tokio::select! {
        succeeded = run_steps(&folder, &job.scripts) => Some(if succeeded { "succeeded" } else { "failed" }),
        _ = cancelled.wait_for(|cancelled| *cancelled) => Some("canceled"),
        () = keep_locked(&server, &path, job.request) => None,
    };
    let Some(result) = result else { return };
    let body = json!({ "requestId": job.request, "finishTime": Clock::new().now().iso(), "result": result });
    match server.call(Method::PATCH, &path, Some(&body)).await {
        Ok(_) => say(&format!("Job {} completed with result: {result}", job.name)),
        Err(error) => complain(&format!("Job {} could not be completed. {error}", job.name)),
    }
}

/// The first renewal must succeed within five attempts.
async fn first_lock(server: &Server, path: &str, request: i64) -> bool {
    for _ in 0..5 {
        match server
            .once(Method::PATCH, path, Some(&json!({ "requestId": request })))
            .await
        {
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
        if let Err(error) = server
            .once(Method::PATCH, path, Some(&json!({ "requestId": request })))
            .await
        {
            complain(&format!("Failed to renew the lock of the job. {error}"));
            if matches!(
                error.type_key(),
                "TaskAgentJobNotFoundException" | "TaskAgentJobTokenExpiredException"
            ) {
                return;
            }
        }
    }
}

/// Runs the steps one after the other; true where all end with 0.
async fn run_steps(folder: &Path, scripts: &[String]) -> bool {
    for script in scripts {
        let started = Command::new("bash")
            .args(["-c", script])
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .process_group(0)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                complain(&format!("bash cannot be started: {error}"));
                return false;
            }
        };
        let _group = Group(child.id());
        if !child.wait().await.is_ok_and(|status| status.success()) {
            return false;
        }
    }
    true
}

/// A step's process group, which ends with the step.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let id = self
            .0
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // Usually there is nothing left.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_scripts_of_a_job_message() {
        let body =
            json!({ "requestId": 7, "jobDisplayName": "build", "steps": [{ "inputs": { "script": "echo hi" } }, {}] });
        let assignment = Assignment::parse(&json!({ "body": body.to_string() })).unwrap();
        assert_eq!((assignment.request, assignment.name.as_str()), (7, "build"));
        assert_eq!(assignment.scripts, ["echo hi"]);
        assert!(Assignment::parse(&json!({ "body": "{}" })).is_err());
    }

    #[tokio::test]
    async fn a_job_fails_with_its_first_failing_step() {
        let folder = tempfile::tempdir().unwrap();
        let run = async |scripts: &[&str]| {
            let scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
            run_steps(folder.path(), &scripts).await
        };
        assert!(run(&["touch a", "test -e a"]).await);
        assert!(!run(&["exit 2", "touch b"]).await);
        assert!(!folder.path().join("b").exists());
    }
}

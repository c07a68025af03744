//! `Agent.Worker`: runs the shell steps of one job in a process of its own, so that it outlives a listener that dies. Other
//! tasks than scripts, logs and timelines are not there.

use crate::files::Root;
use crate::{Code, complain};
use anyhow::Context;
use reqwest::header::CONTENT_TYPE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long a step that is canceled gets after SIGINT, and after SIGTERM, before SIGKILL. These are never shortened: they
/// decide what fits into a pod's grace period.
const AFTER_INTERRUPT: Duration = Duration::from_millis(7500);
const AFTER_TERMINATION: Duration = Duration::from_millis(2500);
/// How long a step's output is waited for when its first process has ended: what that started may hold it open. With a
/// process that does not heed SIGINT and a child that lives on, canceling takes 12.5 s.
const AFTER_EXIT: Duration = Duration::from_secs(5);
/// Added to the result, so that an exit code below tells a worker that failed.
const EXIT_CODE_OFFSET: u8 = 100;
/// Marks a job's processes; those that are left when it ends are killed.
const LOOKUP_VARIABLE: &str = "VSTS_PROCESS_LOOKUP_ID";
const CANCEL: &str = "cancel";

/// A job's result, with its number (`TaskResult`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded = 0,
    Failed = 2,
    Canceled = 3,
    Abandoned = 5,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A worker as its listener sees it.
pub(crate) struct Worker {
    process: Child,
    channel: ChildStdin,
}

impl Worker {
    /// Starts a worker with the body of a job message.
    pub(crate) async fn start(root: &Root, body: &Value, folder: &Path, once: bool) -> anyhow::Result<Self> {
        let mut process = Command::new(root.directory().join("bin/Agent.Worker"))
            .arg("spawnclient")
            .stdin(Stdio::piped())
            .spawn()?;
        let mut channel = process.stdin.take().context("the worker has a standard input")?;
        let message = json!({ "body": body, "folder": folder, "isShuttingDown": once });
        channel.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(Self { process, channel })
    }

    /// Asks it to cancel the job.
    pub(crate) async fn cancel(&mut self) {
        // It may have ended in between.
        let _ = self.channel.write_all(format!("{CANCEL}\n").as_bytes()).await;
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Outcome {
        let code = self.process.wait().await.ok().and_then(|status| status.code());
        let outcomes = [Outcome::Succeeded, Outcome::Canceled];
        let is = |outcome: &Outcome| code == Some(i32::from(EXIT_CODE_OFFSET + *outcome as u8));
        outcomes.into_iter().find(is).unwrap_or(Outcome::Failed)
    }
}

/// The process: reads the job from its standard input, runs it, and says by its exit code what came of it.
pub(crate) async fn main() -> ExitCode {
    let mut channel = standard_input();
    let job = channel.recv().await;
    let Some(job) = job.and_then(|line| serde_json::from_str::<Value>(&line).ok()) else {
        complain("a worker gets its job from its listener");
        return Code::Failed.into();
    };
    let (body, folder) = (&job["body"], job["folder"].as_str().unwrap_or("."));
    let lookup = format!("vsts_{}", crate::uuid());
    let outcome = run_steps(Path::new(folder), &scripts(body), &lookup, &mut channel).await;
    if let Err(error) = finish(body, outcome, job["isShuttingDown"] == true).await {
        complain(&format!("The job could not be completed. {error:#}"));
    }
    ExitCode::from(EXIT_CODE_OFFSET + outcome as u8)
}

/// The steps that are shell scripts.
fn scripts(body: &Value) -> Vec<String> {
    let steps = body["steps"].as_array().into_iter().flatten();
    let scripts = steps.filter_map(|step| step["inputs"]["script"].as_str());
    scripts.map(str::to_owned).collect()
}

/// Lines of the standard input. The thread ends with the process.
fn standard_input() -> mpsc::UnboundedReceiver<String> {
    let (sender, channel) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    channel
}

/// Runs the steps one after the other, up to the first that fails.
async fn run_steps(
    folder: &Path,
    scripts: &[String],
    lookup: &str,
    channel: &mut mpsc::UnboundedReceiver<String>,
) -> Outcome {
    for script in scripts {
        let mut step = match Step::start(folder, script, lookup) {
            Ok(step) => step,
            Err(error) => {
                complain(&format!("bash cannot be started: {error}"));
                return Outcome::Failed;
            }
        };
        let succeeded = tokio::select! {
            succeeded = step.ended() => succeeded,
            () = canceled(channel) => {
                step.cancel().await;
                return Outcome::Canceled;
            }
        };
        if !succeeded {
            kill_those_left(lookup);
            return Outcome::Failed;
        }
    }
    kill_those_left(lookup);
    Outcome::Succeeded
}

/// A shell step that runs.
struct Step {
    pid: Option<Pid>,
    /// Ends with whether the first process succeeded, once its output has ended, too.
    end: JoinHandle<bool>,
}

impl Step {
    /// Its output goes through the worker, as the real one sends it to the timeline.
    fn start(folder: &Path, script: &str, lookup: &str) -> std::io::Result<Self> {
        let (mut output, writer) = std::io::pipe()?;
        let mut process = Command::new("bash")
            .args(["-c", script])
            .current_dir(folder)
            .env(LOOKUP_VARIABLE, lookup)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        let (tell, closed) = oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut output, &mut std::io::stdout());
            let _ = tell.send(());
        });
        let pid = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let end = tokio::spawn(async move {
            let succeeded = process.wait().await.is_ok_and(|status| status.success());
            let _ = tokio::time::timeout(AFTER_EXIT, closed).await;
            succeeded
        });
        Ok(Self { pid, end })
    }

    async fn ended(&mut self) -> bool {
        (&mut self.end).await.unwrap_or(false)
    }

    /// Ends it by signals to its first process. What that started goes on.
    async fn cancel(&mut self) {
        for (signal, wait) in [(Signal::INT, AFTER_INTERRUPT), (Signal::TERM, AFTER_TERMINATION)] {
            self.send(signal);
            if tokio::time::timeout(wait, self.ended()).await.is_ok() {
                return;
            }
        }
        self.send(Signal::KILL);
        self.ended().await;
    }

    fn send(&self, signal: Signal) {
        // It may have ended, and only its output goes on.
        let _ = self.pid.map(|pid| kill_process(pid, signal));
    }
}

/// Resolves when the listener asks for it. A listener that is gone asks for nothing, and the job goes on.
async fn canceled(channel: &mut mpsc::UnboundedReceiver<String>) {
    while let Some(line) = channel.recv().await {
        if line == CANCEL {
            return;
        }
    }
    std::future::pending().await
}

/// Ends what the steps of a finished job left running; a process that has shed the variable stays.
fn kill_those_left(lookup: &str) {
    let mark = format!("{LOOKUP_VARIABLE}={lookup}");
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if !environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
        {
            continue;
        }
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The endpoint over which a worker speaks to the organization.
pub(crate) fn system_connection(body: &Value) -> Option<&Value> {
    let mut endpoints = body["resources"]["endpoints"].as_array()?.iter();
    endpoints.find(|endpoint| endpoint["name"] == "SystemVssConnection" && endpoint["url"].is_string())
}

/// `JobCompleted`, where the plan wants it from the worker; five tries. Older plans are finished by the listener.
async fn finish(body: &Value, outcome: Outcome, is_shutting_down: bool) -> anyhow::Result<()> {
    let plan = &body["plan"];
    let connection = system_connection(body).context("the job has no SystemVssConnection")?;
    let token = connection["authorization"]["parameters"]["AccessToken"].as_str();
    if plan["version"].as_u64() < Some(8) {
        return Ok(());
    }
    let token = token.context("the job has no access token")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let url = format!(
        "{}/{}/_apis/distributedtask/hubs/{}/plans/{}/events",
        text(&connection["url"]).trim_end_matches('/'),
        text(&plan["scopeIdentifier"]),
        text(&plan["planType"]),
        text(&plan["planId"])
    );
    let event = json!({
        "name": "JobCompleted",
        "requestId": body["requestId"],
        "jobId": body["jobId"],
        "result": outcome as u8,
        "agentShuttingDown": is_shutting_down,
    });
    let http = reqwest::Client::builder().user_agent("VSServices/stub-agent").build()?;
    let mut tries = 1;
    loop {
        let request = http
            .post(&url)
            .bearer_auth(token)
            .header("accept", "application/json; api-version=5.1-preview.1")
            .header(
                CONTENT_TYPE,
                "application/json; charset=utf-8; api-version=5.1-preview.1",
            )
            .body(event.to_string());
        match request.send().await.and_then(reqwest::Response::error_for_status) {
            Ok(_) => return Ok(()),
            Err(error) if tries == 5 => return Err(error.into()),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(crate::pause(Duration::from_secs(5))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(folder: &Path, scripts: &[&str], lookup: &str) -> Outcome {
        let scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
        run_steps(folder, &scripts, lookup, &mut mpsc::unbounded_channel().1).await
    }

    #[tokio::test]
    async fn a_job_fails_with_its_first_failing_step() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            run(folder.path(), &["touch a", "test -e a"], "l1").await,
            Outcome::Succeeded
        );
        assert_eq!(run(folder.path(), &["exit 2", "touch b"], "l2").await, Outcome::Failed);
        assert!(!folder.path().join("b").exists());
    }

    #[tokio::test]
    async fn what_a_finished_job_leaves_is_killed_by_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let lookup = crate::uuid();
        let scripts = [
            "sleep 60 & echo $! >marked",
            "env -u VSTS_PROCESS_LOOKUP_ID sleep 60 & echo $! >shed",
        ];
        assert_eq!(run(folder.path(), &scripts, &lookup).await, Outcome::Succeeded);
        let pid = |name: &str| -> i32 {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            text.trim().parse().unwrap()
        };
        let is_alive = |pid: i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !status.is_empty() && !status.contains(") Z ")
        };
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while is_alive(pid("marked")) {
            assert!(std::time::Instant::now() < deadline, "the marked process lives on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(is_alive(pid("shed")), "a process without the mark is left alone");
        kill_process(Pid::from_raw(pid("shed")).unwrap(), Signal::KILL).unwrap();
    }
}

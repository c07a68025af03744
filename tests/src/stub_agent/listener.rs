//! `Agent.Listener run` (`Agent.cs`, `MessageListener.cs`): session, message loop, keep-alive, the way it ends.

use super::arguments::Arguments;
use super::client::{Error, Server};
use super::files::{Root, Settings};
use super::job::{self, Assignment};
use super::{Code, capabilities, complain, configure, pause, say};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a cancelled job gets when the listener is told to end.
const CANCEL_PATIENCE: Duration = Duration::from_secs(30);

/// Attempts to create a session while another owner holds one: about 4 minutes.
const CONFLICTS: u32 = 8;

/// Runs the agent until it is told to end, until its job is done (`--once`), or until the server knows it no more.
pub(super) async fn run(root: &Root, arguments: &Arguments, environment: &[(String, String)]) -> Code {
    let (settings, server) = match load(root) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&format!("An error occurred: {error:#}"));
            return Code::Retryable;
        }
    };
    let stop = match stop_signals() {
        Ok(stop) => stop,
        Err(error) => {
            complain(&format!("An error occurred: {error}"));
            return Code::Retryable;
        }
    };
    let work = root.work(&settings);
    let mut environment = environment.to_vec();
    environment.extend(root.extra_environment());
    let mut listener = Listener {
        capabilities: capabilities::scan(&settings.agent_name, &environment).into(),
        settings,
        server: Arc::new(server),
        work,
        session: String::new(),
        stop,
        once: arguments.once,
        failures: 0,
    };
    listener.run().await
}

fn load(root: &Root) -> anyhow::Result<(Settings, Server)> {
    let settings = root.settings()?;
    let server = Server::as_agent(&settings.server_url, root.credentials()?, root.key()?)?;
    Ok((settings, server))
}

/// Becomes true with SIGTERM or SIGINT.
fn stop_signals() -> std::io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (tell, stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        say("Exiting...");
        let _ = tell.send(true);
    });
    Ok(stop)
}

struct Listener {
    settings: Settings,
    capabilities: Value,
    server: Arc<Server>,
    work: PathBuf,
    session: String,
    stop: watch::Receiver<bool>,
    once: bool,
    /// Failed polls in a row.
    failures: u32,
}

/// A job that runs.
struct Running {
    request: i64,
    cancel: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a poll came to.
enum Polled {
    Message(Value),
    Nothing,
    /// The session expired; a new one is needed.
    Expired,
    /// The listener ends.
    End(Code),
}

impl Listener {
    async fn run(&mut self) -> Code {
        configure::telemetry(&self.server).await;
        self.flag("DistributedTask.Agent.CheckPsModulesLocations").await;
        if let Err(error) = self.server.connect().await
            && matches!(error, Error::Connection(_))
        {
            complain(&format!("An error occurred: {error}"));
            return Code::Retryable;
        }
        if let Err(code) = self.open_session().await {
            return code;
        }
        for flag in [
            "UseEnhancedLogging",
            "EnhancedWorkerCrashHandling",
            "EnableProgressiveRetryBackoff",
        ] {
            self.flag(&format!("DistributedTask.Agent.{flag}")).await;
        }
        say("Listening for Jobs");
        let keep_alive = tokio::spawn(keep_alive(self.server.clone(), self.messages(None)));
        let code = self.listen().await;
        keep_alive.abort();
        // A session of an agent that is gone cannot be closed; the real one ends with 2 then.
        let path = format!("{}/sessions/{}", self.pool(), self.session);
        let closed = tokio::time::timeout(Duration::from_secs(30), self.server.once(Method::DELETE, &path, None)).await;
        match closed {
            Ok(Ok(_)) => code,
            Ok(Err(error)) if code == Code::Success => {
                complain(&format!("An error occurred: {error}"));
                Code::Retryable
            }
            Ok(Err(_)) | Err(_) => code,
        }
    }

    fn pool(&self) -> String {
        format!("_apis/distributedtask/pools/{}", self.settings.pool_id)
    }

    fn messages(&self, last: Option<i64>) -> String {
        let last = last.map_or_else(String::new, |id| format!("&lastMessageId={id}"));
        format!("{}/messages?sessionId={}{last}", self.pool(), self.session)
    }

    /// Feature flags never stop the listener.
    async fn flag(&self, name: &str) {
        let _ = self
            .server
            .once(
                Method::GET,
                &format!("_apis/FeatureAvailability/FeatureFlags/{name}"),
                None,
            )
            .await;
    }

    /// Creates the session; pauses are 30 s between attempts.
    async fn open_session(&mut self) -> Result<(), Code> {
        let body = json!({
            "sessionId": "00000000-0000-0000-0000-000000000000",
            "ownerName": capabilities::host_name(),
            "agent": {
                "id": self.settings.agent_id,
                "name": self.settings.agent_name,
                "version": capabilities::VERSION,
                "osDescription": capabilities::os_description(),
            },
            "systemCapabilities": self.capabilities,
        });
        let mut conflicts = 0;
        loop {
            let error = match self
                .server
                .once(Method::POST, &format!("{}/sessions", self.pool()), Some(&body))
                .await
            {
                Ok(session) => match session["sessionId"].as_str() {
                    Some(id) => {
                        id.clone_into(&mut self.session);
                        return Ok(());
                    }
                    None => Error::Connection("the server's session has no id".to_owned()),
                },
                Err(error) => error,
            };
            complain(&format!("Failed to create session. {error}"));
            match (error.type_key(), &error) {
                ("TaskAgentAccessTokenExpiredException", _) => return Err(Code::Success),
                (key, _) if is_final(key) => return Err(Code::Terminated),
                (_, Error::Unauthorized(_)) => return Err(Code::Terminated),
                ("TaskAgentSessionConflictException", _) => conflicts += 1,
                _ => {}
            }
            if conflicts == CONFLICTS {
                return Err(Code::Terminated);
            }
            tokio::select! {
                () = tokio::time::sleep(pause(Duration::from_secs(30))) => {}
                _ = self.stop.wait_for(|stop| *stop) => return Err(Code::Success),
            }
        }
    }

    /// The message loop.
    async fn listen(&mut self) -> Code {
        let mut running: Option<Running> = None;
        let mut last = None;
        loop {
            let polled = {
                let mut stop = self.stop.clone();
                tokio::select! {
                    polled = self.poll(last) => polled,
                    _ = stop.wait_for(|stop| *stop) => Polled::End(Code::Success),
                }
            };
            match polled {
                Polled::Nothing => {}
                Polled::Expired => {
                    say("Session expired, creating a new one");
                    if let Err(code) = self.open_session().await {
                        return end(running, code).await;
                    }
                }
                Polled::End(code) => return end(running, code).await,
                Polled::Message(message) => {
                    last = message["messageId"].as_i64();
                    running = self.dispatch(&message, running).await;
                    self.acknowledge(last).await;
                    if let Some(job) = running.take_if(|_| self.once) {
                        return self.wait_for(job).await;
                    }
                }
            }
        }
    }

    /// Under `--once`: no further poll, the end of the job is the end of the listener.
    async fn wait_for(&mut self, mut job: Running) -> Code {
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = &mut job.task => Code::Success,
            _ = stop.wait_for(|stop| *stop) => end(Some(job), Code::Success).await,
        }
    }

    async fn poll(&mut self, last: Option<i64>) -> Polled {
        match self.server.once(Method::GET, &self.messages(last), None).await {
            Ok(message) if message["messageId"].is_i64() => {
                self.failures = 0;
                Polled::Message(message)
            }
            Ok(_) => {
                self.failures = 0;
                tokio::time::sleep(pause(Duration::from_secs(10))).await;
                Polled::Nothing
            }
            Err(error) => {
                complain(&format!("Failed to get a message. {error}"));
                match (error.type_key(), &error) {
                    ("TaskAgentAccessTokenExpiredException", _) => return Polled::End(Code::Success),
                    ("TaskAgentSessionExpiredException", _) => return Polled::Expired,
                    (key, _) if is_final(key) => return Polled::End(Code::Retryable),
                    (_, Error::Unauthorized(_)) => return Polled::End(Code::Retryable),
                    _ => {}
                }
                self.failures += 1;
                let seconds = if self.failures <= 5 { 20 } else { 45 };
                tokio::time::sleep(pause(Duration::from_secs(seconds))).await;
                Polled::Nothing
            }
        }
    }

    async fn dispatch(&self, message: &Value, running: Option<Running>) -> Option<Running> {
        match message["messageType"].as_str().unwrap_or_default() {
            "PipelineAgentJobRequest" | "JobRequest" => match Assignment::parse(message) {
                Ok(assignment) => {
                    if let Some(job) = running {
                        // One job at a time: the server sends the next one when this one is finished.
                        let _ = job.task.await;
                    }
                    say(&format!("Running job: {}", assignment.name));
                    let (cancel, cancelled) = watch::channel(false);
                    let request = assignment.request;
                    let task = tokio::spawn(job::run(
                        self.server.clone(),
                        self.pool(),
                        self.work.clone(),
                        assignment,
                        cancelled,
                    ));
                    Some(Running { request, cancel, task })
                }
                Err(error) => {
                    complain(&format!("A job message cannot be understood: {error:#}"));
                    running
                }
            },
            "JobCancellation" => {
                if let Some(job) = &running {
                    say(&format!("Job request {} is cancelled", job.request));
                    let _ = job.cancel.send(true);
                }
                running
            }
            other => {
                say(&format!("Message of type '{other}' is ignored"));
                running
            }
        }
    }

    /// A message comes again with each poll until it is deleted.
    async fn acknowledge(&self, message: Option<i64>) {
        let Some(id) = message else { return };
        let path = format!("{}/messages/{id}?sessionId={}", self.pool(), self.session);
        if let Err(error) = self.server.once(Method::DELETE, &path, None).await {
            complain(&format!("Failed to delete message {id}. {error}"));
        }
    }
}

/// Cancels what runs and gives it its time.
async fn end(running: Option<Running>, code: Code) -> Code {
    if let Some(job) = running {
        let _ = job.cancel.send(true);
        let _ = tokio::time::timeout(CANCEL_PATIENCE, job.task).await;
    }
    code
}

/// Errors after which the server will never talk to this agent again.
fn is_final(type_key: &str) -> bool {
    matches!(
        type_key,
        "TaskAgentNotFoundException"
            | "TaskAgentPoolNotFoundException"
            | "AccessDeniedException"
            | "VssUnauthorizedException"
    )
}

/// Polls the same session beside the message loop and throws the answer away, as the real one does.
async fn keep_alive(server: Arc<Server>, messages: String) {
    loop {
        tokio::time::sleep(pause(Duration::from_secs(30))).await;
        let _ = server.once(Method::GET, &messages, None).await;
    }
}

//! `Agent.Listener run` (`Agent.cs`, `MessageListener.cs`): session, message loop, keep-alive, the way it ends.

mod messages;

use crate::arguments::Arguments;
use crate::client::{Auth, Error, Server};
use crate::files::{Credentials, Root, Settings};
use crate::identity::AgentIdentity;
use crate::job::{Assignment, Job};
use crate::session::Opening;
use crate::signals::{self, Stop, stopped};
use crate::{Code, capabilities, complain, configure, pause, say};
use messages::{Handled, Polled, messages};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two polls of the keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Limit for closing the session.
const CLOSING: Duration = Duration::from_secs(30);
/// After SIGTERM a listener on .NET 8 is torn down, whatever it still waits for. After SIGINT nothing limits it.
const TERMINATION: Duration = Duration::from_secs(30);

/// Runs the agent until it is told to end, until its job is done (`--once`), or until the server knows it no more.
pub(crate) async fn run(root: &Root, arguments: &Arguments, environment: &[(String, String)]) -> Code {
    match Listener::load(root, arguments, environment) {
        Ok((listener, stop)) => listener.run(stop).await,
        Err(error) => {
            complain(&format!("An error occurred: {error:#}"));
            Code::Retryable
        }
    }
}

/// What does not change while the listener runs.
struct Listener {
    root: Root,
    settings: Settings,
    credentials: Credentials,
    /// The session as the agent asks for it.
    wanted: Value,
    once: bool,
}

/// An open session.
struct Session {
    server: Arc<Server>,
    /// Changes when the session has expired and is replaced.
    id: watch::Sender<String>,
    /// Failed polls in a row.
    failures: AtomicU32,
}

/// A job that runs.
struct Running {
    request: i64,
    job: String,
    cancel: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    fn load(root: &Root, arguments: &Arguments, environment: &[(String, String)]) -> anyhow::Result<(Self, Stop)> {
        let settings = root.settings()?;
        let credentials = root.credentials()?;
        let stop = signals::listen(root.version()?)?;
        let mut environment = environment.to_vec();
        environment.extend(root.extra_environment());
        let wanted = json!({
            "sessionId": "00000000-0000-0000-0000-000000000000",
            "ownerName": capabilities::machine_name(),
            "agent": {
                "id": settings.agent_id,
                "name": settings.agent_name,
                "version": root.version()?.dotted(),
                "osDescription": capabilities::os_description(),
            },
            "systemCapabilities": configure::published(root, &settings.agent_name, arguments, &environment)?,
        });
        let listener = Self {
            root: root.clone(),
            settings,
            credentials,
            wanted,
            once: arguments.once,
        };
        Ok((listener, stop))
    }

    async fn run(&self, mut stop: Stop) -> Code {
        if let Err(error) = self.ask_for_flags().await {
            complain(&format!("An error occurred: {error:#}"));
            return Code::Retryable;
        }
        say("Scanning for tool capabilities.");
        say("Connecting to the server.");
        let session = match self.opening().open(&mut stop).await {
            Ok((server, id)) => Session {
                server: Arc::new(server),
                id: watch::Sender::new(id),
                failures: AtomicU32::new(0),
            },
            Err(code) => return code,
        };
        for name in [
            "UseEnhancedLogging",
            "EnhancedWorkerCrashHandling",
            "EnableProgressiveRetryBackoff",
        ] {
            flag(&session.server, &format!("DistributedTask.Agent.{name}")).await;
        }
        say("Listening for Jobs");
        let keep_alive = tokio::spawn(keep_alive(session.server.clone(), self.pool(), session.id.subscribe()));
        let mut running = None;
        let code = self.listen(&session, &mut running, &mut stop).await;
        keep_alive.abort();
        let shutdown = self.shut_down(&session, running, code);
        if code == Code::Terminated {
            return tokio::time::timeout(TERMINATION, shutdown).await.unwrap_or(code);
        }
        shutdown.await
    }

    /// Cancels what runs, waits for it, and closes the session.
    async fn shut_down(&self, session: &Session, running: Option<Running>, code: Code) -> Code {
        if let Some(job) = running {
            let _ = job.cancel.send(true);
            let _ = job.task.await;
        }
        self.close(session, code).await
    }

    /// Telemetry and the first feature flag. Neither matters, but a server that cannot be reached ends the listener here.
    async fn ask_for_flags(&self) -> anyhow::Result<()> {
        let identity = AgentIdentity::new(&self.root, self.credentials.data.clone());
        let mut server = Server::new(&self.settings.server_url, Arc::new(Auth::Agent(identity)))?;
        match server.connect().await {
            Err(error @ (Error::Socket(_) | Error::Answer(_))) => return Err(error.into()),
            Err(_) => return Ok(()),
            Ok(_) => {}
        }
        configure::telemetry(&server).await;
        flag(&server, "DistributedTask.Agent.CheckPsModulesLocations").await;
        Ok(())
    }

    fn opening(&self) -> Opening<'_> {
        Opening {
            root: &self.root,
            settings: &self.settings,
            credentials: &self.credentials,
            body: &self.wanted,
        }
    }

    fn pool(&self) -> String {
        format!("_apis/distributedtask/pools/{}", self.settings.pool_id)
    }

    /// The message loop. It goes on while a job runs, under `--once` too: how else could that be canceled?
    async fn listen(&self, session: &Session, running: &mut Option<Running>, stop: &mut Stop) -> Code {
        let mut last = None;
        loop {
            let polled = tokio::select! {
                polled = self.poll(session, last) => polled,
                code = stopped(stop) => return code,
                () = ended(running), if self.once && running.is_some() => {
                    *running = None;
                    return Code::Success;
                }
            };
            match polled {
                Polled::Nothing => {}
                Polled::Expired => {
                    say("Session expired, creating a new one");
                    // With the connection that is there: only the session is new.
                    match self.opening().open(stop).await {
                        Ok((_, id)) => session.id.send_replace(id),
                        Err(code) => return code,
                    };
                    last = None;
                }
                Polled::End(code) => return code,
                Polled::Message(message) => {
                    last = message["messageId"].as_i64();
                    if self.handle(session, &message, running) == Handled::Delete {
                        self.delete(session, last).await;
                    }
                }
            }
        }
    }

    /// Starts a job, after the one before it: the server sends the next one when that is finished.
    fn start(&self, session: &Session, assignment: Assignment, before: Option<Running>) -> Running {
        say(&format!("Running job: {}", assignment.name));
        let (cancel, canceled) = watch::channel(false);
        let (request, name) = (assignment.request, assignment.job.clone());
        let job = Job {
            server: session.server.clone(),
            pool: self.pool(),
            root: self.root.clone(),
            folder: self.root.work(&self.settings),
            assignment,
            once: self.once,
        };
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.task.await;
            }
            job.run(canceled).await;
        });
        Running {
            request,
            job: name,
            cancel,
            task,
        }
    }

    /// A message comes again with each poll until it is deleted.
    async fn delete(&self, session: &Session, message: Option<i64>) {
        let Some(id) = message else { return };
        let path = format!("{}/messages/{id}?sessionId={}", self.pool(), *session.id.borrow());
        if let Err(error) = session.server.call(Method::DELETE, &path, None).await {
            complain(&format!("Failed to delete message {id}. {error}"));
        }
    }

    /// Closes the session, whatever the reason for the end. Where that fails an orderly end becomes 2.
    async fn close(&self, session: &Session, code: Code) -> Code {
        let path = format!("{}/sessions/{}", self.pool(), *session.id.borrow());
        let closed = tokio::time::timeout(CLOSING, session.server.call(Method::DELETE, &path, None)).await;
        match closed {
            Ok(Err(error)) if code == Code::Success => {
                complain(&format!("An error occurred: {error}"));
                Code::Retryable
            }
            Ok(_) | Err(_) => code,
        }
    }
}

/// Resolves when the job has ended.
async fn ended(running: &mut Option<Running>) {
    match running {
        Some(job) => {
            let _ = (&mut job.task).await;
        }
        None => std::future::pending().await,
    }
}

/// Feature flags never stop the listener.
async fn flag(server: &Server, name: &str) {
    let path = format!("_apis/FeatureAvailability/FeatureFlags/{name}");
    let _ = server.once(Method::GET, &path, None).await;
}

/// Polls the same session beside the message loop, from the start, and throws the answers away.
async fn keep_alive(server: Arc<Server>, pool: String, session: watch::Receiver<String>) {
    loop {
        let path = messages(&pool, &session.borrow().clone(), None);
        let _ = server.call(Method::GET, &path, None).await;
        tokio::time::sleep(pause(KEEP_ALIVE)).await;
    }
}

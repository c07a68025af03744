//! The webhook as a process beside the double: certificate, kubeconfig, ports, log, signals.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::ApiServer;
use super::admission::{Created, Refusal, Registration};
use super::review::{Caller, SERVICE};
use azure_emulators::tls::Pair;

/// Longer than any start takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `ado-agent-webhook`. Dropping it kills the process.
pub struct Webhook {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
    tls: SocketAddr,
    plain: SocketAddr,
    registration: Registration,
}

/// The name that the API server calls, which the certificate has to carry.
pub fn service_name() -> String {
    format!("{SERVICE}.{}.svc", contract::SYSTEM_NAMESPACE)
}

/// Writes a pair where the webhook reads it.
///
/// # Errors
/// A file cannot be written.
pub fn write_pair(folder: &Path, pair: &Pair) -> io::Result<()> {
    std::fs::write(folder.join("tls.crt"), &pair.certificate)?;
    std::fs::write(folder.join("tls.key"), &pair.key)
}

impl Webhook {
    /// Starts the program with a certificate of the double's authority, free ports of the loopback and these flags more,
    /// and waits until it is ready.
    ///
    /// # Errors
    /// It ended or did not become ready; the error holds its log.
    pub async fn start(api: &ApiServer, flags: &[&str]) -> anyhow::Result<Self> {
        let webhook = Self::start_unready(api, flags).await?;
        webhook.wait_until_ready().await?;
        Ok(webhook)
    }

    /// Like [`Self::start`], without waiting until it is ready.
    ///
    /// # Errors
    /// It ended, or did not say where it listens.
    pub async fn start_unready(api: &ApiServer, flags: &[&str]) -> anyhow::Result<Self> {
        let program = tokio::task::spawn_blocking(|| crate::programs::program("ado-agent-webhook")).await??;
        Self::start_as(api, Command::new(program), flags).await
    }

    /// Like [`Self::start_unready`], by another command, which takes the flags and becomes a webhook.
    ///
    /// # Errors
    /// It ended, or did not say where it listens.
    pub async fn start_as(api: &ApiServer, mut command: Command, flags: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let certificates = folder.path().join("tls");
        std::fs::create_dir(&certificates)?;
        write_pair(&certificates, &api.authority().issue(&[service_name()]))?;
        api.write_kubeconfig(&folder.path().join("kubeconfig"))?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut child = command
            .env_clear()
            .arg("--tls-address=127.0.0.1:0")
            .arg("--plain-address=127.0.0.1:0")
            .arg("--log-format=json")
            .arg(format!("--tls-dir={}", certificates.display()))
            .arg(format!("--kubeconfig={}", folder.path().join("kubeconfig").display()))
            .args(flags)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().context("the standard error was piped")?;
        tokio::spawn(collect(stderr, Arc::clone(&log)));
        let (tls, plain) = addresses(&log, &mut child).await?;
        let caller = Caller::new(tls, api.authority().pem(), Duration::from_secs(5))?;
        let registration = Registration::shipped(caller)?;
        Ok(Self {
            child,
            log,
            folder,
            tls,
            plain,
            registration,
        })
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    /// It does not within half a minute; the error holds what it says and the log.
    pub async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let said = match self.get("/readyz").await {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => error.to_string(),
            };
            if tokio::time::Instant::now() > deadline {
                bail!("the webhook is not ready: {said}\n{}", self.log().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Status and body of a path on the plain port.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, path: &str) -> reqwest::Result<(u16, String)> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let answer = client.get(format!("http://{}{path}", self.plain)).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Creates a pod through this webhook, with the shipped configuration.
    ///
    /// # Errors
    /// Why it is not created, as a user sees it.
    pub async fn create_pod(&self, api: &ApiServer, namespace: &str, pod: &Value) -> Result<Created, Refusal> {
        api.create_pod(&self.registration, namespace, pod).await
    }

    /// Where `/mutate` is.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls
    }

    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub fn plain_address(&self) -> SocketAddr {
        self.plain
    }

    /// The folder with the certificate pair.
    pub fn certificates(&self) -> PathBuf {
        self.folder.path().join("tls")
    }

    /// The log so far, one JSON object a line.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Process id; `None` once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// The process has ended already.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let id = self.child.id().context("the webhook has ended")?;
        let id = rustix::process::Pid::from_raw(i32::try_from(id)?).context("process ids are positive")?;
        Ok(rustix::process::kill_process(id, rustix::process::Signal::TERM)?)
    }

    /// Kills the process and waits for its end.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// It does not end within half a minute.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("the webhook does not end")??)
    }
}

async fn collect(stderr: impl tokio::io::AsyncRead + Unpin, log: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// The ports, from the line in which the webhook tells them.
async fn addresses(log: &Mutex<Vec<String>>, child: &mut Child) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let address = |key: &str| line[key].as_str()?.parse().ok();
                (line["message"] == "listening").then_some((address("tls")?, address("plain")?))
            });
        if let Some(found) = found {
            return Ok(found);
        }
        if let Some(status) = child.try_wait()? {
            // What it said last may still be on its way.
            tokio::time::sleep(Duration::from_millis(100)).await;
            bail!(
                "the webhook ended with {status}:\n{}",
                log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
            );
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the webhook does not say where it listens");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Reviews through TLS: the webhook beside the real Azure Workload Identity webhook (azwi), which changes the same pods.
//!
//! Both are processes on the loopback beside the same double of the API server, with certificates of the same kind and
//! without limits; both get the same review of the plain Deployment's pod, and both answer it with a patch.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::Effort;
use super::load::{Expected, Target};
use super::process::Process;
use super::report::{Row, mebibytes, median, microseconds, times};
use super::reviews::{self, CONNECTIONS, FIGURES, Subject, ratio};
use crate::apiserver::ApiServer;
use crate::apiserver::webhook::{Webhook, service_name, write_pair};
use azure_emulators::world::TENANT;

/// Share of azwi's processor time that a review may cost.
const PROCESSOR_GOAL: f64 = 1.0 / 5.0;
/// Share of azwi's p99 at many connections.
const TAIL_GOAL: f64 = 1.0 / 3.0;
/// Where azwi listens; it has no flag for that.
const PORT: u16 = 9443;
const PATH: &str = "/mutate-v1-pod?timeout=10s";
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls both in turn; `program` is azwi's.
///
/// # Errors
/// One does not start, or answers something else.
pub async fn measure(effort: &Effort, program: &Path) -> anyhow::Result<Vec<Row>> {
    let api = reviews::cluster().await?;
    api.serve_whole_accounts();
    let (ca, body) = (api.authority().pem(), reviews::body()?);
    let webhook = Webhook::start(&api, &[reviews::IMAGE]).await?;
    let azwi = Azwi::start(&api, program)?;
    let theirs = Target::new(azwi.address(), ca, body.clone(), Expected::Patch)?.at(PATH);
    azwi.wait_until_ready(&theirs).await?;
    let ours = Target::new(webhook.tls_address(), ca, body, Expected::Patch)?;
    let mut subjects = [
        Subject::new("webhook", reviews::process(&webhook)?, ours),
        Subject::new("azwi", azwi.process()?, theirs),
    ];
    let at_rest = memory(&subjects)?;
    reviews::take_turns(&mut subjects, effort).await?;
    let mut rows = rows(&subjects);
    let after = memory(&subjects)?;
    rows.push(
        Row::new("memory after the reviews / azwi", times(after[0] / after[1]))
            .part("webhook", mebibytes(after[0]))
            .part("azwi", mebibytes(after[1]))
            .part("webhook at rest", mebibytes(at_rest[0]))
            .part("azwi at rest", mebibytes(at_rest[1])),
    );
    Ok(rows)
}

fn memory(subjects: &[Subject; 2]) -> anyhow::Result<[f64; 2]> {
    let [ours, theirs] = subjects;
    Ok([ours.process.memory()?.resident, theirs.process.memory()?.resident])
}

fn rows(subjects: &[Subject; 2]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, connections) in CONNECTIONS.into_iter().enumerate() {
        let tail_goal = (connections > 1).then_some(TAIL_GOAL);
        // In the order of the figures.
        let goals = [None, tail_goal, Some(PROCESSOR_GOAL)];
        for ((figure, of), goal) in FIGURES.into_iter().zip(goals) {
            let [ours, theirs] = subjects.each_ref().map(|subject| of(&subject.measured[index]));
            let name = format!("{}: {figure} / azwi", reviews::at(connections));
            let mut row = Row::new(name, times(ratio(&ours, &theirs)))
                .part("webhook", microseconds(median(ours)))
                .part("azwi", microseconds(median(theirs)));
            if let Some(goal) = goal {
                row = row.goal(goal);
            }
            rows.push(row);
        }
    }
    rows
}

/// azwi as a process. Dropping it kills the process.
struct Azwi {
    child: Child,
    folder: TempDir,
}

impl Azwi {
    /// Starts it with a certificate of the double's authority instead of one that it keeps in a Secret.
    fn start(api: &ApiServer, program: &Path) -> anyhow::Result<Self> {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))
            .with_context(|| format!("azwi listens on port {PORT} and nowhere else, and that is taken"))?;
        let folder = tempfile::tempdir()?;
        write_pair(folder.path(), &api.authority().issue(&[service_name()]))?;
        let kubeconfig = folder.path().join("kubeconfig");
        api.write_kubeconfig(&kubeconfig)?;
        let child = Command::new(program)
            .env_clear()
            .env("AZURE_TENANT_ID", TENANT)
            .env("POD_NAMESPACE", "azure-workload-identity-system")
            .arg("--log-level=info")
            .arg("--disable-cert-rotation")
            .arg("--health-addr=127.0.0.1:0")
            .arg("--metrics-addr=127.0.0.1:0")
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--webhook-cert-dir={}", folder.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, folder })
    }

    /// Waits until it answers a review.
    async fn wait_until_ready(&self, target: &Target) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = target.connect(1).await {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("log"))?;
                bail!("azwi does not answer: {error:#}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ensure!(self.child.id().is_some(), "azwi has ended, and another program answers");
        Ok(())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
    }

    fn process(&self) -> anyhow::Result<Process> {
        Ok(Process(self.child.id().context("azwi has ended")?))
    }
}

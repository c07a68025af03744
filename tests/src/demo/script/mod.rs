//! `demo --script`: anybody's own start script, unmodified, through the whole story, in a sandbox.

mod failures;
mod findings;
mod inside;
mod loopback;
mod observed;
mod pods;
mod sandbox;
mod subject;
mod trial;

use super::Teller;
use super::stage::{Plan, Stage};
use crate::agent_package::AgentChoice;
use crate::kubelet::{Image, Isolation};
use crate::programs;
use anyhow::Context;
use contract::Handoff;
use findings::{Finding, Kind};
use loopback::NameServer;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use subject::{DIRECTORY, PLACE, Subject};
use trial::Trial;

/// Name of the image that holds the script.
const IMAGE: &str = "registry.example.com/yours:1";
/// The organization, unless `AZP_URL` names another.
const ORGANIZATION: &str = "contoso";
/// The kubelet's first restart pause here; the real one is 10 s.
const BACK_OFF: Duration = Duration::from_millis(500);

/// What is tried, and how.
pub struct Options {
    /// The start script.
    pub script: Script,
    /// What it downloads.
    pub agent: AgentChoice,
    /// The user that it runs as, by number.
    pub user: u32,
    /// Variables of the agent container.
    pub env: Vec<(String, String)>,
    /// How the agent container gets what it needs.
    pub handoff: Handoff,
    /// Whether it is tried with `--once` in a Job, too.
    pub once: bool,
    /// Grace period of the pods.
    pub grace: Duration,
}

/// A start script as it lies there.
pub struct Script {
    content: Vec<u8>,
    is_executable: bool,
}

impl Script {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read; the error names it.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let content = std::fs::read(path).with_context(|| format!("the script {} cannot be read", path.display()))?;
        let mode = path.metadata()?.permissions().mode();
        Ok(Self {
            content,
            is_executable: mode & 0o111 != 0,
        })
    }

    /// Reads it in the sandbox.
    ///
    /// # Errors
    /// It is not there.
    pub fn read_inside() -> anyhow::Result<Self> {
        Self::read(&sandbox::script())
    }
}

impl Options {
    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What came out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is well.
    Well,
    /// Something is bad.
    Bad,
    /// It could not be tried here.
    Untried,
}

impl Verdict {
    fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Bad => 1,
            Self::Untried => 2,
        }
    }

    fn of_code(code: i32) -> Option<Self> {
        [Self::Well, Self::Bad, Self::Untried]
            .into_iter()
            .find(|verdict| i32::from(verdict.code()) == code)
    }

    fn of_findings(found: &[Finding]) -> Self {
        let has = |kind| found.iter().any(|finding| finding.kind == kind);
        match (has(Kind::Bad), has(Kind::Missing)) {
            (true, _) => Self::Bad,
            (false, true) => Self::Untried,
            (false, false) => Self::Well,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        verdict.code().into()
    }
}

/// Says why there can be no sandbox on this machine, and what would allow one.
///
/// # Errors
/// The sentence.
pub fn check() -> Result<(), String> {
    sandbox::check()
}

/// Builds everything and runs the demo once more, with these arguments, in a sandbox.
///
/// # Errors
/// Something could not be built or prepared.
pub async fn run(options: &Options, arguments: &[OsString]) -> anyhow::Result<Verdict> {
    sandbox::run(options, arguments).await
}

/// The part in the sandbox: sets up the world, runs the situations, says what was found.
///
/// # Errors
/// Something here does not work, which says nothing about the script.
pub async fn run_inside(options: &Options, teller: &Teller) -> anyhow::Result<Verdict> {
    let shown = Path::new(sandbox::SHOWN);
    programs::use_prepared(shown);
    loopback::bring_up()?;
    let names = NameServer::start().await?;

    let given = options.variable(contract::AZP_URL_VARIABLE);
    let organization = given.and_then(inside::organization_of).unwrap_or(ORGANIZATION);
    let url = format!("https://dev.azure.com/{organization}");
    inside::write_names(organization, options.user)?;

    let subject = Subject::new(&options.script);
    let pool = options.variable(contract::AZP_POOL_VARIABLE).map(str::to_owned);
    let unpacked = tempfile::tempdir()?;
    let archive = sandbox::agent()?;
    let stage = Stage::with(Plan {
        azure: Some(inside::azure(&url, organization, pool)),
        image: Some((IMAGE.to_owned(), image(options, &subject, &archive, unpacked.path())?)),
        isolation: Some(Isolation::Unprivileged),
        ..Plan::new(AgentChoice::archive(archive.clone()), BACK_OFF)
    })
    .await?;
    inside::write_trust(stage.world.authority.pem())?;

    teller.head(
        "sandbox",
        &format!(
            "The script runs as user {} in a sandbox: of this machine it sees the programs only, of the network\n\
             the emulators as {url} and {} only.",
            options.user,
            contract::DEFAULT_AUTHORITY
        ),
    );
    let trial = Trial {
        stage: &stage,
        teller,
        subject: &subject,
        options,
        names: &names,
        command: OnceLock::new(),
        logs: Mutex::default(),
    };
    let seen = trial.run().await?;
    let found = findings::findings(&seen);
    teller.head("findings", "\nWhat was found:");
    for Finding { kind, sentence, help } in &found {
        let word = match kind {
            Kind::Good => "good",
            Kind::Bad => "bad",
            Kind::Note => "note",
            Kind::Missing => "missing",
        };
        teller.finding(word, sentence, help.as_deref());
    }
    teller.head(
        "limits",
        "\nNot judged here: the image's own files, ENV and entry point, file permissions between users, the\n\
         real agent and the real services (docs/try-your-image.md).",
    );
    let verdict = Verdict::of_findings(&found);
    let sentence = match verdict {
        Verdict::Well => "All is well.",
        Verdict::Bad => "Something is bad: see above.",
        Verdict::Untried => "It could not be tried on this machine: see above.",
    };
    teller.head("verdict", sentence);
    Ok(verdict)
}

/// The image: the script, and the agent where the script does not fetch it.
fn image(options: &Options, subject: &Subject, archive: &Path, agent: &Path) -> anyhow::Result<Image> {
    let mut copies = Vec::new();
    let folders = subject.agent_folders();
    if !folders.is_empty() {
        let unpacked = std::process::Command::new("tar")
            .arg("-xzf")
            .arg(archive)
            .arg("-C")
            .arg(agent)
            .status()?;
        anyhow::ensure!(unpacked.success(), "the agent's package cannot be unpacked");
        copies.extend(folders.into_iter().map(|folder| (agent.to_owned(), folder)));
    }
    copies.push((sandbox::script(), PLACE.to_owned()));
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "linux-arm64",
        _ => "linux-x64",
    };
    let mut env = inside::trust_variables();
    env.push(("HOME".to_owned(), DIRECTORY.to_owned()));
    env.push(("TARGETARCH".to_owned(), architecture.to_owned()));
    Ok(Image {
        entrypoint: subject.start().entrypoint,
        env,
        user: (options.user, options.user),
        directory: DIRECTORY.to_owned(),
        copies,
        programs: Vec::new(),
        is_layered: options.user == 0,
    })
}

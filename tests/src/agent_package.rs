//! What start scripts download: the stub of the agent in one of its versions, or the archive of a real one.

mod stub;

pub use stub::stub_package;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Parser};
use std::path::{Path, PathBuf};
use stub_agent::AgentVersion;

/// The choice, on the command line or in the environment. `AGENT_PACKAGE` wins over `STUB_AGENT`.
#[derive(Debug, Clone, Args)]
pub struct AgentChoice {
    /// Version of the stub agent, v4 or v5: what signals do to it, docs/emulators.md
    #[arg(long = "agent", env = "STUB_AGENT", value_name = "VERSION", default_value_t = AgentVersion::V5)]
    stub: AgentVersion,
    /// Archive of a real agent instead of the stub: `vsts-agent-linux-x64-5.278.0.tar.gz`
    #[arg(long, env = "AGENT_PACKAGE", value_name = "FILE")]
    agent_package: Option<PathBuf>,
}

/// Only to read the environment by the same rules.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Environment {
    #[command(flatten)]
    choice: AgentChoice,
}

/// A package, ready to be offered.
#[derive(Debug, Clone)]
pub struct AgentPackage {
    /// Major, minor, patch.
    pub version: [u32; 3],
    /// The tar.gz.
    pub archive: Vec<u8>,
}

impl AgentChoice {
    /// What the environment chooses; the stub in version 5 where it says nothing.
    ///
    /// # Errors
    /// `STUB_AGENT` is neither v4 nor v5.
    pub fn from_environment() -> Result<Self> {
        Ok(Environment::try_parse_from(std::iter::empty::<&str>())?.choice)
    }

    /// The stub in this version, or the real agent where the environment names one: every test can be run with it.
    ///
    /// # Errors
    /// As [`Self::from_environment`].
    pub fn stub(version: AgentVersion) -> Result<Self> {
        Ok(Self {
            stub: version,
            ..Self::from_environment()?
        })
    }

    /// The stub in this version, whatever the environment says: for tests that need its shortened pauses.
    pub fn always_the_stub(version: AgentVersion) -> Self {
        Self {
            stub: version,
            agent_package: None,
        }
    }

    /// The agent in this archive, whose name tells its version.
    pub fn archive(file: PathBuf) -> Self {
        Self {
            stub: AgentVersion::V5,
            agent_package: Some(file),
        }
    }

    /// Whether the agent is a real one, which needs room, ICU and time.
    pub fn is_real(&self) -> bool {
        self.agent_package.is_some()
    }

    /// Makes or reads the package.
    ///
    /// # Errors
    /// The stub cannot be built, the file cannot be read, or its name tells no version.
    pub fn package(&self) -> Result<AgentPackage> {
        let (version, file) = self.file()?;
        let archive = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(AgentPackage { version, archive })
    }

    /// Version and file of the package, which is made first where it is the stub's.
    ///
    /// # Errors
    /// The stub cannot be built, or the file's name tells no version.
    pub fn file(&self) -> Result<([u32; 3], PathBuf)> {
        Ok(match &self.agent_package {
            Some(file) => (version(file)?, file.clone()),
            None => (self.stub.numbers(), stub_package(self.stub)?),
        })
    }
}

impl std::fmt::Display for AgentChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.agent_package {
            Some(file) => write!(f, "{}", file.display()),
            None => write!(f, "the stub of a {} agent", self.stub),
        }
    }
}

/// The version in the name of an agent's archive, its last part before `.tar.gz`.
fn version(file: &Path) -> Result<[u32; 3]> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let numbers = name.strip_suffix(".tar.gz").and_then(|name| name.rsplit('-').next());
    let numbers: Vec<u32> = numbers
        .into_iter()
        .flat_map(|numbers| numbers.split('.'))
        .filter_map(|number| number.parse().ok())
        .collect();
    numbers
        .try_into()
        .map_err(|_| anyhow!("{name}: the name of an agent's archive ends in -MAJOR.MINOR.PATCH.tar.gz"))
}

#[cfg(test)]
mod tests {
    use super::version;
    use std::path::Path;

    #[test]
    fn the_name_of_an_archive_tells_its_version() {
        let read = |name: &str| version(Path::new(name)).ok();
        assert_eq!(read("/tmp/vsts-agent-linux-x64-4.255.0.tar.gz"), Some([4, 255, 0]));
        assert_eq!(read("agent.tar.gz"), None);
        assert_eq!(read("vsts-agent-linux-x64-4.255.tar.gz"), None);
    }
}

//! A stage for `ado-agent provision` and its reverse: the emulators over TLS, a stub of `az` on the PATH, a cluster that says who
//! issues its tokens, and the program itself as its own process.

mod cluster;

use crate::programs::program;
use azure_emulators::ado::{Ado, AdoView, License, Role};
use azure_emulators::clock::Clock;
use azure_emulators::entra::{Entra, Identity, Kind};
use azure_emulators::http::Listen;
use azure_emulators::tls::{Authority, install_provider};
use clap::CommandFactory as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;
use tokio::task::AbortHandle;

/// The tenant of the organization.
pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// The organization.
pub const ORGANIZATION: &str = "example";
/// The pool, as the examples and the program's default name it.
pub const POOL: &str = "kubernetes";
/// The placeholder, likewise.
pub const PLACEHOLDER: &str = "placeholder";
/// What the cluster says of its tokens' issuer.
pub const ISSUER: &str = "https://issuer.example/cluster/";

/// A tenant in which nothing is prepared but an administrator, and a person who is signed in to `az`.
pub struct Stage {
    folder: tempfile::TempDir,
    cluster: AbortHandle,
    /// Entra.
    pub entra: Entra,
    /// Azure DevOps.
    pub ado: Ado,
    /// Administers the organization.
    pub administrator: Identity,
    /// What the agents' managed identity will be.
    pub agents: Identity,
    /// What KEDA's will be.
    pub keda: Identity,
}

/// What a run of the program said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Its standard output as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The reason of what failed.
    pub fn reason(&self) -> String {
        let json = self.json();
        let phases = json["phases"].as_array().cloned().unwrap_or_default();
        let failed = phases.iter().find(|phase| phase["outcome"] == "failed");
        let reason = failed.and_then(|failed| failed["reason"].as_str());
        reason.unwrap_or_else(|| panic!("nothing failed: {self:?}")).to_owned()
    }

    /// Outcomes, one for each thing, as `PHASE OUTCOME`.
    pub fn outcomes(&self) -> Vec<String> {
        let json = self.json();
        let word = |phase: &Value, key: &str| phase[key].as_str().unwrap_or_default().to_owned();
        let phases = json["phases"].as_array().cloned().unwrap_or_default();
        phases
            .iter()
            .map(|phase| format!("{} {}", word(phase, "phase"), word(phase, "outcome")))
            .collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.cluster.abort();
    }
}

impl Stage {
    /// Sets it up.
    ///
    /// # Errors
    /// A port or a folder cannot be had.
    pub async fn start() -> anyhow::Result<Self> {
        install_provider();
        let folder = tempfile::tempdir()?;
        let (authority, clock) = (Authority::new(), Clock::new());
        authority.write_pem(&folder.path().join("ca.pem"))?;
        let entra = Entra::start(&Listen::default(), &authority, &clock).await?;
        let ado = Ado::start(&Listen::default(), &authority, &clock, &entra).await?;
        entra.add_tenant(TENANT, "example.onmicrosoft.com");
        let administrator = entra.add_identity(TENANT, Kind::User, "administrator");
        let agents = entra.add_identity(TENANT, Kind::ManagedIdentity, "azp-agent");
        let keda = entra.add_identity(TENANT, Kind::ManagedIdentity, "azp-keda");
        ado.add_organization(ORGANIZATION, TENANT);
        ado.add_member(ORGANIZATION, &administrator, License::Basic);
        ado.set_administrator(ORGANIZATION, &administrator, true);
        ado.set_agent_package([4, 272, 0], b"not read here".to_vec());
        let cluster = cluster::start(folder.path()).await?;
        let stage = Self {
            folder,
            cluster,
            entra,
            ado,
            administrator,
            agents,
            keda,
        };
        stage.install_az()?;
        Ok(stage)
    }

    fn install_az(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let bin = self.path("bin");
        for folder in ["identities", "can", "credentials"] {
            std::fs::create_dir_all(self.path("az").join(folder))?;
        }
        std::fs::create_dir(&bin)?;
        std::fs::write(bin.join("az"), include_str!("provisioning/az.sh"))?;
        std::fs::set_permissions(bin.join("az"), std::fs::Permissions::from_mode(0o755))?;
        for identity in [&self.agents, &self.keda] {
            self.can_make(identity)?;
        }
        std::fs::write(self.path("az/signed-in"), "")?;
        self.sign_in(&self.administrator)
    }

    /// What `az identity create` makes under the identity's name.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn can_make(&self, identity: &Identity) -> anyhow::Result<()> {
        let json = json!({
            "id": format!("/subscriptions/s/resourceGroups/agents/providers/x/{}", identity.name),
            "name": identity.name, "clientId": identity.client_id, "principalId": identity.object_id,
            "tenantId": identity.tenant, "tags": {},
        });
        let file = format!("az/can/{}.json", identity.name);
        Ok(std::fs::write(self.path(&file), json.to_string())?)
    }

    /// Who is signed in to `az`.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn sign_in(&self, who: &Identity) -> anyhow::Result<()> {
        Ok(std::fs::write(self.path("az/token"), self.token(who))?)
    }

    /// An access token for Azure DevOps.
    pub fn token(&self, who: &Identity) -> String {
        self.entra.mint_token(who, Duration::from_secs(3 * 3600))
    }

    /// A file of the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// URL of the organization.
    pub fn url(&self) -> String {
        self.ado.organization_url(ORGANIZATION)
    }

    /// Lets `az` break off, once: `interrupt-before` or `interrupt-after` an operation such as `identity create`; or makes a new
    /// identity `pending` for one look.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn az_will(&self, what: &str, operation: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.path("az").join(what), operation)?)
    }

    /// The lines that `az` was called with.
    pub fn az_calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.path("az/calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// Identities that `az` has.
    pub fn identities(&self) -> Vec<String> {
        files(&self.path("az/identities"))
    }

    /// Names of the federated credentials of an identity.
    pub fn credentials(&self, identity: &str) -> Vec<String> {
        files(&self.path("az/credentials").join(identity))
    }

    /// How many requests changed something, or tried to, and how many lines of `az`.
    pub fn changes(&self) -> usize {
        let requests = self.ado.view().requests;
        let requests = requests.iter().filter(|request| request.method != "GET").count();
        let words = [" create ", " delete ", " update "];
        let lines = self.az_calls();
        requests
            + lines
                .iter()
                .filter(|line| words.iter().any(|word| line.contains(word)))
                .count()
    }

    /// The role of somebody on the pool.
    pub fn role(&self, who: &Identity) -> Option<Role> {
        self.view().pool(POOL)?.roles.get(&who.name).copied()
    }

    /// Azure DevOps as it is.
    pub fn view(&self) -> AdoView {
        self.ado.view()
    }

    /// `ado-agent` with arguments, in the stage's surroundings.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(program("ado-agent")?);
        command.args(arguments);
        self.surround(&mut command);
        Ok(command)
    }

    /// Gives a command the stage's PATH and cluster, and nothing of the person who runs the tests.
    pub fn surround(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("AZP_URL")
            .env_remove("AZP_POOL")
            .env_remove("AZURE_FEDERATED_TOKEN_FILE")
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .kill_on_drop(true);
    }

    /// Runs `ado-agent COMMAND` for the stage's organization and resource group, with JSON as output.
    ///
    /// # Panics
    /// It cannot be run, or takes minutes.
    pub async fn run(&self, command: &str, arguments: &[&str]) -> Said {
        let (url, ca) = (self.url(), self.path("ca.pem"));
        let mut usual = vec![
            command,
            "--output=json",
            "--url",
            &url,
            "--resource-group=agents",
            "--ca-file",
            ca.to_str().expect("the path is text"),
        ];
        if !arguments.iter().any(|argument| argument.starts_with("--wait")) {
            usual.push("--wait=30s");
        }
        let arguments = [&usual, arguments].concat();
        let command = self.command(&arguments).expect("it is built");
        said(command).await
    }
}

/// The default of a flag of `ado-agent provision`.
///
/// # Panics
/// There is no such flag, or it has no default.
pub fn default_of(flag: &str) -> String {
    let mut command = cli::arguments::Arguments::command();
    let provision = command.find_subcommand_mut("provision").expect("there is the command");
    let argument = provision
        .get_arguments()
        .find(|argument| argument.get_long() == Some(flag));
    let argument = argument.unwrap_or_else(|| panic!("no --{flag}"));
    let default = argument
        .get_default_values()
        .first()
        .unwrap_or_else(|| panic!("--{flag} has no default"));
    default.to_string_lossy().into_owned()
}

/// Runs a command to its end.
///
/// # Panics
/// It cannot be run, or takes minutes.
pub async fn said(mut command: Command) -> Said {
    let output = tokio::time::timeout(Duration::from_secs(120), command.output())
        .await
        .expect("it ends within two minutes")
        .expect("it can be started");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    names
}

//! What most tests start from: an API server with a ledger, the emulators, and the program.

use std::collections::BTreeMap;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use azure_emulators::world::World;
use contract::{
    Marker, OWNER_VARIABLE, PLACEHOLDER_ANNOTATION, SIDECAR_CONTAINER, STATUS_ANNOTATION, SYSTEM_NAMESPACE,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::apiserver::ApiServer;
use tests::programs::program;

pub(crate) const NAMESPACE: &str = "agents";
/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The ledger's ConfigMaps.
const SHARDS: usize = 4;

/// Everything around the program.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) api: ApiServer,
    folder: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let stage = Self {
            world: World::start().await.unwrap(),
            api: ApiServer::start().await.unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        for number in 0..SHARDS {
            let name = format!("ado-agent-ledger-{number}");
            stage.api.set_config_map(SYSTEM_NAMESPACE, &name, &Value::Null);
        }
        let path = |name: &str| stage.folder.path().join(name);
        std::fs::write(path("assertion"), stage.world.assertion()).unwrap();
        std::fs::write(path("ca.pem"), stage.world.authority.pem()).unwrap();
        stage.api.write_kubeconfig(&path("kubeconfig")).unwrap();
        stage
    }

    /// The marker of a pod.
    pub(crate) fn marker(&self, pod: &str, uid: &str) -> String {
        Marker {
            cluster: self.api.cluster_uid().to_owned(),
            namespace: NAMESPACE.to_owned(),
            pod: pod.to_owned(),
            uid: uid.to_owned(),
        }
        .to_string()
    }

    /// A pod as the webhook leaves it, and its agent. Answers the agent's ID.
    pub(crate) fn pod(&self, name: &str) -> i64 {
        let uid = self.bare_pod(name, &json!({}));
        self.agent(name, name, &uid)
    }

    /// A pod with these annotations more, without an agent. Answers its UID.
    pub(crate) fn bare_pod(&self, name: &str, annotations: &Value) -> String {
        let owner = self.marker("$(ADO_AGENT_POD_NAME)", "$(ADO_AGENT_POD_UID)");
        let mut pod = json!({
            "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {STATUS_ANNOTATION: "{}"}},
            "spec": {
                "containers": [{"name": "agent", "image": "agent"}],
                "initContainers": [{"name": SIDECAR_CONTAINER, "image": "sidecar",
                    "env": [{"name": OWNER_VARIABLE, "value": owner}]}],
            },
            "status": {"phase": "Running"},
        });
        for (key, value) in annotations.as_object().unwrap() {
            pod["metadata"]["annotations"][key] = value.clone();
        }
        let pod = self.api.set_pod(pod);
        pod["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn placeholder_pod(&self, name: &str) -> i64 {
        let uid = self.bare_pod(name, &json!({PLACEHOLDER_ANNOTATION: "true"}));
        self.agent(name, name, &uid)
    }

    /// An agent with the marker of a pod. Answers its ID.
    pub(crate) fn agent(&self, name: &str, pod: &str, uid: &str) -> i64 {
        let marker = self.marker(pod, uid);
        self.world
            .pool
            .add_agent(name, &[(OWNER_VARIABLE, marker.as_str()), ("Agent.OS", "Linux")])
    }

    /// Azure DevOps' clock moves.
    pub(crate) fn later(&self, seconds: u64) {
        self.world.ado.clock().advance(Duration::from_secs(seconds));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.world.pool.agents().into_iter().map(|agent| agent.name).collect()
    }

    /// What the ledger says: agent IDs by pod name.
    pub(crate) fn ledger(&self) -> BTreeMap<String, Option<i64>> {
        let mut all = BTreeMap::new();
        for number in 0..SHARDS {
            let data = self
                .api
                .config_map(SYSTEM_NAMESPACE, &format!("ado-agent-ledger-{number}"));
            let Some(text) = data["ledger.json"].as_str() else {
                continue;
            };
            let ledger: Value = serde_json::from_str(text).unwrap();
            for entry in ledger["entries"].as_object().unwrap().values() {
                all.insert(entry["pod"].as_str().unwrap().to_owned(), entry["agent"]["id"].as_i64());
            }
        }
        all
    }

    /// The program with these arguments and what belongs to every command.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new(program("ado-agent").unwrap());
        command
            .env_clear()
            .args(arguments)
            .args([
                "--url",
                &self.world.organization_url(),
                "--pool",
                &self.world.settings.pool,
            ])
            .args(["--namespaces", NAMESPACE, "--kubeconfig", &path("kubeconfig")])
            .args([
                "--federated-token-file",
                &path("assertion"),
                "--ca-file",
                &path("ca.pem"),
            ])
            .args([
                "--client-id",
                &self.world.agents.client_id,
                "--tenant-id",
                &self.world.settings.tenant,
            ])
            .args(["--authority", &self.world.authority_url()]);
        command
    }

    /// Starts `keep` with a round each second, where the arguments do not say otherwise.
    pub(crate) async fn keep(&self, arguments: &[&str]) -> Keep {
        let has_interval = arguments.iter().any(|argument| argument.starts_with("--interval"));
        let usual: &[&str] = if has_interval { &[] } else { &["--interval=1"] };
        let mut command = self.command(&[&["keep", "--listen=127.0.0.1:0"], usual, arguments].concat());
        command.args(["--log-level=debug", "--log-format=json"]);
        let log = tempfile::NamedTempFile::new().unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap());
        let child = tokio::task::spawn_blocking(move || command.spawn())
            .await
            .unwrap()
            .unwrap();
        Keep { child, log }
    }

    /// Runs `sweep` to its end.
    pub(crate) async fn sweep(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&[&["sweep"], arguments].concat());
        command.stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap()
    }

    /// Waits until the program has learned whose this agent is.
    pub(crate) async fn until_known(&self, keep: &Keep, pod: &str, agent: i64) {
        keep.until("the ledger has the agent", || {
            self.ledger().get(pod) == Some(&Some(agent))
        })
        .await;
    }

    /// Lets a dead pod's agent become removable: it is offline for long enough, and was seen so twice.
    pub(crate) async fn until_swept(&self, keep: &Keep, what: &str, swept: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !swept(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}\n{}", self.names(), keep.log());
            self.later(60);
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
}

/// A running `ado-agent keep`. Dropping it kills it.
pub(crate) struct Keep {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Keep {
    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// How many rounds have ended, by their last sign: requests of the pool's jobs would do as well.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_said(&self, words: &str) {
        self.until(words, || self.log().contains(words)).await;
    }

    /// Status and body of a path on its plain port.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.until_said("serving /livez and /readyz").await;
        let log = self.log();
        let line = log.lines().find(|line| line.contains("serving /livez")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let address = line["listen"].as_str().unwrap().to_owned();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits until `/readyz` answers this.
    pub(crate) async fn until_ready(&self, status: u16) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (now, body) = self.get("/readyz").await;
            if now == status {
                return body;
            }
            assert!(Instant::now() < deadline, "{now} {body}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

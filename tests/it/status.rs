//! `ado-agent status`, as a process: pods from the double of the API server, the answers of real sidecars (`probe --json`) through
//! its exec over WebSocket, agents and jobs from the emulator of Azure DevOps.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is wrong, in its helpers, too"
)]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use azure_emulators::world::World;
use contract::Marker;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::apiserver::ApiServer;
use tests::apiserver::operator::Ran;
use tests::lone_sidecar;
use tests::programs::{program, repository};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const NAMESPACE: &str = "agents";
const SOON: Duration = Duration::from_secs(60);

struct Cluster {
    api: ApiServer,
    azure: World,
    folder: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let azure = World::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        azure.authority.write_pem(&folder.path().join("ca.pem")).unwrap();
        std::fs::write(folder.path().join("token"), azure.admin_token()).unwrap();
        let api = ApiServer::start().await.unwrap();
        api.serve_operators();
        api.set_namespace(NAMESPACE, &[(contract::INJECT_LABEL, "true")]);
        api.write_kubeconfig(&folder.path().join("kubeconfig")).unwrap();
        Self { api, azure, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A pod whose sidecar runs and answers with this line.
    fn put_pod(&self, namespace: &str, name: &str, line: &str) {
        self.api.put_object(&pod(namespace, name, &json!({"running": {}})));
        self.api.run_in_pod(
            name,
            Ran {
                stdout: line.to_owned(),
                code: 0,
            },
        );
    }

    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program("ado-agent").unwrap());
        command
            .env_clear()
            .env("KUBECONFIG", self.path("kubeconfig"))
            .arg("status")
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn status(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = tokio::time::timeout(SOON, self.command(arguments).output()).await;
        let output = output.expect("the program ends").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Asks as the organization's administrator, too.
    async fn status_with_azure(&self, more: &[&str]) -> Value {
        let (url, ca, token) = (self.azure.organization_url(), self.path("ca.pem"), self.path("token"));
        let azure = ["-o", "json", "--url", &url, "--ca-file", &ca, "--token-file", &token];
        let (code, stdout, stderr) = self.status(&[&azure, more].concat()).await;
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    /// What the sidecar of a pod of this name would answer, as `probe --json` prints it.
    fn answer(&self, agent: &str, reason: &str) -> String {
        json!({
            "version": "0.1.0", "reason": reason, "sentence": format!("The sidecar says {reason}."), "agentMayStart": true, "ready": true,
            "organization": self.azure.organization_url(), "pool": self.azure.pool.name(), "agent": agent,
            "token": {"ageSeconds": 480, "expiresInSeconds": 3120},
        })
        .to_string()
    }
}

fn pod(namespace: &str, name: &str, state: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-of-{name}"), "labels": {contract::INJECT_LABEL: "true"}},
        "spec": {
            "containers": [{"name": "agent", "image": "agent:1"}],
            "initContainers": [{"name": contract::SIDECAR_CONTAINER, "image": "sidecar:1", "restartPolicy": "Always"}],
        },
        "status": {"initContainerStatuses": [{
            "name": contract::SIDECAR_CONTAINER, "image": "sidecar:1", "imageID": "", "ready": true, "restartCount": 0, "state": state,
        }]},
    })
}

/// A real sidecar without a pod.
struct Sidecar {
    environment: BTreeMap<&'static str, String>,
    child: Child,
    _folder: TempDir,
}

impl Sidecar {
    fn start(world: &World, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = lone_sidecar::prepare(world, name, folder.path()).unwrap();
        std::fs::write(folder.path().join("assertion/assertion"), world.assertion()).unwrap();
        let child = Command::new(program("ado-agent-sidecar").unwrap())
            .env_clear()
            .envs(&environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            environment,
            child,
            _folder: folder,
        }
    }

    /// What `probe --json` prints, once it says that the agent may start.
    fn probe(&self) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let output = Command::new(program("ado-agent-sidecar").unwrap())
                .args(["probe", "--json"])
                .env_clear()
                .envs(&self.environment)
                .output()
                .unwrap();
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&output.stdout));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_sidecar_says_is_shown() {
    let cluster = Cluster::start().await;
    let sidecar = Sidecar::start(&cluster.azure, "azp-agent-0");
    let line = tokio::task::block_in_place(|| sidecar.probe());
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["reason"], "ready", "{line}");
    assert_eq!(said["organization"], cluster.azure.organization_url());
    assert!(said["token"]["expiresInSeconds"].as_u64().unwrap() > 3000, "{line}");
    assert!(!line.contains("eyJ"), "{line}");
    cluster.put_pod(NAMESPACE, "azp-agent-0", &line);
    let (code, stdout, stderr) = cluster.status(&["-n", NAMESPACE]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let row = stdout
        .lines()
        .find(|line| line.starts_with("azp-agent-0"))
        .expect(&stdout);
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        &cells[..3],
        ["azp-agent-0", cluster.azure.pool.name(), "ready"],
        "{stdout}"
    );
    assert!(stdout.contains("1 pod, 0 with a problem"), "{stdout}");
    assert!(stdout.contains("Azure DevOps was not asked"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_results_and_leftovers_come_from_azure_devops() {
    let cluster = Cluster::start().await;
    let pool = &cluster.azure.pool;
    let marker = |cluster: &str, namespace: &str, pod: &str| {
        Marker {
            cluster: cluster.to_owned(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: format!("uid-of-{pod}"),
        }
        .to_string()
    };
    let owner = |of: &str, namespace: &str, pod: &str| {
        let marker = marker(of, namespace, pod);
        pool.add_agent(pod, &[(contract::OWNER_VARIABLE, &marker)])
    };
    let ours = cluster.api.cluster_uid().to_owned();
    let busy = owner(&ours, NAMESPACE, "azp-agent-busy");
    owner(&ours, NAMESPACE, "azp-agent-gone");
    owner(&ours, "elsewhere", "azp-agent-elsewhere");
    owner("another-cluster", NAMESPACE, "azp-agent-foreign");
    pool.add_agent("placeholder", &[]);
    pool.make_busy(busy);
    for name in ["azp-agent-busy", "azp-agent-new"] {
        cluster.put_pod(NAMESPACE, name, &cluster.answer(name, "ready"));
    }
    let said = cluster.status_with_azure(&["-n", NAMESPACE]).await;
    let agents = said["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 2, "{said}");
    assert_eq!(agents[0]["agentId"], busy, "{said}");
    assert!(agents[0]["job"]["name"].is_string(), "{said}");
    assert_eq!(agents[1]["agentId"], Value::Null, "{said}");
    let left: Vec<_> = said["leftBehind"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| &left["agent"])
        .collect();
    assert_eq!(left, ["azp-agent-gone"], "{said}");
    assert_eq!(said["problems"], json!([]));
    let said = cluster.status_with_azure(&["-A"]).await;
    assert_eq!(said["leftBehind"].as_array().unwrap().len(), 2, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_to_no_host_that_only_a_pod_names() {
    let cluster = Cluster::start().await;
    cluster.put_pod(NAMESPACE, "azp-agent-1", &cluster.answer("azp-agent-1", "ready"));
    let (ca, token) = (cluster.path("ca.pem"), cluster.path("token"));
    let arguments = ["-n", NAMESPACE, "--ca-file", &ca, "--token-file", &token];
    let (code, stdout, stderr) = cluster.status(&arguments).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("was not asked: pass it as --url"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_sentences_and_hundreds_of_pods_are_no_matter() {
    let cluster = Cluster::start().await;
    for number in 0..300 {
        let name = format!("azp-agent-{number}");
        cluster.put_pod(NAMESPACE, &name, &cluster.answer(&name, "ready"));
    }
    cluster.put_pod(NAMESPACE, "broken-1", &cluster.answer("broken-1", "role-missing"));
    cluster.put_pod(NAMESPACE, "broken-2", "probe: unknown flag --json");
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    cluster.api.put_object(&pod(NAMESPACE, "broken-3", &waiting));
    let (code, stdout, stderr) = cluster.status(&["-n", NAMESPACE]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("303 pods, 3 with a problem"), "{stdout}");
    for words in [
        "agents/broken-1: The sidecar says role-missing.",
        "[role-missing]",
        "agents/broken-2: the sidecar could not be asked: its answer is no JSON",
        "agents/broken-3: the sidecar does not run: ImagePullBackOff: no such image",
    ] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_refreshes_the_table() {
    let cluster = Cluster::start().await;
    cluster.put_pod(NAMESPACE, "azp-agent-1", &cluster.answer("azp-agent-1", "starting"));
    let mut child = cluster
        .command(&["-n", NAMESPACE, "-o", "json", "--watch=1s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(SOON, lines.next_line())
            .await
            .expect("a line")
            .unwrap();
        serde_json::from_str::<Value>(&line.expect("it goes on")).unwrap()
    };
    assert_eq!(next().await["agents"][0]["reason"], "starting");
    cluster.put_pod(NAMESPACE, "azp-agent-1", &cluster.answer("azp-agent-1", "ready"));
    let deadline = Instant::now() + SOON;
    while next().await["agents"][0]["reason"] != "ready" {
        assert!(Instant::now() < deadline, "it does not look again");
    }
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_in_the_documentation_is_what_is_printed() {
    let cluster = Cluster::start().await;
    for (name, reason) in [("azp-agent-7d9f-5xk2p", "ready"), ("azp-agent-7d9f-x7k2p", "online")] {
        cluster.put_pod(NAMESPACE, name, &cluster.answer(name, reason));
    }
    let trouble = cluster.answer("azp-agent-7d9f-zq4wd", "role-missing").replace(
        "The sidecar says role-missing.",
        "The identity may see pool \\\"linux\\\" at https://dev.azure.com/contoso, but not manage it; give it the role Administrator on this pool.",
    );
    cluster.put_pod(NAMESPACE, "azp-agent-7d9f-zq4wd", &trouble);
    let (_, stdout, stderr) = cluster.status(&["-n", NAMESPACE]).await;
    assert!(stderr.is_empty(), "{stderr}");
    let page = repository().join("docs/ado-agent.md");
    let written = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = ("<!-- sample of status -->\n```text\n", "```\n<!-- end -->");
    let (before, rest) = written.split_once(begin).expect("the page has the sample");
    let (sample, after) = rest.split_once(end).expect("the sample ends");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&page, format!("{before}{begin}{stdout}{end}{after}")).unwrap();
    } else {
        assert_eq!(
            sample, stdout,
            "refresh it: UPDATE_GOLDENS=1 cargo test -p tests --test status sample"
        );
    }
}

//! What one test gets: a namespace that has opted in, a pool, an identity that trusts the namespace's ServiceAccount, and ways
//! to do things there and to wait for what follows.

mod wait;

use crate::suite::Suite;
use crate::webhook::is_ready;
use anyhow::{Context, Result, bail, ensure};
use azure_emulators::ado::{License, Pool, Role};
use azure_emulators::entra::{FederatedCredential, Identity, Kind};
use azure_emulators::recording::{Record, summary};
use cluster::command::Said;
use cluster::issuer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long most things may take: generous, since the machine may be busy. Nobody waits longer than it takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// ServiceAccount of the agents and ConfigMap with their pool, in every test's namespace.
pub(crate) const AGENT: &str = "azp-agent";

/// A test's part of the cluster and of Azure. Clones are the same.
#[derive(Clone)]
pub(crate) struct Case {
    /// What all tests share.
    pub(crate) suite: Arc<Suite>,
    /// Namespace; the pool and the identity have the same name.
    pub(crate) namespace: String,
    /// The pool.
    pub(crate) pool: Pool,
    /// The identity: Administrator of the pool.
    pub(crate) identity: Identity,
    /// Whether agents may be left in the pool at the end.
    leaves_agents: Arc<AtomicBool>,
}

/// Whether a deletion is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    UntilGone,
    No,
}

impl Case {
    /// Sets everything up, as docs/azure.md and the examples do.
    pub(crate) fn begin(suite: &Arc<Suite>, test: &str) -> Result<Self> {
        let namespace = name_of(test);
        let world = &suite.world;
        let organization = &world.settings.organization;
        let pool = match world.ado.pool(organization, &namespace) {
            Some(_) => bail!("two tests have the name {test}"),
            None => world.ado.add_pool(organization, &namespace),
        };
        let identity = world
            .entra
            .add_identity(&world.settings.tenant, Kind::Application, &namespace);
        world.ado.add_member(organization, &identity, License::Basic);
        pool.set_role(&identity, Some(Role::Administrator));
        let case = Self {
            suite: Arc::clone(suite),
            namespace,
            pool,
            identity,
            leaves_agents: Arc::default(),
        };
        case.trust(AGENT)?;
        case.remove_earlier_namespace()?;
        case.apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": case.namespace, "labels": {"ado-agent.dev/inject": "true"}},
        }))?;
        case.apply(&case.account(AGENT))?;
        case.apply(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": AGENT},
            "data": {"AZP_URL": case.organization_url(), "AZP_POOL": case.namespace},
        }))?;
        Ok(case)
    }

    /// Removes everything again; an error if the pool is not empty and nobody has said that it would not be.
    pub(crate) fn end(&self) -> Result<()> {
        let left = self.pool.agents();
        self.remove_namespace(Wait::No)?;
        ensure!(
            left.is_empty() || self.leaves_agents.load(Ordering::Relaxed),
            "agents were left in the pool: {left:#?}"
        );
        Ok(())
    }

    /// Agents may be left in the pool at the end: the test looks at them itself.
    pub(crate) fn leaves_agents(&self) {
        self.leaves_agents.store(true, Ordering::Relaxed);
    }

    /// Removes the namespace of an earlier run, if there is one.
    fn remove_earlier_namespace(&self) -> Result<()> {
        match self.blocking(|| self.suite.node.kubectl_output(&["get", "namespace", &self.namespace])) {
            Ok(_) => self.remove_namespace(Wait::UntilGone),
            Err(_) => Ok(()),
        }
    }

    /// Deletes the namespace. Its pods are deleted at once: what they had to do is over.
    fn remove_namespace(&self, wait: Wait) -> Result<()> {
        let force = ["delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false"];
        self.kubectl(&force)?;
        let wait = match wait {
            Wait::UntilGone => "--wait=true",
            Wait::No => "--wait=false",
        };
        let delete = ["delete", "namespace", &self.namespace, "--ignore-not-found", wait];
        self.blocking(|| self.suite.node.kubectl_within(&delete, LIMIT))
            .map(drop)
    }

    /// Makes an identity beside the test's own: a user of the organization, administrator of the pool, that trusts the ServiceAccount
    /// of this name.
    pub(crate) fn add_administrator(&self, namespace: &str, account: &str) -> Result<Identity> {
        let world = &self.suite.world;
        let name = format!("{}/{account}", self.namespace);
        let identity = world
            .entra
            .add_identity(&world.settings.tenant, Kind::Application, &name);
        world
            .ado
            .add_member(&world.settings.organization, &identity, License::Basic);
        self.pool.set_role(&identity, Some(Role::Administrator));
        let credential = FederatedCredential::for_service_account(&issuer(), namespace, account);
        world
            .entra
            .add_federated_credential(&identity.client_id, credential)
            .map_err(|error| anyhow::anyhow!("the federated credential was refused: {error:?}"))?;
        Ok(identity)
    }

    /// Gives the identity a personal access token, in the Secret that pods without us read it from.
    pub(crate) fn add_access_token(&self) -> Result<()> {
        let token = "a-personal-access-token-of-the-suite";
        let world = &self.suite.world;
        world
            .ado
            .add_personal_access_token(&world.settings.organization, token, &self.identity);
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": AGENT},
            "stringData": {"token": token},
        }))
        .map(drop)
    }

    /// The identity trusts this ServiceAccount of the namespace.
    pub(crate) fn trust(&self, account: &str) -> Result<()> {
        let credential = FederatedCredential::for_service_account(&issuer(), &self.namespace, account);
        self.suite
            .world
            .entra
            .add_federated_credential(&self.identity.client_id, credential)
            .map_err(|error| anyhow::anyhow!("the federated credential was refused: {error:?}"))
    }

    /// A ServiceAccount that names the identity.
    pub(crate) fn account(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {
                "name": name,
                "annotations": {"azure.workload.identity/client-id": self.identity.client_id},
            },
            "automountServiceAccountToken": false,
        })
    }

    /// The organization under Azure's own name.
    pub(crate) fn organization_url(&self) -> String {
        format!("https://dev.azure.com/{}", self.suite.world.settings.organization)
    }

    /// Runs something that blocks, without holding up the other tests.
    pub(crate) fn blocking<T>(&self, work: impl FnOnce() -> T) -> T {
        tokio::task::block_in_place(work)
    }

    /// Runs kubectl in the namespace, and fails with what it says.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_fed(arguments, "").map(|said| said.output)
    }

    /// Runs kubectl in the namespace with something on its standard input.
    pub(crate) fn kubectl_fed(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let namespace = format!("--namespace={}", self.namespace);
        let arguments = [&[namespace.as_str()], arguments].concat();
        self.blocking(|| self.suite.node.kubectl_fed(&arguments, input, LIMIT))
    }

    /// `kubectl apply` of one object. Answers what it said, warnings included; a denial is an error with its sentence.
    pub(crate) fn apply(&self, object: &Value) -> Result<Said> {
        self.kubectl_fed(&["apply", "--filename=-"], &object.to_string())
    }

    /// Scales a Deployment or another workload (`deployment/agent`).
    pub(crate) fn scale(&self, workload: &str, replicas: u32) -> Result<()> {
        self.kubectl(&["scale", workload, &format!("--replicas={replicas}")])
            .map(drop)
    }

    /// Runs a command in a container, by default as its own user; fails with what it said.
    pub(crate) fn exec(&self, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        let container = format!("--container={container}");
        self.kubectl(&[&["exec", pod, container.as_str(), "--"], command].concat())
    }

    /// Log of a container.
    pub(crate) fn log(&self, pod: &str, container: &str) -> Result<String> {
        self.kubectl(&["logs", pod, &format!("--container={container}")])
    }

    /// Pods of the namespace, oldest first.
    pub(crate) async fn pods(&self) -> Result<Vec<Value>> {
        let list = self.suite.api.get(&self.path("pods")).await?;
        let mut pods = list["items"].as_array().cloned().unwrap_or_default();
        pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].to_string());
        Ok(pods)
    }

    /// Pods of the namespace once all of them are ready. An agent may be online before the kubelet has told that it runs.
    pub(crate) async fn ready_pods(&self) -> Result<Vec<Value>> {
        let looked = || async {
            let pods = self.pods().await?;
            Ok(pods.iter().all(is_ready).then_some(pods))
        };
        self.wait("all pods ready", LIMIT, looked).await
    }

    /// A pod by name; nothing once it is gone.
    pub(crate) async fn pod(&self, name: &str) -> Result<Option<Value>> {
        self.suite.api.find(&format!("{}/{name}", self.path("pods"))).await
    }

    /// Path of a core resource of the namespace in the API.
    pub(crate) fn path(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.namespace)
    }

    /// Sends a signal to the first process of a container from outside, as the kernel's OOM killer would.
    pub(crate) fn signal(&self, pod: &Value, container: &str, signal: &str) -> Result<()> {
        let status = container_status(pod, container).with_context(|| format!("{container} has no status"))?;
        let id = status["containerID"].as_str().unwrap_or_default();
        let id = id
            .strip_prefix("containerd://")
            .context("the container has not started")?;
        let kill = ["--namespace=k8s.io", "tasks", "kill", "--signal", signal, id];
        self.blocking(|| self.suite.node.ctr(&kill)).map(drop)
    }

    /// What the identity of the namespace asked Azure DevOps, oldest first.
    pub(crate) fn requests(&self) -> Vec<Record> {
        let all = self.suite.world.ado.view().requests;
        let ours = |record: &Record| record.identity.as_deref() == Some(self.namespace.as_str());
        all.into_iter().filter(ours).collect()
    }

    /// Everything that explains a failure.
    pub(crate) fn explain(&self) -> String {
        let questions: [&[&str]; 4] = [
            &["get", "pods,deployments,replicasets,jobs", "--output=wide"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &[
                "logs",
                "--selector=ado-agent.dev/inject",
                "--all-containers",
                "--ignore-errors",
                "--prefix",
                "--tail=40",
            ],
            &[
                "--namespace=ado-agent-system",
                "logs",
                "--selector=app.kubernetes.io/name=ado-agent-webhook",
                "--prefix",
                "--tail=10",
            ],
        ];
        let answers = questions.map(|question| {
            self.kubectl(question)
                .unwrap_or_else(|error| format!("{question:?}: {error:#}"))
        });
        format!("{}\n{}", answers.join("\n"), summary(&self.requests()))
    }
}

/// A namespace's name for a test's: its function's, as far as 63 letters reach.
fn name_of(test: &str) -> String {
    let function = test.replace('_', "-");
    function[..function.len().min(63)].trim_end_matches('-').to_owned()
}

/// Status of a container of a pod, sidecars included.
pub(crate) fn container_status<'p>(pod: &'p Value, container: &str) -> Option<&'p Value> {
    ["containerStatuses", "initContainerStatuses"]
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
        .find(|status| status["name"] == container)
}

//! `ado-agent keep` as it is installed: its component with its rights, its image, a real kubelet's Events. What it decides is tested
//! in `tests/it/keep`, and in `plug` while everything around it dies.

use crate::case::{Case, LIMIT};
use crate::ending::Stop;
use crate::install::{kubectl, path};
use crate::metrics::{Counts, counts, pages};
use crate::suite::say;
use crate::webhook::Webhook;
use crate::workload::{CONTAINER, deployment, template};
use anyhow::{Context, Result, bail, ensure};
use azure_emulators::ado::Role;
use contract::{SIDECAR_CONTAINER, SYSTEM_NAMESPACE};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tests::kustomize;

/// The component over the base, with a private CA.
const FOLDER: &str = "tests/cluster/manifests/keep";
/// Deployment, ServiceAccount, ClusterRole and settings have this name, or begin with it.
const NAME: &str = "ado-agent-keep";
/// Pieces of the ledger begin so.
const LEDGER: &str = "ado-agent-ledger-";
/// Who writes its Events.
const CONTROLLER: &str = "ado-agent.dev/keep";
/// Requests of two rounds, so that one whole round lies among them.
const TWO_ROUNDS: usize = 4;

pub(crate) async fn an_agent_that_is_left_behind_is_removed_counted_and_told(case: Case) -> Result<()> {
    let keep = Keep::install(&case)?;
    let result = keep.removes_counts_and_tells().await;
    case.suite.world.ado.clock().set_skew_millis(0);
    result.with_context(|| format!("log of {NAME}:\n{}", keep.log()))
}

/// The installation. Dropping it removes it.
struct Keep {
    case: Case,
    objects: String,
    /// Name of its identity.
    identity: String,
}

impl Drop for Keep {
    fn drop(&mut self) {
        let delete = ["delete", "--ignore-not-found", "--filename=-"];
        let node = &self.case.suite.node;
        if let Err(error) = self.case.blocking(|| node.kubectl_fed(&delete, &self.objects, LIMIT)) {
            say(&format!("{NAME} could not be removed: {error:#}"));
        }
    }
}

impl Keep {
    /// As docs/keep.md says, with a round each second.
    fn install(case: &Case) -> Result<Self> {
        let identity = case.add_administrator(SYSTEM_NAMESPACE, NAME)?;
        let mut objects = kustomize::parse(&kubectl(case, &["kustomize", &path(FOLDER)])?)?;
        objects.retain(|object| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            name.starts_with(NAME) || name.starts_with(LEDGER)
        });
        let is_settings = |object: &&mut Value| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            object["kind"] == "ConfigMap" && name.starts_with(NAME)
        };
        let settings = objects.iter_mut().find(is_settings).context("it has settings")?;
        settings["data"] = json!({
            "ADO_AGENT_KEEP_URL": case.organization_url(),
            "ADO_AGENT_KEEP_POOLS": case.namespace,
            "ADO_AGENT_KEEP_NAMESPACES": case.namespace,
            "ADO_AGENT_KEEP_INTERVAL": "1",
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": case.suite.world.settings.tenant,
        });
        let keep = Self {
            case: case.clone(),
            objects: json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string(),
            identity: identity.name,
        };
        case.blocking(|| {
            let apply = ["apply", "--filename=-"];
            case.suite.node.kubectl_fed(&apply, &keep.objects, LIMIT)
        })?;
        let account = format!("--serviceaccount={SYSTEM_NAMESPACE}:{NAME}");
        case.kubectl(&["create", "rolebinding", NAME, "--clusterrole", NAME, &account])?;
        Ok(keep)
    }

    async fn removes_counts_and_tells(&self) -> Result<()> {
        let case = &self.case;
        // What is there at its first look is no news.
        let rollout = ["rollout", "status", &format!("deployment/{NAME}"), "--timeout=110s"];
        Webhook::of(case).kubectl(&rollout)?;
        case.apply(&deployment("agent", 1, &template("gen3")))?;
        case.wait_for_agents(1).await?;
        let first = self.pod_beside("").await?;
        self.told("AgentRegistered", &first).await?;
        let agent = case.pool.agent(&first).context("it has the pod's name")?.id;

        // Now nobody inside can remove an agent, however long the kubelet lets them try.
        case.pool.set_role(&case.identity, Some(Role::Reader));
        let gone = case.pod(&first).await?.context("the first pod is there")?;
        let force = ["--force", "--grace-period=0", "--wait=false"];
        case.kubectl(&[&["delete", "pod", first.as_str()][..], &force].concat())?;
        let second = self.pod_beside(&first).await?;
        self.told("RoleMissing", &second).await?;
        // The kubelet gives a pod that was deleted by force some seconds yet.
        let ended = || async {
            let log = std::fs::read_to_string(case.suite.node.log("containerd"))?;
            let has_ended = |container| Stop::find(&log, &gone, container).ended.is_some();
            Ok([CONTAINER, SIDECAR_CONTAINER].into_iter().all(has_ended).then_some(()))
        };
        case.wait("the end of the first pod's containers", LIMIT, ended).await?;
        case.pool.set_role(&case.identity, Some(Role::Administrator));
        let is_online = |name: &str| case.pool.agent(name).is_some_and(|agent| agent.online);
        case.wait_for_pool("the agent of the next pod", |_| is_online(&second))
            .await?;
        ensure!(case.pool.agent(&first).is_some(), "the first agent is left behind");

        self.sweeps(agent).await?;
        self.told("AgentLeftBehind", &first).await?;
        self.told("AgentRemoved", &first).await?;
        let shown = case.kubectl(&["describe", "deployment", "agent"])?;
        let sentence = format!("The sweep removed agent \"{first}\" ({agent})");
        ensure!(shown.contains(&sentence), "{shown}");
        ensure!(case.pool.agent(&second).is_some(), "the agent of a living pod stays");
        self.counted().await?;
        case.scale("deployment/agent", 0)?;
        case.wait_for_agents(0).await
    }

    /// The one pod of the namespace that has another name.
    async fn pod_beside(&self, name: &str) -> Result<String> {
        let looked = || async {
            let pods = self.case.pods().await?;
            let mut names = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
            Ok(names.find(|found| *found != name).map(str::to_owned))
        };
        self.case.wait("a pod", LIMIT, looked).await
    }

    /// Azure DevOps' clock moves, a minute a round, until this agent is gone.
    async fn sweeps(&self, agent: i64) -> Result<()> {
        let begin = Instant::now();
        while self.case.pool.agents().iter().any(|found| found.id == agent) {
            ensure!(begin.elapsed() < LIMIT, "agent {agent} is not removed");
            self.case.suite.world.ado.clock().advance(Duration::from_secs(60));
            let asked = self.asked();
            let looked = || async { Ok((self.asked() >= asked + TWO_ROUNDS).then_some(())) };
            self.case.wait("a round", LIMIT, looked).await?;
        }
        Ok(())
    }

    /// How often it has asked Azure DevOps.
    fn asked(&self) -> usize {
        let requests = self.case.suite.world.ado.view().requests;
        let ours = requests
            .iter()
            .filter(|record| record.identity.as_ref() == Some(&self.identity));
        ours.count()
    }

    /// Waits for an Event of this reason at the pod and at its Deployment.
    async fn told(&self, reason: &str, pod: &str) -> Result<()> {
        let looked = || async {
            let list = self.case.suite.api.get(&self.case.path("events")).await?;
            let events = list["items"].as_array().into_iter().flatten();
            let ours = events.filter(|event| event["reportingComponent"] == CONTROLLER);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let told: BTreeSet<[String; 3]> = ours
                .map(|event| {
                    let about = &event["involvedObject"];
                    [&event["reason"], &about["kind"], &about["name"]].map(text)
                })
                .collect();
            for (kind, name) in [("Pod", pod), ("Deployment", "agent")] {
                if !told.contains(&[reason, kind, name].map(str::to_owned)) {
                    bail!("{reason} of {kind} {name} is not among {told:?}");
                }
            }
            Ok(Some(()))
        };
        self.case
            .wait(&format!("Events {reason} of {pod}"), LIMIT, looked)
            .await
    }

    /// The removal stands in the metrics, once and as the sweep's, and no Event was refused.
    async fn counted(&self) -> Result<()> {
        let [page]: [String; 1] = pages(&self.case, NAME)
            .await?
            .try_into()
            .map_err(|pages: Vec<String>| anyhow::anyhow!("{} pods", pages.len()))?;
        let sum = |counts: &Counts, labels: &[String]| -> f64 {
            let has = |found: &&String| labels.iter().all(|label| found.contains(label));
            counts.keys().filter(has).map(|found| counts[found]).sum()
        };
        let label = |name: &str, value: &str| format!("{name}=\"{value}\"");
        let removals = counts(&page, "ado_agent_removals_total")?;
        let by_sweep = label("by", "sweep");
        let one = [
            by_sweep.clone(),
            label("outcome", "removed"),
            label("namespace", &self.case.namespace),
            label("pool", &self.case.namespace),
        ];
        ensure!(
            sum(&removals, &one) == 1.0 && sum(&removals, &[by_sweep]) == 1.0,
            "{removals:#?}"
        );
        let errors = counts(&page, "cicd_system_errors_total")?;
        ensure!(sum(&errors, &["\"events\"".to_owned()]) == 0.0, "{errors:#?}");
        Ok(())
    }

    fn log(&self) -> String {
        let logs = ["logs", &format!("deployment/{NAME}"), "--tail=100"];
        Webhook::of(&self.case)
            .kubectl(&logs)
            .unwrap_or_else(|error| format!("{error:#}"))
    }
}

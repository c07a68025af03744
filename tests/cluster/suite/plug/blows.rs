//! The plugs, and how each is pulled.

use super::Pull;
use super::dice::Dice;
use crate::case::{Case, LIMIT};
use crate::issuer::{second_key, sign_with};
use crate::recovery::SHORT_LIFE;
use crate::webhook::Webhook;
use crate::workload::CONTAINER;
use anyhow::{Result, ensure};
use azure_emulators::faults::{Fault, Faults};
use cluster::Ground;
use contract::SIDECAR_CONTAINER;
use serde_json::json;
use std::time::Duration;

/// One plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// The agent's first process dies.
    KillAgent,
    /// The sidecar dies, and is started again.
    KillSidecar,
    /// The pod is deleted with its grace.
    Delete,
    /// The pod is deleted without one.
    ForceDelete,
    /// The pod is evicted through the API.
    Evict,
    /// `ado-agent keep` dies.
    KillKeep,
    /// A pod of the webhook dies.
    KillWebhook,
    /// The kubelet dies, and is started again.
    KillKubelet,
    /// containerd dies, and is started again.
    KillContainerd,
    /// The Node object is deleted, and the kubelet registers again.
    DeleteNode,
    /// Azure DevOps is away for a while, in one way or another.
    PartitionAzureDevOps,
    /// Entra is away for a while.
    PartitionEntra,
    /// A pod's next tokens are short-lived.
    ExpireTokens,
    /// The API server signs with another key, and is started again for it.
    RotateKeys,
    /// Azure DevOps' clock jumps.
    MoveClock,
}

/// Those that are pulled more often stand here more often.
const ALL: &[Blow] = &[
    Blow::KillAgent,
    Blow::KillAgent,
    Blow::KillSidecar,
    Blow::KillSidecar,
    Blow::Delete,
    Blow::Delete,
    Blow::Delete,
    Blow::ForceDelete,
    Blow::ForceDelete,
    Blow::Evict,
    Blow::Evict,
    Blow::KillKeep,
    Blow::KillKeep,
    Blow::KillWebhook,
    Blow::KillKubelet,
    Blow::KillContainerd,
    Blow::DeleteNode,
    Blow::PartitionAzureDevOps,
    Blow::PartitionAzureDevOps,
    Blow::PartitionEntra,
    Blow::ExpireTokens,
    Blow::RotateKeys,
    Blow::MoveClock,
];

/// What sidecars, start scripts and `ado-agent keep` ask of Azure DevOps. Listeners and running jobs have roads of their own: what
/// becomes of those when Azure DevOps is away is the agent's affair.
const MANAGEMENT: &[&str] = &[
    "GET /_apis/distributedtask/pools",
    "GET /_apis/distributedtask/pools/*/agents",
    "GET /_apis/distributedtask/pools/*/agents/*",
    "GET /_apis/distributedtask/pools/*/jobrequests",
    "PATCH /_apis/distributedtask/pools/*/agents/*",
    "DELETE /_apis/distributedtask/pools/*/agents/*",
];

/// A fault that lasts no longer than a grace period bears.
const LONGEST_PARTITION: u64 = 6_000;

impl Blow {
    pub(super) fn any(dice: &mut Dice) -> Self {
        *dice.one_of(ALL)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::KillAgent => "agent-killed",
            Self::KillSidecar => "sidecar-killed",
            Self::Delete => "deleted",
            Self::ForceDelete => "force-deleted",
            Self::Evict => "evicted",
            Self::KillKeep => "keep-killed",
            Self::KillWebhook => "webhook-killed",
            Self::KillKubelet => "kubelet-killed",
            Self::KillContainerd => "containerd-killed",
            Self::DeleteNode => "node-deleted",
            Self::PartitionAzureDevOps => "azure-devops-away",
            Self::PartitionEntra => "entra-away",
            Self::ExpireTokens => "tokens-expire",
            Self::RotateKeys => "keys-rotated",
            Self::MoveClock => "clock-moved",
        }
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let all = [
        Fault::Reset,
        Fault::ResetAfter,
        Fault::Hang,
        Fault::Truncate,
        Fault::Status { status: 503 },
        Fault::Throttle {
            retry_after: Some("2".to_owned()),
        },
        Fault::SignInPage,
        Fault::Unauthorized,
        Fault::AccessDenied,
        Fault::ProxyPage,
    ];
    dice.one_of(&all).clone()
}

impl Pull {
    pub(super) async fn strike(&mut self, blow: Blow) -> Result<()> {
        let case = self.case.clone();
        match blow {
            Blow::KillAgent => self.kill(CONTAINER, Some(blow.word())),
            Blow::KillSidecar => self.kill(SIDECAR_CONTAINER, None),
            Blow::Delete => {
                if let Some(victim) = self.victim() {
                    self.victims[victim].leaves = true;
                    self.victims[victim].life.delete(&["--ignore-not-found"])?;
                }
            }
            Blow::ForceDelete => {
                if let Some(victim) = self.victim() {
                    self.victims[victim].leaves = true;
                    self.victims[victim].violence.insert(blow.word());
                    let how = ["--ignore-not-found", "--force", "--grace-period=0"];
                    self.victims[victim].life.delete(&how)?;
                }
            }
            Blow::Evict => self.evict().await?,
            Blow::KillKeep => {
                self.keep.kill()?;
                self.pause().await;
                self.keep.ensure_runs(&case)?;
            }
            Blow::KillWebhook => {
                let pods = Webhook::of(&case).pods().await?;
                if let Some(name) = pods.first().and_then(|pod| pod["metadata"]["name"].as_str()) {
                    let delete = ["delete", "pod", name, "--force", "--grace-period=0", "--wait=false"];
                    Webhook::of(&case).kubectl(&delete)?;
                }
                // The pods that come next need it.
                Webhook::of(&case).wait_until_ready().await?;
            }
            Blow::KillKubelet => self.restart("kubelet").await?,
            // systemd keeps it in a node of kind, and we do not know its command line there.
            Blow::KillContainerd if case.suite.node.ground() == Ground::Kind => {}
            Blow::KillContainerd => self.restart("containerd").await?,
            // There the new Node would get other addresses for its pods than its network has.
            Blow::DeleteNode if case.suite.node.ground() == Ground::Kind => {}
            Blow::DeleteNode => self.delete_node().await?,
            Blow::PartitionAzureDevOps => {
                let fault = fault(&mut self.dice);
                let faults = case.suite.world.ado.faults();
                for route in MANAGEMENT {
                    faults.always(route, fault.clone());
                }
                self.partition(faults).await;
            }
            Blow::PartitionEntra => {
                let fault = match self.dice.below(4) {
                    0 => Fault::Reset,
                    1 => Fault::Hang,
                    2 => Fault::Status { status: 503 },
                    _ => Fault::Aadsts { code: 90033 },
                };
                let faults = case.suite.world.entra.faults();
                faults.always("**", fault);
                self.partition(faults).await;
            }
            Blow::ExpireTokens => {
                if let Some(victim) = self.victim() {
                    let client = &self.victims[victim].life.identity.client_id;
                    case.suite.world.entra.set_token_lifetime(client, Some(SHORT_LIFE));
                }
            }
            Blow::RotateKeys => {
                let next = match self.next_key.take() {
                    Some(key) => key,
                    None => second_key(&case)?,
                };
                self.next_key = Some(sign_with(&case, &next)?);
                until_node_is_ready(&case).await?;
            }
            Blow::MoveClock => case.suite.world.ado.clock().advance(Duration::from_secs(30)),
        }
        Ok(())
    }

    /// A pod that was not told to leave.
    fn victim(&mut self) -> Option<usize> {
        let there: Vec<usize> = (0..self.victims.len())
            .filter(|number| !self.victims[*number].leaves)
            .collect();
        if there.is_empty() {
            return None;
        }
        Some(*self.dice.one_of(&there))
    }

    fn kill(&mut self, container: &str, violence: Option<&'static str>) {
        let Some(number) = self.victim() else { return };
        let victim = &mut self.victims[number];
        // It may not have started yet, or may have ended.
        if self.case.signal(&victim.life.pod(), container, "SIGKILL").is_ok() {
            victim.violence.extend(violence);
        }
    }

    async fn evict(&mut self) -> Result<()> {
        let Some(number) = self.victim() else { return Ok(()) };
        let name = self.victims[number].life.name.clone();
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": self.case.namespace},
        });
        let path = format!("{}/{name}/eviction", self.case.path("pods"));
        let api = &self.case.suite.api;
        let (status, answer) = api.send(reqwest::Method::POST, &path, Some(&eviction)).await?;
        ensure!(
            [201, 404].contains(&status),
            "the eviction of {name}: {status} {answer}"
        );
        self.victims[number].leaves = true;
        Ok(())
    }

    async fn restart(&mut self, service: &str) -> Result<()> {
        self.case.blocking(|| self.case.suite.node.kill(service))?;
        self.pause().await;
        self.case
            .blocking(|| self.case.suite.node.start_again(service, |_| {}))?;
        until_node_is_ready(&self.case).await
    }

    /// Pods whose node is gone are deleted without grace by the pod garbage collector, unless it is back soon; what it did counts
    /// as violence.
    async fn delete_node(&mut self) -> Result<()> {
        let api = &self.case.suite.api;
        let nodes = api.get("/api/v1/nodes").await?;
        let node = &nodes["items"][0];
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let labels = node["metadata"]["labels"].clone();
        self.case.kubectl(&["delete", "node", &name, "--wait=false"])?;
        self.pause().await;
        // The kubelet registers its node when it starts. kube-proxy ends when its node is deleted (Kubernetes, `pkg/proxy/node.go`),
        // and elsewhere its DaemonSet starts it again.
        self.case.blocking(|| {
            let node = &self.case.suite.node;
            node.restart("kubelet", |_| {})?;
            node.restart("kube-proxy", |_| {})
        })?;
        until_node_is_ready(&self.case).await?;
        let patch = json!({"metadata": {"labels": labels}}).to_string();
        self.case
            .kubectl(&["patch", "node", &name, "--type=merge", "--patch", &patch])?;
        for victim in &mut self.victims {
            let pod = victim.life.pod();
            let told = !pod["metadata"]["deletionTimestamp"].is_null();
            if !victim.leaves && (told || victim.life.is_gone()) {
                victim.leaves = true;
                victim.violence.insert(Blow::DeleteNode.word());
            }
        }
        Ok(())
    }

    async fn partition(&mut self, faults: &Faults) {
        let millis = 500 + self.dice.below(LONGEST_PARTITION);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        faults.clear();
    }
}

async fn until_node_is_ready(case: &Case) -> Result<()> {
    let looked = || async {
        let nodes = case.suite.api.get("/api/v1/nodes").await?;
        let conditions = nodes["items"][0]["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        Ok(ready.then_some(()))
    };
    case.wait("the node to be ready", LIMIT, looked).await
}

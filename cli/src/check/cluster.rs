//! API server and nodes: are native sidecars there, and which kubelets have known faults?

use super::CheckReason;
use super::kubelet::{Version, faults};
use super::looked::Looked;
use crate::problem::{Finding, shared};
use contract::DenyReason;
use k8s_openapi::api::core::v1::Node;
use std::collections::BTreeMap;

/// What was seen of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// `gitVersion` of the API server.
    pub(crate) version: Looked<String>,
    /// Its nodes.
    pub(crate) nodes: Looked<Vec<Node>>,
    /// Whether cert-manager's definitions are there; `None`: that does not matter any more.
    pub(crate) cert_manager: Option<Looked<()>>,
}

const API_SERVER: &str = "API server";
const NODES: &str = "nodes";

/// What that means.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![server(&facts.version)];
    match facts.nodes.or_finding(NODES, no_node) {
        Ok(nodes) => findings.extend(of_nodes(nodes)),
        Err(finding) => findings.push(finding),
    }
    if let Some(cert_manager) = &facts.cert_manager {
        findings.push(of_cert_manager(cert_manager));
    }
    findings
}

fn server(version: &Looked<String>) -> Finding {
    let text = match version.or_finding(API_SERVER, || {
        Finding::bad(
            API_SERVER,
            "What answers has no /version: this is no API server of Kubernetes.",
            CheckReason::ClusterUnreachable
                .fix("Correct the address in the kubeconfig, or pass --kubeconfig and --context."),
        )
    }) {
        Ok(text) => text,
        Err(finding) => return finding,
    };
    match Version::parse(text) {
        Some(version) if !version.knows_native_sidecars() => Finding::bad(
            API_SERVER,
            format!("{text} drops the field that makes the sidecar a native one, and the webhook denies every pod."),
            shared(
                DenyReason::NoNativeSidecars,
                "Upgrade the control plane to Kubernetes 1.29 or later; 1.33 is recommended.",
            ),
        ),
        Some(_) | None => Finding::good(API_SERVER, format!("It answers, {text}.")),
    }
}

fn no_node() -> Finding {
    Finding::bad(
        NODES,
        "No Linux node is ready and takes pods.",
        CheckReason::NoNode.fix(
            "Add a Linux node, or look at `kubectl get nodes`: a node that is NotReady or cordoned starts no pod.",
        ),
    )
}

/// Nodes that could run the pods, by the version of their kubelet.
fn of_nodes(nodes: &[Node]) -> Vec<Finding> {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| takes_pods(node)) {
        let kubelet = node
            .status
            .as_ref()
            .and_then(|status| status.node_info.as_ref())
            .map_or("unknown", |info| info.kubelet_version.as_str());
        let name = node.metadata.name.as_deref().unwrap_or_default();
        by_version.entry(kubelet).or_default().push(name);
    }
    if by_version.is_empty() {
        return vec![no_node()];
    }
    by_version
        .into_iter()
        .map(|(kubelet, names)| of_version(kubelet, &names))
        .collect()
}

fn of_version(kubelet: &str, names: &[&str]) -> Finding {
    let who = who(names);
    let Some(version) = Version::parse(kubelet) else {
        return Finding::good(NODES, format!("{who}: kubelet {kubelet}."));
    };
    if !version.knows_native_sidecars() {
        return Finding::bad(
            NODES,
            format!("{who}: kubelet {kubelet} refuses pods with a native sidecar."),
            CheckReason::NodeTooOld
                .fix("Upgrade these nodes to 1.29 or later, or keep agent pods away from them with a nodeSelector."),
        );
    }
    let faults = faults(&version);
    if faults.is_empty() {
        return Finding::good(NODES, format!("{who}: kubelet {kubelet}."));
    }
    Finding::warning(
        NODES,
        format!("{who}: kubelet {kubelet} has known faults: {}.", faults.join("; ")),
        CheckReason::KubeletFault.fix("Upgrade these nodes to the newest patch release of 1.33 or later. Until then: a pod that is stuck goes on once it is deleted and created again."),
    )
}

/// Names, of which there may be thousands.
fn who(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        [first, second] => format!("{first}, {second}"),
        [first, ..] => format!("{first} and {} more", names.len() - 1),
        [] => String::new(),
    }
}

/// Linux, ready, not cordoned, and with a kubelet (virtual nodes have none).
fn takes_pods(node: &Node) -> bool {
    let label = |key: &str| {
        node.metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    let is_ready = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let is_cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    is_ready
        && !is_cordoned
        && label("kubernetes.io/os").unwrap_or("linux") == "linux"
        && label("type") != Some("virtual-kubelet")
}

fn of_cert_manager(found: &Looked<()>) -> Finding {
    const SUBJECT: &str = "cert-manager";
    let missing = || {
        Finding::bad(
            SUBJECT,
            "Its definitions (cert-manager.io/v1) are not in the cluster, so nobody makes the webhook's certificate.",
            CheckReason::CertManagerMissing
                .fix("Install cert-manager 1.19 or later first: https://cert-manager.io/docs/installation/"),
        )
    };
    match found.or_finding(SUBJECT, missing) {
        Ok(()) => Finding::good(SUBJECT, "Its definitions are there."),
        Err(finding) => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Level;
    use serde_json::json;

    fn node(name: &str, kubelet: &str, change: impl FnOnce(&mut serde_json::Value)) -> Node {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
            "spec": {},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {
                    "kubeletVersion": kubelet, "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                    "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": "",
                },
            },
        });
        change(&mut node);
        serde_json::from_value(node).expect("a node")
    }

    fn words(nodes: Vec<Node>) -> Vec<(Level, Option<&'static str>)> {
        let facts = Facts {
            version: Looked::Found("v1.34.4".into()),
            nodes: Looked::Found(nodes),
            cert_manager: None,
        };
        let found = findings(&facts).into_iter().skip(1);
        found
            .map(|finding| (finding.level, finding.problem.map(|problem| problem.reason)))
            .collect()
    }

    #[test]
    fn nodes_are_told_apart_by_their_kubelet() {
        let same = |_: &mut serde_json::Value| {};
        assert_eq!(
            words(vec![node("a", "v1.34.4", same), node("b", "v1.34.4", same)]),
            [(Level::Good, None)]
        );
        assert_eq!(
            words(vec![node("a", "v1.34.1", same), node("b", "v1.28.9", same)]),
            [
                (Level::Bad, Some("node-too-old")),
                (Level::Warning, Some("kubelet-fault"))
            ]
        );
    }

    #[test]
    fn nodes_that_take_no_pods_do_not_count() {
        let none = [(Level::Bad, Some("no-node"))];
        assert_eq!(words(vec![]), none);
        for change in [
            (|node| node["spec"]["unschedulable"] = json!(true)) as fn(&mut serde_json::Value),
            |node| node["status"]["conditions"][0]["status"] = json!("False"),
            |node| node["metadata"]["labels"]["kubernetes.io/os"] = json!("windows"),
            |node| node["metadata"]["labels"]["type"] = json!("virtual-kubelet"),
        ] {
            assert_eq!(words(vec![node("a", "v1.28.0", change)]), none);
        }
    }

    #[test]
    fn a_server_without_native_sidecars_is_named() {
        let found = server(&Looked::Found("v1.28.11".into()));
        assert_eq!(found.problem.expect("a problem").reason, "no-native-sidecars");
        assert_eq!(server(&Looked::Found("v1.29.0".into())).level, Level::Good);
        assert_eq!(
            server(&Looked::Refused("User x cannot get path".into())).level,
            Level::Unseen
        );
        assert_eq!(server(&Looked::Failed("connection refused".into())).level, Level::Bad);
    }
}

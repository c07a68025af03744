//! What the pod says about the node that it runs on.

use crate::pod::{Pod, Requirement};

/// Node labels with the operating system.
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
/// Taints of virtual nodes (virtual-kubelet/virtual-kubelet; AKS' virtual nodes are Azure Container Instances).
const VIRTUAL_TAINTS: [&str; 2] = ["virtual-kubelet.io/provider", "azure.com/aci"];

/// The field that makes the pod a Windows pod, if it is one.
pub(crate) fn windows(pod: &Pod<'_>) -> Option<String> {
    if pod.placement.os == Some("windows") {
        return Some("spec.os.name".to_owned());
    }
    if let Some(place) = demanded(pod, &OS_LABELS, "windows") {
        return Some(place);
    }
    if pod.has_windows_options {
        return Some("spec.securityContext.windowsOptions".to_owned());
    }
    let mut containers = pod.containers.iter();
    containers
        .find(|container| container.privileges.has_windows_options)
        .map(|container| format!("{}.securityContext.windowsOptions", container.place()))
}

/// The field that lets the pod run on a virtual node, if one does.
pub(crate) fn virtual_node(pod: &Pod<'_>) -> Option<String> {
    demanded(pod, &["type"], "virtual-kubelet").or_else(|| {
        let mut keys = pod.placement.toleration_keys.iter();
        let key = keys.find(|key| VIRTUAL_TAINTS.contains(key))?;
        Some(format!("spec.tolerations {key}"))
    })
}

/// Where the pod demands a node whose label, one of `keys`, has this value and no other: in its node selector, or in every
/// term of its required node affinity (of which one has to hold).
fn demanded(pod: &Pod<'_>, keys: &[&str], value: &str) -> Option<String> {
    let selector = pod.placement.node_selector;
    if let Some(key) = keys.iter().find(|key| selector.get(key) == Some(value)) {
        return Some(format!("spec.nodeSelector {key}"));
    }
    let demands = |requirement: &Requirement<'_>| {
        keys.contains(&requirement.key)
            && requirement.operator == "In"
            && !requirement.values.is_empty()
            && requirement.values.iter().all(|one| *one == value)
    };
    let terms = &pod.placement.affinity;
    let is_demanded = !terms.is_empty() && terms.iter().all(|term| term.iter().any(demands));
    is_demanded.then(|| format!("spec.affinity.nodeAffinity {}", keys[0]))
}

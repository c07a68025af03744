//! What the pod says about the node that it runs on.

use crate::Denial;
use crate::raw::{self, Object, Pod};

/// Node labels with the operating system.
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
/// Taints of virtual nodes (virtual-kubelet/virtual-kubelet; AKS' virtual nodes are Azure Container Instances).
const VIRTUAL_TAINTS: [&str; 2] = ["virtual-kubelet.io/provider", "azure.com/aci"];

/// What makes the pod a Windows pod, if it is one.
pub(crate) fn windows(pod: &Pod<'_>) -> Result<Option<String>, Denial> {
    let os = match raw::object(pod.spec, "os", "spec.")? {
        Some(os) => raw::text(os, "name", "spec.os.")?,
        None => None,
    };
    if os == Some("windows") {
        return Ok(Some("spec.os.name".to_owned()));
    }
    if let Some(place) = demanded(pod, &OS_LABELS, "windows")? {
        return Ok(Some(place));
    }
    if has_windows_options(pod.spec, "spec.")? {
        return Ok(Some("spec.securityContext.windowsOptions".to_owned()));
    }
    for (index, container) in pod.containers("containers")?.into_iter().enumerate() {
        if has_windows_options(container.raw, format_args!("spec.containers[{index}]."))? {
            return Ok(Some(format!("spec.containers[{index}].securityContext.windowsOptions")));
        }
    }
    Ok(None)
}

/// What lets the pod run on a virtual node, if anything does.
pub(crate) fn virtual_node(pod: &Pod<'_>) -> Result<Option<String>, Denial> {
    if let Some(place) = demanded(pod, &["type"], "virtual-kubelet")? {
        return Ok(Some(place));
    }
    for (index, toleration) in raw::objects(pod.spec, "tolerations", "spec.")?.into_iter().enumerate() {
        let key = raw::text(toleration, "key", format_args!("spec.tolerations[{index}]."))?;
        if let Some(key) = key.filter(|key| VIRTUAL_TAINTS.contains(key)) {
            return Ok(Some(format!("spec.tolerations {key}")));
        }
    }
    Ok(None)
}

fn has_windows_options(parent: &Object, path: impl std::fmt::Display) -> Result<bool, Denial> {
    let Some(context) = raw::object(parent, "securityContext", &path)? else {
        return Ok(false);
    };
    let options = raw::object(context, "windowsOptions", format_args!("{path}securityContext."))?;
    Ok(options.is_some_and(|options| options.values().any(|value| !value.is_null())))
}

/// Where the pod demands a node whose label, one of `keys`, has this value and no other: in its node selector, or in every
/// term of its required node affinity (of which one has to hold).
fn demanded(pod: &Pod<'_>, keys: &[&str], value: &str) -> Result<Option<String>, Denial> {
    if let Some(selector) = raw::object(pod.spec, "nodeSelector", "spec.")? {
        for key in keys {
            if raw::text(selector, key, "spec.nodeSelector.")? == Some(value) {
                return Ok(Some(format!("spec.nodeSelector {key}")));
            }
        }
    }
    let mut place = pod.spec;
    for key in [
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
    ] {
        match raw::object(place, key, "spec.affinity.")? {
            Some(next) => place = next,
            None => return Ok(None),
        }
    }
    let path = "spec.affinity.nodeAffinity.nodeSelectorTerms[].";
    let terms = raw::objects(place, "nodeSelectorTerms", path)?;
    for term in &terms {
        let mut demands = false;
        for expression in raw::objects(term, "matchExpressions", path)? {
            let key = raw::text(expression, "key", path)?.unwrap_or_default();
            let is_in = raw::text(expression, "operator", path)? == Some("In");
            let values = raw::texts(expression, "values", path)?;
            demands |= is_in && keys.contains(&key) && !values.is_empty() && values.iter().all(|one| *one == value);
        }
        if !demands {
            return Ok(None);
        }
    }
    Ok((!terms.is_empty()).then(|| format!("spec.affinity.nodeAffinity {}", keys[0])))
}

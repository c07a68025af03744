//! Whether an object asks for the sidecar, and whether the sidecar could work in it.

use crate::json::Node;
use crate::pod::Pod;
use crate::text::quote;
use crate::values::is_label;
use crate::{ClusterFacts, Decision, Denial, Request, injected, node};
use contract::{DenyReason, SkipReason};
use serde_json::Value;

/// Annotation of a static pod's mirror (kubernetes/kubernetes `pkg/kubelet/types`, `ConfigMirrorAnnotationKey`).
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Whether the request creates a pod, as far as the request itself says.
pub(crate) fn creates_pod(request: &Request<'_>) -> bool {
    let Request {
        namespace: _,
        operation,
        group,
        resource,
        subresource,
    } = request;
    (*operation, *group, *resource, *subresource) == ("CREATE", "", "pods", "")
}

/// Whether the object is a pod that asks for the sidecar and does not have it yet.
pub(crate) fn asks<'a>(object: &'a Value, request: &Request<'_>) -> Result<Pod<'a>, Decision> {
    let is_pod_creation = creates_pod(request)
        && object
            .get("kind")
            .and_then(Value::as_str)
            .is_none_or(|kind| kind == "Pod");
    if !is_pod_creation {
        return Err(Decision::skip(SkipReason::NotAPodCreation));
    }
    let root = Node::root(object)?;
    let is_mirror = metadata(root, "annotations", |annotations| {
        Ok(annotations.object.contains_key(MIRROR_ANNOTATION).then_some(()))
    })?;
    if is_mirror.is_some() {
        return Err(Decision::skip(SkipReason::MirrorPod));
    }
    match metadata(root, "labels", |labels| labels.text(contract::INJECT_LABEL))? {
        None => return Err(Decision::skip(SkipReason::NotLabeled)),
        Some("false") => return Err(Decision::skip(SkipReason::OptedOut)),
        Some("true") => {}
        Some(other) => {
            return Err(Decision::Deny(Denial::new(
                DenyReason::BadLabel,
                format!(
                    "label {} is {}; expected \"true\" (inject the sidecar) or \"false\" (leave the pod alone)",
                    contract::INJECT_LABEL,
                    quote(other)
                ),
            )));
        }
    }
    let pod = Pod::read(root)?;
    match injected::before(&pod) {
        None => Ok(pod),
        Some(decision) => Err(decision),
    }
}

/// What a map of the metadata says, before anything else of the pod is read.
fn metadata<'a, T>(
    root: Node<'a, '_>,
    map: &str,
    read: impl FnOnce(Node<'a, '_>) -> Result<Option<T>, Denial>,
) -> Result<Option<T>, Denial> {
    let found = root.object("metadata", |metadata| metadata.object(map, read))?;
    Ok(found.flatten().flatten())
}

/// Whether the sidecar can work in this pod at all.
pub(crate) fn can_run(pod: &Pod<'_>, request: &Request<'_>, cluster: &ClusterFacts) -> Result<(), Decision> {
    // It becomes part of the ownership marker and of the path of an API call.
    if !is_label(request.namespace) {
        return Err(malformed(format!(
            "the request's namespace is {}; expected the name of a namespace (a DNS label)",
            quote(request.namespace)
        )));
    }
    if let Some(place) = node::windows(pod) {
        return Err(Decision::Deny(Denial::new(
            DenyReason::WindowsPod,
            format!(
                "{place} makes it a Windows pod, but the sidecar is a Linux program; remove label {}",
                contract::INJECT_LABEL
            ),
        )));
    }
    if !cluster.native_sidecars {
        return Err(Decision::Deny(Denial::new(
            DenyReason::NoNativeSidecars,
            "this API server does not support native sidecars (it drops the restartPolicy of init containers), so the pod would never \
             start; Kubernetes 1.29 or later is required"
                .to_owned(),
        )));
    }
    Ok(())
}

fn malformed(sentence: String) -> Decision {
    Decision::Deny(Denial::new(DenyReason::MalformedPod, sentence))
}

//! A pod that has something of an injection already: the API server asks twice, and people copy pods.

use crate::raw::{self, Container, Pod};
use crate::text::bounded;
use crate::{Decision, Denial, advice};
use contract::{DenyReason, SkipReason};

/// What happens to the pod, unless it has nothing of ours.
pub(crate) fn before(pod: &Pod<'_>) -> Result<Option<Decision>, Denial> {
    let init = pod.containers("initContainers")?;
    let container = init
        .iter()
        .find(|container| container.name == contract::SIDECAR_CONTAINER);
    let status = pod.annotation(contract::STATUS_ANNOTATION)?.is_some();
    let (has, lacks) = match (container, status) {
        (None, false) => return Ok(None),
        (Some(sidecar), true) => return has_all(pod, sidecar).map(Some),
        (Some(_), false) => (
            format!("init container {}", contract::SIDECAR_CONTAINER),
            format!("annotation {}", contract::STATUS_ANNOTATION),
        ),
        (None, true) => (
            format!("annotation {}", contract::STATUS_ANNOTATION),
            format!("init container {}", contract::SIDECAR_CONTAINER),
        ),
    };
    Ok(Some(Decision::Deny(Denial::new(
        DenyReason::HalfInjected,
        format!(
            "the pod has {has} but no {lacks}, so it is half of an injected pod; remove what is left of the injection, and the webhook does it anew"
        ),
    ))))
}

/// What happens to a pod that was injected before: other webhooks may have changed it since.
fn has_all(pod: &Pod<'_>, sidecar: &Container<'_>) -> Result<Decision, Denial> {
    let path = format_args!("spec.initContainers[].");
    if raw::text(sidecar.raw, "restartPolicy", path)? != Some("Always") {
        return Ok(Decision::Deny(Denial::new(
            DenyReason::RestartPolicyDropped,
            format!(
                "init container {} has lost its restartPolicy Always: another mutating webhook is too old for native sidecars \
                 (built for Kubernetes before 1.28) and drops the field; update it, or keep it away from this pod (kubectl get \
                 mutatingwebhookconfigurations lists them)",
                contract::SIDECAR_CONTAINER
            ),
        )));
    }
    // What a mesh adds after us is seen only now.
    let user = match raw::object(sidecar.raw, "securityContext", path)? {
        Some(context) => raw::integer(context, "runAsUser", path)?,
        None => None,
    };
    let warnings = advice::mesh(&pod.containers("containers")?, user);
    Ok(Decision::Skip {
        reason: SkipReason::AlreadyInjected,
        warnings: bounded(warnings.into_iter().collect()),
    })
}

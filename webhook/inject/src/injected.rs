//! A pod that was injected before, in whole or in part: the API server may call the webhook twice, and people copy pods.

use crate::pod::{Container, Pod};
use crate::text::bounded;
use crate::{Decision, Denial, advice};
use contract::{DenyReason, SkipReason};

/// The decision for a pod that has our container or our annotation; `None` for one that has neither.
pub(crate) fn before(pod: &Pod<'_>) -> Option<Decision> {
    let container = pod
        .init_containers
        .iter()
        .find(|container| container.name == contract::SIDECAR_CONTAINER);
    let status = pod.annotations.get(contract::STATUS_ANNOTATION).is_some();
    let (has, lacks) = match (container, status) {
        (None, false) => return None,
        (Some(sidecar), true) => return Some(has_all(pod, sidecar)),
        (Some(_), false) => (
            format!("init container {}", contract::SIDECAR_CONTAINER),
            format!("annotation {}", contract::STATUS_ANNOTATION),
        ),
        (None, true) => (
            format!("annotation {}", contract::STATUS_ANNOTATION),
            format!("init container {}", contract::SIDECAR_CONTAINER),
        ),
    };
    Some(Decision::Deny(Denial::new(
        DenyReason::HalfInjected,
        format!(
            "the pod is only partly injected: it has {has} but no {lacks}; remove the {has}, and create the pod again"
        ),
    )))
}

/// What happens to a pod that was injected before: other webhooks may have changed it since.
fn has_all(pod: &Pod<'_>, sidecar: &Container<'_>) -> Decision {
    if !sidecar.restarts_always {
        return Decision::Deny(Denial::new(
            DenyReason::RestartPolicyDropped,
            format!(
                "init container {} has lost its restartPolicy Always: another mutating webhook is too old for native sidecars \
                 (built for Kubernetes before 1.28) and drops the field; update it, or keep it away from this pod (kubectl get \
                 mutatingwebhookconfigurations lists them)",
                contract::SIDECAR_CONTAINER
            ),
        ));
    }
    // What a mesh adds after us is seen only now.
    let warnings = advice::mesh(&pod.containers, sidecar.privileges.run_as_user);
    Decision::Skip {
        reason: SkipReason::AlreadyInjected,
        warnings: bounded(warnings.into_iter().collect()),
    }
}

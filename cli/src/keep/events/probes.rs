//! The kubelet's Events about failed probes of sidecars.

use contract::SIDECAR_CONTAINER;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};

/// An Event that is older says nothing about now; the API server keeps them for an hour.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// The kubelet says that a probe of a pod's sidecar failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// UID of the pod.
    pub uid: String,
    /// What the kubelet says, with the probe's output.
    pub message: String,
}

/// Probes of sidecars that fail in a namespace, from now on. A watch that breaks is begun anew.
pub fn probe_failures(client: Client, namespace: &str) -> impl Stream<Item = ProbeFailure> + Send + use<> {
    let api: Api<Event> = Api::namespaced(client, namespace);
    watcher(api, watcher::Config::default().fields("reason=Unhealthy"))
        .default_backoff()
        .applied_objects()
        .inspect_err(|error| tracing::debug!(%error, "the kubelet's Events cannot be watched"))
        .filter_map(async |event| failure(&event.ok()?, Timestamp::now()))
}

fn failure(event: &Event, now: Timestamp) -> Option<ProbeFailure> {
    let about = event
        .regarding
        .as_ref()
        .filter(|about| about.kind.as_deref() == Some("Pod"))?;
    let of_sidecar = format!("spec.initContainers{{{SIDECAR_CONTAINER}}}");
    if about.field_path.as_deref() != Some(of_sidecar.as_str()) {
        return None;
    }
    // Kubelets write Events of the older kind, which count and have no series.
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let last = series
        .or_else(|| event.deprecated_last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))?;
    (now.duration_since(last) < FRESH).then(|| ProbeFailure {
        uid: about.uid.clone().unwrap_or_default(),
        message: event.note.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(path: &str, last: &str) -> Event {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "agent-0.1", "namespace": "agents"},
            "eventTime": null,
            "regarding": {"kind": "Pod", "name": "agent-0", "namespace": "agents", "uid": "u", "fieldPath": path},
            "reason": "Unhealthy",
            "type": "Warning",
            "note": "Startup probe failed: pool-missing: There is no such pool.",
            "deprecatedLastTimestamp": last,
            "deprecatedCount": 12,
        }))
        .expect("an Event as the API server shows a kubelet's")
    }

    #[test]
    fn the_sidecars_fresh_failures_count_and_no_others() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().expect("a time");
        let ours = "spec.initContainers{ado-agent-sidecar}";
        let found = failure(&event(ours, "2026-11-29T11:59:50Z"), now).expect("a failure");
        assert_eq!(found.uid, "u");
        assert!(observe::diagnosis(&found.message).is_some(), "{found:?}");
        assert_eq!(failure(&event(ours, "2026-11-29T11:50:00Z"), now), None);
        assert_eq!(
            failure(&event("spec.containers{agent}", "2026-11-29T11:59:50Z"), now),
            None
        );
    }
}

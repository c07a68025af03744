//! Writes what is to be told, and listens to what the kubelet tells.

use super::super::events::{EventWriter, probe_failures};
use super::super::{Never, PodCache};
use super::{Notices, Observation};
use futures_util::stream::{StreamExt as _, select_all};
use kube::Client;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether every namespace was listed.
const LISTING: Duration = Duration::from_millis(250);

/// Writes Events and follows the kubelet's, forever. `instance` is the name of this pod.
pub(in super::super) async fn tell(
    client: &Client,
    instance: &str,
    namespaces: &[String],
    pods: &PodCache,
    observation: Arc<Observation>,
    mut notices: Notices,
) -> Never {
    let writer = EventWriter::new(client.clone(), instance);
    let writing = async {
        let mut fails = false;
        while let Some((about, notice)) = notices.recv().await {
            match writer.write(&about, &notice).await {
                Ok(()) => fails = false,
                Err(error) => {
                    observation.metrics.failed("events", "api-server");
                    // One that cannot be written is like the next.
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!(
                            namespace = about.namespace,
                            pod = about.name,
                            "an Event cannot be written: {error}"
                        );
                    }
                }
            }
        }
    };
    let listening = async {
        // What is said of a pod that is not known yet would be lost.
        while !pods.unlisted().is_empty() {
            tokio::time::sleep(LISTING).await;
        }
        let failures = namespaces
            .iter()
            .map(|namespace| probe_failures(client.clone(), namespace).boxed());
        let mut failures = select_all(failures);
        while let Some(failure) = failures.next().await {
            observation.unhealthy(&failure.uid, &failure.message);
        }
    };
    tokio::join!(writing, listening);
    // The observation holds the other end of both.
    std::future::pending().await
}

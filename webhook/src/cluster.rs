//! Facts about the cluster from the API server: its identity, and whether it supports native sidecars.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use contract::error_chain;
use inject::ClusterFacts;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};

/// The namespace whose UID identifies the cluster: it is as old as the cluster and cannot be deleted.
const NAMESPACE: &str = "kube-system";
/// The first version that keeps `restartPolicy` of init containers by default (KEP-753).
const NATIVE_SIDECARS: (u32, u32) = (1, 29);
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// How often the version of an old API server is read again.
const UPGRADE_CHECK: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(5);

/// The facts, as far as they are known.
///
/// Every decision needs the cluster's identity, so none is made before it is known. Until the version is known, native sidecars
/// are assumed: every supported Kubernetes has them, and wrongly denied pods would be worse.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<RwLock<State>>);

struct State {
    facts: Arc<ClusterFacts>,
    is_identified: bool,
    problem: String,
}

impl Cluster {
    /// Without the API server, only an ID from the operator's settings is known.
    pub(crate) fn new(id: Option<String>) -> Self {
        let is_identified = id.is_some();
        let facts = ClusterFacts {
            id: id.unwrap_or_default(),
            native_sidecars: true,
        };
        Self(Arc::new(RwLock::new(State {
            facts: Arc::new(facts),
            is_identified,
            problem: format!("the UID of namespace {NAMESPACE} is not known yet"),
        })))
    }

    /// The facts for a decision.
    ///
    /// # Errors
    /// The message for `/readyz` while the identity of the cluster is unknown.
    pub(crate) fn facts(&self) -> Result<Arc<ClusterFacts>, String> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if state.is_identified {
            Ok(Arc::clone(&state.facts))
        } else {
            Err(state.problem.clone())
        }
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn set_native_sidecars(&self, native_sidecars: bool) {
        self.update(|state| Arc::make_mut(&mut state.facts).native_sidecars = native_sidecars);
    }

    /// Reads identity and version until both are known, and the version of an old API server once a minute.
    pub(crate) async fn run(self, client: Client) {
        tokio::join!(self.identify(client.clone()), self.watch_version(client));
    }

    async fn identify(&self, client: Client) {
        if self.facts().is_ok() {
            return;
        }
        let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client);
        let mut delay = FIRST_DELAY;
        loop {
            let problem = match tokio::time::timeout(ANSWER, namespaces.get(NAMESPACE)).await {
                Ok(Ok(namespace)) => match namespace.metadata.uid {
                    Some(uid) => {
                        tracing::info!(cluster = %uid, "the cluster is identified by the UID of namespace {NAMESPACE}");
                        self.update(|state| {
                            Arc::make_mut(&mut state.facts).id = uid;
                            state.is_identified = true;
                        });
                        return;
                    }
                    None => "the API server's answer has no uid".to_owned(),
                },
                Ok(Err(error)) => message(&error),
                Err(_) => "the API server did not answer within 5 s".to_owned(),
            };
            let problem =
                format!("the UID of namespace {NAMESPACE}, which identifies the cluster, cannot be read: {problem}");
            tracing::warn!(retry_in = ?delay, "{problem}");
            self.update(|state| state.problem = problem);
            tokio::time::sleep(delay).await;
            delay = LONGEST_DELAY.min(delay * 2);
        }
    }

    async fn watch_version(&self, client: Client) {
        let mut delay = FIRST_DELAY;
        loop {
            match tokio::time::timeout(ANSWER, client.apiserver_version()).await {
                Ok(Ok(info)) => match has_native_sidecars(&info.major, &info.minor) {
                    Some(true) => {
                        self.set_native_sidecars(true);
                        tracing::info!(version = %info.git_version, "the API server supports native sidecars");
                        return;
                    }
                    Some(false) => {
                        self.set_native_sidecars(false);
                        tracing::error!(version = %info.git_version, "the API server is older than Kubernetes 1.29 and would drop the sidecar's restartPolicy: agent pods are denied");
                        tokio::time::sleep(UPGRADE_CHECK).await;
                        continue;
                    }
                    None => {
                        tracing::warn!(version = %info.git_version, "the API server's version cannot be read; native sidecars are assumed")
                    }
                },
                Ok(Err(error)) => {
                    tracing::warn!(retry_in = ?delay, "the API server's version is not known: {}", message(&error))
                }
                Err(_) => {
                    tracing::warn!(retry_in = ?delay, "the API server's version is not known: no answer within 5 s")
                }
            }
            tokio::time::sleep(delay).await;
            delay = UPGRADE_CHECK.min(delay * 2);
        }
    }
}

/// `None` if the version cannot be parsed. Managed clusters append to the minor version (`29+`).
fn has_native_sidecars(major: &str, minor: &str) -> Option<bool> {
    let minor = minor.trim_end_matches(|character: char| !character.is_ascii_digit());
    Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?) >= NATIVE_SIDECARS)
}

/// The API server's error, or why it could not be reached, for a denial or `/readyz`.
pub(crate) fn message(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.code {
            401 => "the API server does not accept the webhook's credentials (401)".to_owned(),
            403 => format!("the webhook's ClusterRole does not allow it (403: {})", status.message),
            code => format!("the API server answered {code}: {}", status.message),
        };
    }
    format!("the API server cannot be reached: {}", error_chain(error))
}

#[cfg(test)]
mod tests {
    use super::has_native_sidecars;

    #[test]
    fn native_sidecars_start_with_1_29() {
        assert_eq!(has_native_sidecars("1", "29"), Some(true));
        assert_eq!(has_native_sidecars("1", "33+"), Some(true));
        assert_eq!(has_native_sidecars("2", "0"), Some(true));
        assert_eq!(has_native_sidecars("1", "28"), Some(false));
        assert_eq!(has_native_sidecars("1", "28+"), Some(false));
        assert_eq!(has_native_sidecars("", ""), None);
    }
}

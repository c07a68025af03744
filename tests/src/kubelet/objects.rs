//! What the kubelet asks the API server for: ConfigMaps, Secrets and service-account tokens.

use azure_emulators::clock::Clock;
use azure_emulators::cluster_issuer::ClusterIssuer;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keys and values of a ConfigMap or a Secret (decoded).
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// A projected token that a volume wants.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// ServiceAccount of the pod.
    pub account: String,
    /// Audience; empty: the API server's own.
    pub audience: String,
    /// Asked lifetime.
    pub lifetime: Duration,
}

/// ConfigMaps and Secrets by kind, namespace and name.
type Maps = BTreeMap<(Kind, String, String), Data>;

/// Answers a [`TokenRequest`] with a token.
type TokenSource = Arc<dyn Fn(&TokenRequest) -> String + Send + Sync>;

/// The objects of the cluster that pods refer to. A clone shows the same objects.
#[derive(Clone)]
pub struct Objects {
    maps: Arc<Mutex<Maps>>,
    tokens: TokenSource,
    clock: Clock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    ConfigMap,
    Secret,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("maps", &self.maps)
            .finish_non_exhaustive()
    }
}

impl Objects {
    /// Objects whose tokens come from this function; `clock` says when they are due for a refresh.
    pub fn new(clock: &Clock, tokens: impl Fn(&TokenRequest) -> String + Send + Sync + 'static) -> Self {
        Self {
            maps: Arc::default(),
            tokens: Arc::new(tokens),
            clock: clock.clone(),
        }
    }

    /// Objects whose tokens a cluster's issuer signs.
    pub fn of(issuer: &ClusterIssuer) -> Self {
        let (clock, issuer) = (issuer.clock().clone(), issuer.clone());
        Self::new(&clock, move |request| {
            let mint = azure_emulators::cluster_issuer::Mint::new(&request.namespace, &request.account)
                .lifetime(request.lifetime);
            issuer.mint(&match request.audience.as_str() {
                "" => mint,
                audience => mint.audience(audience),
            })
        })
    }

    /// Creates or replaces a ConfigMap.
    pub fn set_config_map(&self, namespace: &str, name: &str, data: &[(&str, &str)]) {
        self.set(Kind::ConfigMap, namespace, name, data);
    }

    /// Creates or replaces a Secret.
    pub fn set_secret(&self, namespace: &str, name: &str, data: &[(&str, &str)]) {
        self.set(Kind::Secret, namespace, name, data);
    }

    fn set(&self, kind: Kind, namespace: &str, name: &str, data: &[(&str, &str)]) {
        let data = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect();
        let mut maps = self.maps.lock().expect("no writer panics");
        maps.insert((kind, namespace.to_owned(), name.to_owned()), data);
    }

    pub(super) fn config_map(&self, namespace: &str, name: &str) -> Option<Data> {
        let found = self.get(Kind::ConfigMap, namespace, name);
        // Every namespace of a cluster has this one.
        found.or_else(|| (name == "kube-root-ca.crt").then(|| Data::from([("ca.crt".to_owned(), Vec::new())])))
    }

    pub(super) fn secret(&self, namespace: &str, name: &str) -> Option<Data> {
        self.get(Kind::Secret, namespace, name)
    }

    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Data> {
        let maps = self.maps.lock().expect("no writer panics");
        maps.get(&(kind, namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(super) fn token(&self, request: &TokenRequest) -> String {
        (self.tokens)(request)
    }

    /// Seconds since 1970 on the cluster's clock.
    pub(super) fn seconds(&self) -> i64 {
        self.clock.now().seconds()
    }
}

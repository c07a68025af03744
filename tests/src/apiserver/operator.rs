//! What people see of a cluster, beyond what the webhook reads: objects of any kind, pods as a dry run, tokens of ServiceAccounts,
//! forwarded ports and commands in containers. It is there after [`ApiServer::serve_operators`](super::ApiServer::serve_operators); until then whoever asks for it is
//! refused, as the webhook is.
//!
//! Which paths there are and what they answer: Kubernetes API conventions; `TokenRequest` and its shortest life of ten minutes:
//! `pkg/apis/authentication/validation`; sentences of a webhook that cannot be called: `k8s.io/apiserver`
//! `pkg/admission/plugin/webhook/mutating` and what Go's `crypto/x509` says.

mod path;
mod refusals;
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use azure_emulators::cluster_issuer::{ClusterIssuer, Mint};
use azure_emulators::http::{Answer, Reply, Request};
use serde_json::{Value, json};

use super::admission::Registration;
use super::reads::{Shape, not_metadata, status};
use super::{State, selectors, websocket};
use path::{Key, Target};
use refusals::{forbidden, no_such_path, refused};

/// Groups that every cluster serves.
const GROUPS: [&str; 4] = ["v1", "apps/v1", "batch/v1", "admissionregistration.k8s.io/v1"];
/// How long the API server waits for the webhook.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest life of a token, in seconds.
const SHORTEST_TOKEN: u64 = 600;

/// What is there for people.
#[derive(Default)]
pub(super) struct Store {
    is_served: bool,
    objects: BTreeMap<Key, Value>,
    groups: BTreeSet<String>,
    refused: Vec<String>,
    issuer: Option<ClusterIssuer>,
    registration: Option<Arc<Registration>>,
    ports: BTreeMap<String, SocketAddr>,
    commands: BTreeMap<String, Ran>,
}

/// What a command in a container prints, and how it ends.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its standard output.
    pub stdout: String,
    /// Its exit code.
    pub code: i32,
}

impl State {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.operator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether people are served.
    pub(super) fn serves_operators(&self) -> bool {
        self.store().is_served
    }

    /// Whether a single route is refused.
    pub(super) fn refusal(&self, request: &Request) -> Option<Reply> {
        let line = format!("{} {}", request.method, request.path);
        let is_refused = self
            .store()
            .refused
            .iter()
            .any(|beginning| line.starts_with(beginning.as_str()));
        is_refused.then(|| forbidden(request))
    }

    /// Answers what the webhook never asks.
    pub(super) async fn for_an_operator(&self, request: &Request) -> Answer {
        if !self.store().is_served {
            let message = format!("the webhook has no right to {} {}", request.method, request.path);
            return status(403, "Forbidden", &message).into();
        }
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        if let ("GET", [".well-known", "openid-configuration"]) = (request.method.as_str(), segments.as_slice()) {
            return self.discovery().into();
        }
        if let ("GET", ["apis", group, version]) = (request.method.as_str(), segments.as_slice()) {
            let group = format!("{group}/{version}");
            return if self.serves(&group) {
                Reply::json(
                    200,
                    &json!({"kind": "APIResourceList", "groupVersion": group, "resources": []}),
                )
                .into()
            } else {
                no_such_path().into()
            };
        }
        let Some(target) = Target::parse(&segments).filter(|target| self.serves(&target.group)) else {
            return no_such_path().into();
        };
        match (request.method.as_str(), target.plural, target.name, target.subresource) {
            ("POST", "serviceaccounts", Some(name), Some("token")) => self.token(&target, name, request).into(),
            ("POST", "pods", None, None) => self.new_pod(&target, request).await.into(),
            ("GET", "pods", Some(name), Some("portforward")) => self.forward(name, request),
            ("GET" | "POST", "pods", Some(name), Some("exec")) => self.execute(name, request),
            ("GET", "serviceaccounts", None, None) => self.accounts_of(&target, request).into(),
            ("GET", _, None, None) => self.list_objects(&target, request).into(),
            ("GET", _, Some(name), None) => self.object(&target, name).into(),
            _ => status(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
            .into(),
        }
    }

    fn serves(&self, group: &str) -> bool {
        GROUPS.contains(&group) || self.store().groups.contains(group)
    }

    fn discovery(&self) -> Reply {
        match &self.store().issuer {
            Some(issuer) => Reply::json(
                200,
                &json!({"issuer": issuer.url(), "jwks_uri": format!("{}/openid/v1/jwks", issuer.url()),
                    "id_token_signing_alg_values_supported": ["RS256"]}),
            ),
            None => no_such_path(),
        }
    }

    fn object(&self, target: &Target<'_>, name: &str) -> Reply {
        let key = Key {
            group: target.group.clone(),
            plural: target.plural.to_owned(),
            namespace: target.namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        match self.store().objects.get(&key) {
            Some(object) => Reply::json(200, object),
            None => status(404, "NotFound", &format!("{} \"{name}\" not found", target.plural)),
        }
    }

    fn list_objects(&self, target: &Target<'_>, request: &Request) -> Reply {
        let store = self.store();
        let selector = equalities(request.parameter("labelSelector").unwrap_or_default());
        let items: Vec<&Value> = store
            .objects
            .iter()
            .filter(|(key, _)| key.group == target.group && key.plural == target.plural)
            .filter(|(key, _)| target.namespace.is_none() || key.namespace.as_deref() == target.namespace)
            .map(|(_, object)| object)
            .filter(|object| selectors::matches(&selector, &object["metadata"]["labels"]))
            .collect();
        Reply::json(
            200,
            &json!({"apiVersion": target.group, "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}),
        )
    }

    fn accounts_of(&self, target: &Target<'_>, request: &Request) -> Reply {
        let objects = self.lock();
        let Some(shape) = Shape::asked(request, &objects) else {
            return not_metadata();
        };
        let items: Vec<Value> = objects
            .accounts
            .iter()
            .filter(|((namespace, _), _)| Some(namespace.as_str()) == target.namespace)
            .map(|(_, account)| shape.of(account))
            .collect();
        let (version, kind) = shape.list();
        Reply::json(
            200,
            &json!({"apiVersion": version, "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items}),
        )
    }

    fn token(&self, target: &Target<'_>, name: &str, request: &Request) -> Reply {
        let namespace = target.namespace.unwrap_or_default();
        if !self
            .lock()
            .accounts
            .contains_key(&(namespace.to_owned(), name.to_owned()))
        {
            return status(404, "NotFound", &format!("serviceaccounts \"{name}\" not found"));
        }
        let spec = request.json().map(|body| body["spec"].clone()).unwrap_or_default();
        let seconds = spec["expirationSeconds"].as_u64().unwrap_or(3600);
        if seconds < SHORTEST_TOKEN {
            let message = "spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes";
            return status(422, "Invalid", message);
        }
        let store = self.store();
        let Some(issuer) = &store.issuer else {
            return status(500, "InternalError", "this double signs no tokens");
        };
        let audience = spec["audiences"][0]
            .as_str()
            .unwrap_or("https://kubernetes.default.svc");
        let mint = Mint::new(namespace, name)
            .audience(audience)
            .lifetime(Duration::from_secs(seconds));
        Reply::json(
            201,
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {"name": name, "namespace": namespace},
                "spec": spec, "status": {"token": issuer.mint(&mint), "expirationTimestamp": "2030-01-01T00:00:00Z"}}),
        )
    }

    async fn new_pod(&self, target: &Target<'_>, request: &Request) -> Reply {
        let namespace = target.namespace.unwrap_or_default();
        if !self.lock().namespaces.contains_key(namespace) {
            return status(404, "NotFound", &format!("namespaces \"{namespace}\" not found"));
        }
        let registration = self.store().registration.clone();
        let is_dry = request.parameter("dryRun") == Some("All");
        let pod = request.json().unwrap_or_default();
        match self.create_pod(registration.as_deref(), namespace, &pod).await {
            Ok(created) => {
                if !is_dry {
                    let key = Key {
                        group: target.group.clone(),
                        plural: target.plural.to_owned(),
                        namespace: Some(namespace.to_owned()),
                        name: created.pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    };
                    self.store().objects.insert(key, created.pod.clone());
                }
                Reply::json(201, &created.pod)
            }
            Err(refusal) => refused(&refusal),
        }
    }

    fn forward(&self, pod: &str, request: &Request) -> Answer {
        let port = request.parameter("ports").and_then(|port| port.parse().ok());
        let to = self.store().ports.get(pod).copied();
        match (port, to) {
            (Some(port), Some(to)) => websocket::forward(request, port, to),
            (_, _) => status(404, "NotFound", &format!("pods \"{pod}\" not found")).into(),
        }
    }

    fn execute(&self, pod: &str, request: &Request) -> Answer {
        let ran = self.store().commands.get(pod).cloned();
        match ran {
            Some(ran) => websocket::run(request, ran),
            None => status(404, "NotFound", &format!("pods \"{pod}\" not found")).into(),
        }
    }
}

/// `a=b,c=d` as a selector.
fn equalities(text: &str) -> Value {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let labels: BTreeMap<&str, &str> = pairs.map(|(key, value)| (key, value.trim_start_matches('='))).collect();
    json!({"matchLabels": labels})
}

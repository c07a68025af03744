//! What the webhook may read: ServiceAccounts as metadata (list in pages, watch, get), one namespace, the version.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Mood, Objects, State};
use azure_emulators::http::{Answer, Handler, Reply, Request};

/// A watch without news ends after this time at the latest, as the real one's do after minutes.
const LONGEST_WATCH: Duration = Duration::from_secs(300);

impl Handler for State {
    async fn answer(&self, request: Request) -> Answer {
        let mood = {
            let mut objects = self.lock();
            let query: Vec<_> = request
                .query
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            objects
                .requests
                .push(format!("{} {}?{}", request.method, request.path, query.join("&")));
            objects.mood
        };
        match mood {
            Mood::Well => {}
            Mood::Hanging => return Answer::Hang,
            Mood::Slow(delay) => tokio::time::sleep(delay).await,
            Mood::Forbidding => {
                return status(
                    403,
                    "Forbidden",
                    "User \"system:serviceaccount:ado-agent-system:ado-agent-webhook\" cannot read this",
                )
                .into();
            }
            Mood::Failing => return status(500, "InternalError", "etcdserver: no leader").into(),
        }
        if let Some(refusal) = self.refusal(&request) {
            return refusal.into();
        }
        let other = self.lock().others.get(&request.path).cloned();
        if let Some(object) = other.filter(|_| request.method == "GET") {
            return Reply::json(200, &object).into();
        }
        if !self.serves_operators()
            && let Some(answer) = self.stored(&request).await
        {
            return answer;
        }
        if let Some(answer) = self.told(&request).await {
            return answer;
        }
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["version"]) => self.version().into(),
            ("GET", ["api", "v1", "namespaces", name]) => self.namespace(name).into(),
            ("GET", ["api", "v1", "namespaces", namespace, "serviceaccounts", name]) => {
                self.account(&request, namespace, name).into()
            }
            ("GET", ["api", "v1", "serviceaccounts"])
                if request.flag("watch") || request.parameter("watch") == Some("1") =>
            {
                self.watch(&request).await.into()
            }
            ("GET", ["api", "v1", "serviceaccounts"]) => self.list(&request).into(),
            ("GET", ["api"]) => Reply::json(200, &json!({"kind": "APIVersions", "versions": ["v1"]})).into(),
            ("GET", ["apis"]) => {
                Reply::json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})).into()
            }
            ("GET", ["api", "v1"]) => Reply::json(200, &resources()).into(),
            (_, _) => self.for_an_operator(&request).await,
        }
    }
}

impl State {
    fn version(&self) -> Reply {
        let minor = self.lock().minor.clone();
        let version = json!({
            "major": "1", "minor": minor, "gitVersion": format!("v1.{}.0-double", minor.trim_end_matches('+')),
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "linux/amd64",
        });
        Reply::json(200, &version)
    }

    fn namespace(&self, name: &str) -> Reply {
        match self.lock().namespaces.get(name) {
            Some(labels) => {
                let uid = if name == "kube-system" {
                    self.cluster_uid.clone()
                } else {
                    azure_emulators::guid::random()
                };
                Reply::json(
                    200,
                    &json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                        "metadata": {"name": name, "uid": uid, "resourceVersion": "1", "labels": labels}}),
                )
            }
            None => status(404, "NotFound", &format!("namespaces \"{name}\" not found")),
        }
    }

    fn account(&self, request: &Request, namespace: &str, name: &str) -> Reply {
        let objects = self.lock();
        let Some(shape) = Shape::asked(request, &objects) else {
            return not_metadata();
        };
        match objects.accounts.get(&(namespace.to_owned(), name.to_owned())) {
            Some(object) => Reply::json(200, &shape.of(object)),
            None => status(404, "NotFound", &format!("serviceaccounts \"{name}\" not found")),
        }
    }

    fn list(&self, request: &Request) -> Reply {
        let objects = self.lock();
        let Some(shape) = Shape::asked(request, &objects) else {
            return not_metadata();
        };
        let limit = request
            .parameter("limit")
            .and_then(|limit| limit.parse().ok())
            .unwrap_or(usize::MAX);
        let start: usize = request
            .parameter("continue")
            .and_then(|token| token.parse().ok())
            .unwrap_or_default();
        let rest = objects.accounts.len().saturating_sub(start).saturating_sub(limit);
        let chosen = objects.accounts.values().skip(start).take(limit);
        let items: Vec<Value> = chosen.map(|object| shape.of(object)).collect();
        let mut metadata = json!({"resourceVersion": objects.version.to_string()});
        if rest > 0 {
            metadata["continue"] = json!((start + limit).to_string());
            metadata["remainingItemCount"] = json!(rest);
        }
        let (version, kind) = shape.list();
        Reply::json(
            200,
            &json!({"apiVersion": version, "kind": kind, "metadata": metadata, "items": items}),
        )
    }

    /// One answer with everything that is newer than the watcher, as soon as there is something. Then the watcher asks
    /// again, as after the end of a real watch.
    async fn watch(&self, request: &Request) -> Reply {
        let Some(shape) = Shape::asked(request, &self.lock()) else {
            return not_metadata();
        };
        let seconds = request
            .parameter("timeoutSeconds")
            .and_then(|seconds| seconds.parse().ok());
        let patience = seconds.map_or(LONGEST_WATCH, Duration::from_secs).min(LONGEST_WATCH);
        let Some(since) = request
            .parameter("resourceVersion")
            .and_then(|version| version.parse::<u64>().ok())
        else {
            return status(400, "BadRequest", "a watch starts at a resourceVersion");
        };
        let mut newest = self.newest.subscribe();
        let _ = tokio::time::timeout(patience, newest.wait_for(|version| *version > since)).await;
        let objects = self.lock();
        Reply::content(200, "application/json", news(&objects, since, shape))
    }
}

fn news(objects: &Objects, since: u64, shape: Shape) -> String {
    let oldest = objects.events.front().map_or(u64::MAX, |(version, ..)| *version);
    if since < objects.version && since + 1 < oldest {
        let gone = json!({"type": "ERROR", "object": {"apiVersion": "v1", "kind": "Status", "status": "Failure",
            "reason": "Expired", "code": 410, "message": "too old resource version"}});
        return format!("{gone}\n");
    }
    objects
        .events
        .iter()
        .filter(|(version, ..)| *version > since)
        .map(|(_, kind, object)| format!("{}\n", json!({"type": kind, "object": shape.of(object)})))
        .collect()
}

/// How an object is written.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Metadata,
    Whole,
}

impl Shape {
    /// What a request asks for, if it gets that.
    pub(super) fn asked(request: &Request, objects: &Objects) -> Option<Self> {
        let accept = request.header("accept");
        match accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata")) {
            true => Some(Self::Metadata),
            false => objects.whole.then_some(Self::Whole),
        }
    }

    pub(super) fn of(self, object: &Value) -> Value {
        match self {
            Self::Metadata => json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": object["metadata"]}),
            Self::Whole => object.clone(),
        }
    }

    /// Version and kind of a list.
    pub(super) fn list(self) -> (&'static str, &'static str) {
        match self {
            Self::Metadata => ("meta.k8s.io/v1", "PartialObjectMetadataList"),
            Self::Whole => ("v1", "ServiceAccountList"),
        }
    }
}

/// What there is in the core API, for clients that ask first.
fn resources() -> Value {
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [{
        "name": "serviceaccounts", "singularName": "serviceaccount", "namespaced": true, "kind": "ServiceAccount",
        "verbs": ["get", "list", "watch"]}]})
}

pub(super) fn not_metadata() -> Reply {
    status(
        406,
        "NotAcceptable",
        "this double serves ServiceAccounts as PartialObjectMetadata only: that is all a webhook needs",
    )
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Reply {
    let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "reason": reason, "code": code, "message": message});
    Reply::json(code, &status)
}

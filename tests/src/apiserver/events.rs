//! Events (`events.k8s.io/v1`) with the rules that the API server has for them, and the owners of pods, as metadata.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::reads::status;
use super::{ApiServer, State};
use azure_emulators::guid;
use azure_emulators::http::{Answer, Reply, Request};

/// A watch ends after this time: no Event comes through it.
const LONGEST_WATCH: Duration = Duration::from_secs(300);
/// Longest note, in bytes.
const NOTE: usize = 1024;
/// What a new Event needs (k8s.io/kubernetes, pkg/apis/core/validation/events.go).
const NEEDED: [&str; 5] = [
    "eventTime",
    "reportingController",
    "reportingInstance",
    "action",
    "reason",
];

/// By namespace and name; of owners also by the plural of their kind.
#[derive(Default)]
pub(super) struct Told {
    events: BTreeMap<(String, String), Value>,
    owners: BTreeMap<(String, String, String), Value>,
}

impl ApiServer {
    /// Adds an Event of a kubelet, which watchers see when they list.
    pub fn set_event(&self, namespace: &str, name: &str, mut event: Value) {
        event["apiVersion"] = "events.k8s.io/v1".into();
        event["kind"] = "Event".into();
        event["metadata"] =
            json!({"namespace": namespace, "name": name, "uid": guid::random(), "resourceVersion": "1"});
        let key = (namespace.to_owned(), name.to_owned());
        self.state.lock().told.events.insert(key, event);
    }

    /// Events that were written over HTTP.
    pub fn events(&self) -> Vec<Value> {
        let objects = self.state.lock();
        let events = objects.told.events.values();
        let written = events.filter(|event| !event["reportingController"].is_null());
        written.cloned().collect()
    }

    /// An owner of pods, such as a ReplicaSet; `plural` is that of its kind. Answers the reference that its pods have.
    pub fn set_owner(&self, namespace: &str, plural: &str, kind: &str, name: &str, owner: Option<Value>) -> Value {
        let uid = guid::random();
        let group = if plural == "jobs" { "batch/v1" } else { "apps/v1" };
        let object = json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": {"namespace": namespace, "name": name, "uid": uid,
                "ownerReferences": owner.into_iter().collect::<Vec<_>>()},
        });
        let key = (namespace.to_owned(), plural.to_owned(), name.to_owned());
        self.state.lock().told.owners.insert(key, object);
        json!({"apiVersion": group, "kind": kind, "name": name, "uid": uid, "controller": true})
    }
}

impl State {
    /// The answer, if the request is about Events or owners.
    pub(super) async fn told(&self, request: &Request) -> Option<Answer> {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["apis", "events.k8s.io", "v1", "namespaces", _, "events"])
                if request.parameter("watch").is_some_and(|watch| watch != "false") =>
            {
                tokio::time::sleep(LONGEST_WATCH).await;
                Some(Reply::content(200, "application/json", "").into())
            }
            ("GET", ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events"]) => {
                Some(self.list_events(request, namespace).into())
            }
            ("POST", ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events"]) => {
                Some(self.create_event(request, namespace).into())
            }
            ("GET", ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events", name]) => {
                Some(self.event(namespace, name).into())
            }
            ("PATCH", ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events", name]) => {
                Some(self.patch_event(request, namespace, name).into())
            }
            ("GET", ["apis", "apps" | "batch", "v1", "namespaces", namespace, plural, name]) => {
                Some(self.owner(request, namespace, plural, name).into())
            }
            _ => None,
        }
    }

    fn list_events(&self, request: &Request, namespace: &str) -> Reply {
        let reason = request
            .parameter("fieldSelector")
            .and_then(|selector| selector.strip_prefix("reason="));
        let objects = self.lock();
        let events = objects
            .told
            .events
            .iter()
            .filter(|((of, _), event)| of == namespace && reason.is_none_or(|reason| event["reason"] == reason));
        let items: Vec<&Value> = events.map(|(_, event)| event).collect();
        let metadata = json!({"resourceVersion": objects.version.to_string()});
        Reply::json(
            200,
            &json!({"apiVersion": "events.k8s.io/v1", "kind": "EventList", "metadata": metadata, "items": items}),
        )
    }

    fn create_event(&self, request: &Request, namespace: &str) -> Reply {
        let Some(mut event) = request.json() else {
            return status(400, "BadRequest", "the body is no JSON");
        };
        let empty = |field: &&&str| event[**field].as_str().unwrap_or_default().is_empty();
        if let Some(missing) = NEEDED.iter().find(empty) {
            return status(422, "Invalid", &format!("{missing}: Required value"));
        }
        if event["regarding"]["namespace"] != namespace {
            return status(
                422,
                "Invalid",
                "involvedObject.namespace: does not match event.namespace",
            );
        }
        if !matches!(event["type"].as_str(), Some("Normal" | "Warning")) {
            return status(422, "Invalid", "type: has invalid value");
        }
        if event["note"].as_str().unwrap_or_default().len() > NOTE {
            return status(422, "Invalid", "message: can have at most 1024 characters");
        }
        let name = event["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut objects = self.lock();
        let key = (namespace.to_owned(), name.clone());
        if objects.told.events.contains_key(&key) {
            return status(
                409,
                "AlreadyExists",
                &format!("events.events.k8s.io \"{name}\" already exists"),
            );
        }
        objects.version += 1;
        event["metadata"]["resourceVersion"] = objects.version.to_string().into();
        objects.told.events.insert(key, event.clone());
        Reply::json(201, &event)
    }

    fn event(&self, namespace: &str, name: &str) -> Reply {
        let objects = self.lock();
        match objects.told.events.get(&(namespace.to_owned(), name.to_owned())) {
            Some(event) => Reply::json(200, event),
            None => status(404, "NotFound", &format!("events.events.k8s.io \"{name}\" not found")),
        }
    }

    /// A merge patch; nothing but the series may change.
    fn patch_event(&self, request: &Request, namespace: &str, name: &str) -> Reply {
        let Some(Value::Object(patch)) = request.json() else {
            return status(400, "BadRequest", "the body is no patch");
        };
        if request.header("content-type") != Some("application/merge-patch+json") {
            return status(415, "UnsupportedMediaType", "a merge patch is needed");
        }
        if let Some(field) = patch.keys().find(|field| *field != "series") {
            return status(422, "Invalid", &format!("{field}: field is immutable"));
        }
        let mut objects = self.lock();
        let Some(event) = objects.told.events.get_mut(&(namespace.to_owned(), name.to_owned())) else {
            return status(404, "NotFound", &format!("events.events.k8s.io \"{name}\" not found"));
        };
        let count = patch["series"]["count"].as_i64().unwrap_or_default();
        if count < 2 || !patch["series"]["lastObservedTime"].is_string() {
            return status(422, "Invalid", "series.count: should be at least 2");
        }
        event["series"] = patch["series"].clone();
        Reply::json(200, event)
    }

    fn owner(&self, request: &Request, namespace: &str, plural: &str, name: &str) -> Reply {
        let accepts = request.header("accept").unwrap_or_default();
        let objects = self.lock();
        let key = (namespace.to_owned(), plural.to_owned(), name.to_owned());
        match objects.told.owners.get(&key) {
            Some(owner) if accepts.contains("as=PartialObjectMetadata") => Reply::json(200, owner),
            Some(_) => status(406, "NotAcceptable", "only metadata is served here"),
            None => status(404, "NotFound", &format!("{plural} \"{name}\" not found")),
        }
    }
}

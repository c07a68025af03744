//! Pods and ConfigMaps that are stored: list (in pages), watch and get of pods, get and replace of ConfigMaps, with the conflict that
//! a stale resource version meets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::reads::status;
use super::{ApiServer, State};
use azure_emulators::guid;
use azure_emulators::http::{Answer, Reply, Request};

/// Events that are kept for watchers; one that is further behind gets a 410 and lists again.
const EVENTS: usize = 256;
/// A watch without news ends after this time at the latest.
const LONGEST_WATCH: Duration = Duration::from_secs(300);

/// What is stored, by namespace and name.
#[derive(Default)]
pub(super) struct Stored {
    pods: BTreeMap<(String, String), Value>,
    /// Resource version, type and object.
    events: VecDeque<(u64, &'static str, Value)>,
    config_maps: BTreeMap<(String, String), Value>,
    /// Whether lists of pods lack every second pod, and watches end at once.
    half: bool,
    /// Status that is answered to a GET of a single pod, instead of the truth.
    pod_status: Option<u16>,
    /// How often a ConfigMap was replaced.
    replaced: usize,
}

impl ApiServer {
    /// Creates or replaces a pod; UID and creation time are added where they are missing.
    pub fn set_pod(&self, mut pod: Value) -> Value {
        let mut objects = self.state.lock();
        objects.version += 1;
        let version = objects.version;
        let metadata = &mut pod["metadata"];
        for (key, value) in [("uid", guid::random()), ("creationTimestamp", now())] {
            if metadata[key].is_null() {
                metadata[key] = value.into();
            }
        }
        metadata["resourceVersion"] = version.to_string().into();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        let key = key(&pod);
        let is_there = objects.stored.pods.insert(key, pod.clone()).is_some();
        let kind = if is_there { "MODIFIED" } else { "ADDED" };
        objects.stored.happened(version, kind, pod.clone());
        drop(objects);
        self.state.newest.send_replace(version);
        pod
    }

    /// A pod as it is stored.
    ///
    /// # Panics
    /// When there is none.
    pub fn pod_object(&self, namespace: &str, name: &str) -> Value {
        let objects = self.state.lock();
        let found = objects.stored.pods.get(&(namespace.to_owned(), name.to_owned()));
        found.expect("the pod was stored").clone()
    }

    /// Deletes a pod, as if its grace period were over.
    pub fn delete_pod(&self, namespace: &str, name: &str) {
        let mut objects = self.state.lock();
        objects.version += 1;
        let version = objects.version;
        if let Some(mut pod) = objects.stored.pods.remove(&(namespace.to_owned(), name.to_owned())) {
            pod["metadata"]["resourceVersion"] = version.to_string().into();
            objects.stored.happened(version, "DELETED", pod);
        }
        drop(objects);
        self.state.newest.send_replace(version);
    }

    /// Lists show every second pod only, and watches end at once, so that everybody lists again: an API server whose cache is broken.
    pub fn show_half_of_the_pods(&self, half: bool) {
        let mut objects = self.state.lock();
        objects.stored.half = half;
        objects.version += 1;
        let version = objects.version;
        drop(objects);
        self.state.newest.send_replace(version);
    }

    /// Answers a GET of a single pod with this status, until `None`.
    pub fn answer_single_pods_with(&self, status: Option<u16>) {
        self.state.lock().stored.pod_status = status;
    }

    /// Creates or replaces a ConfigMap.
    pub fn set_config_map(&self, namespace: &str, name: &str, data: &Value) {
        let mut objects = self.state.lock();
        objects.version += 1;
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "uid": guid::random(),
                "resourceVersion": objects.version.to_string()},
            "data": data,
        });
        objects
            .stored
            .config_maps
            .insert((namespace.to_owned(), name.to_owned()), map);
    }

    /// The data of a ConfigMap; null where there is none.
    pub fn config_map(&self, namespace: &str, name: &str) -> Value {
        let objects = self.state.lock();
        let found = objects.stored.config_maps.get(&(namespace.to_owned(), name.to_owned()));
        found.map_or(Value::Null, |map| map["data"].clone())
    }

    /// How often a ConfigMap was replaced over HTTP.
    pub fn config_maps_replaced(&self) -> usize {
        self.state.lock().stored.replaced
    }
}

impl Stored {
    fn happened(&mut self, version: u64, kind: &'static str, pod: Value) {
        self.events.push_back((version, kind, pod));
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }
}

impl State {
    /// The answer, if the request is about pods or ConfigMaps.
    pub(super) async fn stored(&self, request: &Request) -> Option<Answer> {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let ["api", "v1", "namespaces", namespace, rest @ ..] = segments.as_slice() else {
            return None;
        };
        match (request.method.as_str(), rest) {
            ("GET", ["pods"]) if request.parameter("watch").is_some_and(|watch| watch != "false") => {
                Some(self.watch_pods(request, namespace).await.into())
            }
            ("GET", ["pods"]) => Some(self.list_pods(request, namespace).into()),
            ("GET", ["pods", name]) => Some(self.pod(namespace, name).into()),
            ("GET", ["configmaps", name]) => Some(self.get_config_map(namespace, name).into()),
            ("PUT", ["configmaps", name]) => Some(self.put_config_map(request, namespace, name).into()),
            _ => None,
        }
    }

    fn list_pods(&self, request: &Request, namespace: &str) -> Reply {
        let objects = self.lock();
        let half = objects.stored.half;
        let pods: Vec<Value> = objects
            .stored
            .pods
            .iter()
            .filter(|((of, _), _)| of == namespace)
            .enumerate()
            .filter(|(number, _)| !half || number % 2 == 1)
            .map(|(_, (_, pod))| pod.clone())
            .collect();
        let number = |name: &str| request.parameter(name).and_then(|text| text.parse::<usize>().ok());
        let start = number("continue").unwrap_or_default();
        let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let rest = pods.len().saturating_sub(start).saturating_sub(limit);
        let mut metadata = json!({"resourceVersion": objects.version.to_string()});
        if rest > 0 {
            metadata["continue"] = (start + limit).to_string().into();
        }
        let items: Vec<Value> = pods.into_iter().skip(start).take(limit).collect();
        Reply::json(
            200,
            &json!({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items}),
        )
    }

    /// One answer with everything that is newer than the watcher, as soon as there is something.
    async fn watch_pods(&self, request: &Request, namespace: &str) -> Reply {
        let seconds = request
            .parameter("timeoutSeconds")
            .and_then(|seconds| seconds.parse().ok());
        let patience = seconds.map_or(LONGEST_WATCH, Duration::from_secs).min(LONGEST_WATCH);
        let since = request
            .parameter("resourceVersion")
            .and_then(|version| version.parse().ok());
        let Some(since) = since else {
            return status(400, "BadRequest", "a watch starts at a resourceVersion");
        };
        let mut newest = self.newest.subscribe();
        let _ = tokio::time::timeout(patience, newest.wait_for(|version| *version > since)).await;
        let objects = self.lock();
        let events = &objects.stored.events;
        let is_too_old = events.len() == EVENTS && events.front().is_some_and(|(version, ..)| since + 1 < *version);
        if is_too_old || objects.stored.half {
            let gone = json!({"type": "ERROR", "object": {"apiVersion": "v1", "kind": "Status", "status": "Failure",
                "reason": "Expired", "code": 410, "message": "too old resource version"}});
            return Reply::content(200, "application/json", format!("{gone}\n"));
        }
        let news: String = events
            .iter()
            .filter(|(version, _, pod)| *version > since && pod["metadata"]["namespace"] == namespace)
            .map(|(_, kind, pod)| format!("{}\n", json!({"type": kind, "object": pod})))
            .collect();
        Reply::content(200, "application/json", news)
    }

    fn pod(&self, namespace: &str, name: &str) -> Reply {
        let objects = self.lock();
        if let Some(code) = objects.stored.pod_status {
            return status(code, "InternalError", "etcdserver: no leader");
        }
        match objects.stored.pods.get(&(namespace.to_owned(), name.to_owned())) {
            Some(pod) => Reply::json(200, pod),
            None => status(404, "NotFound", &format!("pods \"{name}\" not found")),
        }
    }

    fn get_config_map(&self, namespace: &str, name: &str) -> Reply {
        let objects = self.lock();
        match objects.stored.config_maps.get(&(namespace.to_owned(), name.to_owned())) {
            Some(map) => Reply::json(200, map),
            None => status(404, "NotFound", &format!("configmaps \"{name}\" not found")),
        }
    }

    fn put_config_map(&self, request: &Request, namespace: &str, name: &str) -> Reply {
        let Some(mut map) = request.json() else {
            return status(400, "BadRequest", "the body is no JSON");
        };
        let mut objects = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let Some(before) = objects.stored.config_maps.get(&key) else {
            return status(404, "NotFound", &format!("configmaps \"{name}\" not found"));
        };
        let wanted = &map["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != before["metadata"]["resourceVersion"] {
            let sentence =
                format!("Operation cannot be fulfilled on configmaps \"{name}\": the object has been modified");
            return status(409, "Conflict", &sentence);
        }
        if map.to_string().len() > 1024 * 1024 {
            return status(422, "Invalid", "data: Too long: may not be more than 1048576 bytes");
        }
        objects.version += 1;
        map["metadata"]["resourceVersion"] = objects.version.to_string().into();
        objects.stored.config_maps.insert(key, map.clone());
        objects.stored.replaced += 1;
        Reply::json(200, &map)
    }
}

fn key(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// Now, as Kubernetes writes it.
fn now() -> String {
    let text = azure_emulators::clock::Clock::new().now().iso();
    // Without the fraction.
    text.split('.')
        .next()
        .map(|text| format!("{}Z", text.trim_end_matches('Z')))
        .unwrap_or_default()
}

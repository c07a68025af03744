//! Where the pods are in manifests: every kind that has a pod template, and lists of them.

use serde_json::Value;

/// What makes pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its kind, such as `Deployment`.
    pub kind: String,
    /// Its name, or what the API server makes it from; empty where it has neither.
    pub name: String,
    /// Its namespace, where it names one.
    pub namespace: Option<String>,
    /// JSON Pointer to the object itself in the document; empty for the whole document.
    pub object: String,
    /// JSON Pointer to the pod or the pod template, whose members are `metadata` and `spec`.
    pub pod: String,
    /// Kind of the object that will own its pods, such as `ReplicaSet`; `None` for a bare pod.
    pub owner: Option<&'static str>,
}

/// A kind with a pod template: group, kind, place of the template, and who owns the pods.
struct Kind(&'static str, &'static str, &'static str, Option<&'static str>);

/// The kinds. Those of Kubernetes, and KEDA's ScaledJob (kedacore/keda `apis/keda/v1alpha1/scaledjob_types.go`).
const KINDS: [Kind; 10] = [
    Kind("", "Pod", "", None),
    Kind("", "PodTemplate", "/template", None),
    Kind(
        "",
        "ReplicationController",
        "/spec/template",
        Some("ReplicationController"),
    ),
    Kind("apps", "Deployment", "/spec/template", Some("ReplicaSet")),
    Kind("apps", "ReplicaSet", "/spec/template", Some("ReplicaSet")),
    Kind("apps", "StatefulSet", "/spec/template", Some("StatefulSet")),
    Kind("apps", "DaemonSet", "/spec/template", Some("DaemonSet")),
    Kind("batch", "Job", "/spec/template", Some("Job")),
    Kind("batch", "CronJob", "/spec/jobTemplate/spec/template", Some("Job")),
    Kind("keda.sh", "ScaledJob", "/spec/jobTargetRef/template", Some("Job")),
];

/// Every object of a document, with its JSON Pointer: itself, or the items of a list.
pub fn objects(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(document, "", &mut found);
    found
}

fn collect<'a>(object: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match object["items"].as_array() {
        Some(items) if is_list => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{place}/items/{index}"), found);
            }
        }
        Some(_) | None => found.push((place.to_owned(), object)),
    }
}

/// The workloads of a document, in order.
pub fn workloads(document: &Value) -> Vec<Workload> {
    objects(document)
        .into_iter()
        .filter_map(|(place, object)| workload(place, object))
        .collect()
}

fn workload(place: String, object: &Value) -> Option<Workload> {
    let version = object["apiVersion"].as_str().unwrap_or("v1");
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let kind = object["kind"].as_str()?;
    let Kind(_, _, template, owner) = KINDS.iter().find(|known| known.0 == group && known.1 == kind)?;
    object.pointer(template)?.as_object()?;
    let metadata = &object["metadata"];
    let text = |key: &str| metadata[key].as_str();
    Some(Workload {
        kind: kind.to_owned(),
        name: text("name")
            .or_else(|| text("generateName"))
            .unwrap_or_default()
            .to_owned(),
        namespace: text("namespace").map(str::to_owned),
        pod: format!("{place}{template}"),
        object: place,
        owner: *owner,
    })
}

#[cfg(test)]
mod tests {
    use super::workloads;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(document: &Value, expected: &[(&str, &str)]) {
        let found = workloads(document);
        let found: Vec<_> = found
            .iter()
            .map(|workload| (workload.kind.as_str(), workload.pod.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_kind_with_a_template_is_found() {
        let template = json!({"spec": {}});
        check(&json!({"apiVersion": "v1", "kind": "Pod", "spec": {}}), &[("Pod", "")]);
        for (version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "ReplicaSet"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("batch/v1", "Job"),
            ("v1", "ReplicationController"),
        ] {
            let object = json!({"apiVersion": version, "kind": kind, "spec": {"template": template}});
            check(&object, &[(kind, "/spec/template")]);
        }
        check(
            &json!({"apiVersion": "v1", "kind": "PodTemplate", "template": template}),
            &[("PodTemplate", "/template")],
        );
        check(
            &json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}),
            &[("CronJob", "/spec/jobTemplate/spec/template")],
        );
        check(
            &json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob", "spec": {"jobTargetRef": {"template": template}}}),
            &[("ScaledJob", "/spec/jobTargetRef/template")],
        );
    }

    #[test]
    fn lists_are_looked_into_and_other_kinds_are_not() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}, pod,
            {"apiVersion": "v1", "kind": "PodList", "items": [pod]}]});
        check(&list, &[("Pod", "/items/1"), ("Pod", "/items/2/items/0")]);
        check(&json!({"apiVersion": "example.com/v1", "kind": "Pod", "spec": {}}), &[]);
        check(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}}), &[]);
        check(&Value::Null, &[]);
        check(&json!("text"), &[]);
    }
}

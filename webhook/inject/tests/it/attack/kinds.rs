//! The pods: many of something, or a long text somewhere.

use serde_json::{Map, Value, json};

/// A pod that is injected.
fn pod() -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "labels": { "ado-agent.dev/inject": "true", "azure.workload.identity/use": "true" },
            "annotations": {},
        },
        "spec": {
            "volumes": [{ "name": "work", "emptyDir": {} }],
            "initContainers": [{ "name": "mesh", "image": "x", "restartPolicy": "Always" }],
            "containers": [
                {
                    "name": "agent",
                    "image": "x",
                    "env": [
                        { "name": "AZP_URL", "value": "https://dev.azure.com/contoso" },
                        { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/token/file" },
                    ],
                    "envFrom": [],
                    "volumeMounts": [{ "name": "work", "mountPath": "/azp/_work" }],
                    "securityContext": { "capabilities": { "add": [] } },
                },
                { "name": "docker", "image": "x", "volumeMounts": [{ "name": "work", "mountPath": "/azp/_work" }] },
            ],
        },
    })
}

pub(super) fn with(pointer: &str, value: Value) -> Value {
    let mut pod = pod();
    *pod.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    pod
}

pub(super) fn many(n: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..n).map(item).collect()
}

pub(super) fn keys(n: usize, key: impl Fn(usize) -> String) -> Value {
    (0..n)
        .map(|index| (key(index), json!("x")))
        .collect::<Map<_, _>>()
        .into()
}

/// Adds to a list of the pod.
pub(super) fn more(pointer: &str, items: Value) -> Value {
    let mut pod = pod();
    let list = pod.pointer_mut(pointer).and_then(Value::as_array_mut).expect("a list");
    let Value::Array(items) = items else {
        panic!("a list, not {items}");
    };
    list.extend(items);
    pod
}

pub(super) const ENV: &str = "/spec/containers/0/env";
const MOUNTS: &str = "/spec/containers/0/volumeMounts";

/// Pods with many of something.
pub(super) type Kind = (&'static str, fn(usize) -> Value);
pub(super) const KINDS: &[Kind] = &[
    ("unknown annotations", |n| {
        with(
            "/metadata/annotations",
            keys(n, |index| format!("ado-agent.dev/{index:06}")),
        )
    }),
    ("misspelled annotations", |n| {
        with(
            "/metadata/annotations",
            keys(n, |index| format!("ado-agent.dev/grace-second{index:06}")),
        )
    }),
    ("annotations of others", |n| {
        with(
            "/metadata/annotations",
            keys(n, |index| format!("example.com/{index:06}")),
        )
    }),
    ("labels", |n| {
        let mut labels = keys(n, |index| format!("ado-agent.dev/{index:06}"));
        labels["ado-agent.dev/inject"] = json!("true");
        with("/metadata/labels", labels)
    }),
    ("one secret, defined often", |n| {
        more(
            ENV,
            many(n, |index| json!({ "name": "AZP_TOKEN", "value": index.to_string() })),
        )
    }),
    ("one secret, often empty", |n| {
        more(ENV, many(n, |_| json!({ "name": "AZP_TOKEN", "value": "" })))
    }),
    ("the token file, defined often", |n| {
        more(
            ENV,
            many(
                n,
                |_| json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/token/file" }),
            ),
        )
    }),
    ("one proxy, defined often", |n| {
        more(
            ENV,
            many(
                n,
                |_| json!({ "name": "HTTPS_PROXY", "value": "http://$(HTTPS_PROXY)" }),
            ),
        )
    }),
    ("variables", |n| {
        more(
            ENV,
            many(
                n,
                |index| json!({ "name": format!("V{index:06}"), "value": "$(AZP_URL)" }),
            ),
        )
    }),
    ("a chain of references", |n| {
        let mut pod = more(
            ENV,
            many(
                n,
                |index| json!({ "name": format!("V{:06}", index + 1), "value": format!("$(V{index:06})") }),
            ),
        );
        let last = json!({ "name": "AZP_POOL", "value": format!("$(V{n:06})") });
        pod["spec"]["containers"][0]["env"]
            .as_array_mut()
            .expect("a list")
            .push(last);
        pod
    }),
    ("sources of variables", |n| {
        more(
            "/spec/containers/0/envFrom",
            many(n, |_| json!({ "prefix": "A", "configMapRef": { "name": "b" } })),
        )
    }),
    ("references to every source", |n| {
        let mut pod = more(
            "/spec/containers/0/envFrom",
            many(64, |_| json!({ "secretRef": { "name": "b".repeat(63) } })),
        );
        let value: String = (0..n).map(|index| format!("$(V{index:06})")).collect();
        pod["spec"]["containers"][0]["env"][0]["value"] = json!(value);
        pod
    }),
    ("containers", |n| {
        more(
            "/spec/containers",
            many(
                n,
                |index| json!({ "name": format!("c{index}"), "securityContext": { "privileged": true } }),
            ),
        )
    }),
    ("native sidecars", |n| {
        more(
            "/spec/initContainers",
            many(
                n,
                |index| json!({ "name": format!("c{index}"), "restartPolicy": "Always" }),
            ),
        )
    }),
    ("volumes", |n| {
        more(
            "/spec/volumes",
            many(n, |index| json!({ "name": format!("v{index}"), "hostPath": {} })),
        )
    }),
    ("mounts of one volume", |n| {
        more(
            MOUNTS,
            many(
                n,
                |index| json!({ "name": "work", "mountPath": format!("/a/../{index}") }),
            ),
        )
    }),
    ("volumes that each container mounts", |n| {
        let n = n.isqrt();
        let mut pod = more(
            "/spec/volumes",
            many(n, |index| json!({ "name": format!("v{index}"), "hostPath": {} })),
        );
        let mounts = many(
            n,
            |index| json!({ "name": format!("v{index}"), "mountPath": format!("/{index}") }),
        );
        let containers = many(
            n,
            |index| json!({ "name": format!("c{index}"), "volumeMounts": mounts }),
        );
        pod["spec"]["containers"]
            .as_array_mut()
            .expect("a list")
            .extend(containers.as_array().cloned().expect("a list"));
        pod
    }),
    ("mounts of many volumes", |n| {
        let mut pod = more(
            MOUNTS,
            many(n, |index| json!({ "name": format!("v{index}"), "mountPath": "/x" })),
        );
        pod["spec"]["volumes"] = many(n, |index| json!({ "name": format!("v{index}"), "csi": {} }));
        pod
    }),
    ("capabilities", |n| {
        with(
            "/spec/containers/0/securityContext/capabilities/add",
            many(n, |index| {
                json!(if index % 2 == 0 { "CAP_SYS_ADMIN" } else { "NET_ADMIN" })
            }),
        )
    }),
    ("sources of a volume", |n| {
        with(
            "/spec/volumes/0",
            json!({ "name": "work", "projected": { "sources": many(n, |_| json!({ "secret": {} })) } }),
        )
    }),
    ("containers that azwi skips", |n| {
        let names: Vec<String> = (0..n).map(|index| format!("c{index}")).collect();
        with(
            "/metadata/annotations",
            json!({ "azure.workload.identity/skip-containers": names.join(";") }),
        )
    }),
];

/// Places of texts.
const TEXTS: &[&str] = &[
    "/metadata/labels/ado-agent.dev~1inject",
    "/metadata/labels/azure.workload.identity~1use",
    "/spec/serviceAccountName",
    "/spec/volumes/0/name",
    "/spec/initContainers/0/name",
    "/spec/initContainers/0/restartPolicy",
    "/spec/containers/0/name",
    "/spec/containers/0/image",
    "/spec/containers/0/env/0/name",
    "/spec/containers/0/env/0/value",
    "/spec/containers/0/env/1/value",
    "/spec/containers/0/volumeMounts/0/name",
    "/spec/containers/0/volumeMounts/0/mountPath",
    "/spec/containers/1/name",
];

/// Texts that are long to read in one way or another, from what they are made of.
const PIECES: &[&str] = &[
    "x", "/", "a/", "../", "$(", "$(A)", "$$", ";", "-", "0", ".", "\u{7f}", "https://", "é",
];

/// Every place with every text.
pub(super) fn long_texts(bytes: usize) -> impl Iterator<Item = (String, Value)> {
    let annotations = contract::POD_ANNOTATIONS.iter().chain(contract::AZWI_NAMES);
    let annotations = annotations.map(|entry| format!("/metadata/annotations/{}", entry.name.replace('/', "~1")));
    let places = TEXTS.iter().map(|place| (*place).to_owned()).chain(annotations);
    let more = ["AZP_POOL", "AZP_AGENT_NAME", "no_proxy"].map(|name| format!("variable {name}"));
    places.chain(more).flat_map(move |place| {
        PIECES.iter().map(move |piece| {
            let text = json!(piece.repeat(bytes / piece.len()));
            let pod = if let Some(name) = place.strip_prefix("variable ") {
                more_env(name, &text)
            } else if let Some(key) = place.strip_prefix("/metadata/annotations/") {
                with("/metadata/annotations", json!({ key.replace("~1", "/"): text }))
            } else if place.starts_with("/spec/serviceAccountName") {
                let mut pod = pod();
                pod["spec"]["serviceAccountName"] = text;
                pod
            } else {
                with(&place, text)
            };
            (format!("{piece:?} at {place}"), pod)
        })
    })
}

pub(super) fn more_env(name: &str, text: &Value) -> Value {
    more(ENV, json!([{ "name": name, "value": text }]))
}

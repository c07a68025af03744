//! Pods for the properties: valid ones with everything that matters in every combination, damaged ones, and any JSON.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// Any JSON value, a few levels deep, with keys and texts that mean something to us now and then.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((key(), inner), 0..6).prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "metadata",
            "spec",
            "labels",
            "annotations",
            "containers",
            "initContainers",
            "volumes",
            "env",
            "envFrom",
            "name",
            "value",
            "valueFrom",
            "volumeMounts",
            "mountPath",
            "securityContext",
            "projected",
            "os",
            "kind",
            "ado-agent.dev/inject",
            "ado-agent.dev/status",
            "configMapRef",
            "prefix",
        ])
        .prop_map(str::to_owned),
        text(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "",
            "true",
            "false",
            "Pod",
            "agent",
            "ado-agent-sidecar",
            "ado-agent-handoff",
            "AZP_URL",
            "AZP_TOKEN",
            "https://dev.azure.com/contoso",
            "$(AZP_URL)",
            "$(",
            "$$",
            "/run/ado-agent/handoff",
            "..",
            "~1/~0",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

/// Environment entries of an agent container.
fn entry() -> impl Strategy<Value = Value> {
    let name = select(vec![
        "AZP_URL",
        "AZP_POOL",
        "AZP_AGENT_NAME",
        "AZP_TOKEN",
        "AZP_TOKEN_FILE",
        "VSTS_TOKEN",
        "AZP_CLIENTSECRET",
        "VSTS_ACCOUNT",
        "VSTS_POOL",
        "AZDO_AGENT",
        "AZP_PLACEHOLDER",
        "VSTS_HTTP_PROXY",
        "HTTPS_PROXY",
        "no_proxy",
        "A",
        "B",
        "LD_PRELOAD",
        "SSL_CERT_FILE",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST",
        "ADO_AGENT_ALLOWED_HOSTS",
    ]);
    let value = prop_oneof![
        select(vec![
            "https://dev.azure.com/contoso",
            "",
            "$(A)",
            "x$(B)$$(A)",
            "$(LD_PRELOAD)$(SSL_CERT_FILE)$(ADO_AGENT_POD_NAME)",
            "linux",
            "/var/run/secrets/azure/wi/token"
        ])
        .prop_map(|value| json!({ "value": value })),
        Just(json!({})),
        Just(json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } })),
        Just(json!({ "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } }, "futureField": [1] })),
    ];
    (name, value).prop_map(|(name, mut entry)| {
        entry["name"] = json!(name);
        // What must be valid for the pod to be injected.
        if name == "AZP_URL" && (entry["value"] == "linux" || entry["value"] == "/var/run/secrets/azure/wi/token") {
            entry["value"] = json!("https://contoso.visualstudio.com/");
        }
        entry
    })
}

fn source() -> impl Strategy<Value = Value> {
    (select(vec!["", "AZP_", "A", "OTHER_"]), any::<bool>()).prop_map(|(prefix, secret)| {
        let kind = if secret { "secretRef" } else { "configMapRef" };
        json!({ "prefix": prefix, kind: { "name": "azp" } })
    })
}

prop_compose! {
    /// A container that can be the agent.
    fn agent()(
        env in option::of(vec(entry(), 0..8)),
        sources in option::of(vec(source(), 0..3)),
        azwi in any::<bool>(),
        mounts in any::<bool>(),
        unknown in option::of(any_json()),
        privileged in option::of(any::<bool>()),
        lifecycle in option::of(select(vec![
            Value::Null,
            json!({}),
            json!({ "preStop": null, "futureHook": {} }),
            json!({ "postStart": { "sleep": { "seconds": 1 } } }),
            json!({ "stopSignal": "SIGINT", "preStop": { "sleep": { "seconds": 1 } } }),
        ])),
    ) -> Value {
        let mut container = json!({ "name": "agent", "image": "azp-agent" });
        if let Some(env) = env {
            container["env"] = json!(env);
        }
        if let Some(sources) = sources {
            container["envFrom"] = json!(sources);
        }
        if mounts {
            container["volumeMounts"] = json!([{ "name": "work", "mountPath": "/azp/_work" }]);
        }
        if azwi {
            let mount = json!({ "name": "azwi", "mountPath": "/var/run/secrets/azure/wi", "readOnly": true });
            match container["volumeMounts"].as_array_mut() {
                Some(mounts) => mounts.push(mount),
                None => container["volumeMounts"] = json!([mount]),
            }
        }
        if let Some(unknown) = unknown {
            container["futureField"] = unknown;
        }
        if let Some(lifecycle) = lifecycle {
            container["lifecycle"] = lifecycle;
        }
        if let Some(privileged) = privileged {
            container["securityContext"] = json!({ "privileged": privileged });
        }
        container
    }
}

/// Annotations that allow the pod, most of the time.
fn annotations() -> impl Strategy<Value = Value> {
    let one = select(vec![
        ("ado-agent.dev/url", "https://dev.azure.com/contoso"),
        ("ado-agent.dev/pool", "$(A) 100$"),
        ("ado-agent.dev/client-id", "11111111-2222-3333-4444-555555555555"),
        ("ado-agent.dev/grace-seconds", "0"),
        ("ado-agent.dev/federated-token", "hide"),
        ("ado-agent.dev/federated-token", "keep"),
        ("ado-agent.dev/sidecar-run-as-user", "none"),
        ("ado-agent.dev/unheard-of", "1"),
        ("azure.workload.identity/use-identity-binding", "true"),
        ("azure.workload.identity/skip-containers", "other; agent"),
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "true"),
        ("example.com/~/a~1b", "~"),
    ]);
    vec(one, 0..5).prop_map(|list| list.into_iter().map(|(key, value)| (key, json!(value))).collect())
}

/// What goes with the handoff `gateway`.
fn gateway() -> impl Strategy<Value = Value> {
    let one = select(vec![
        ("ado-agent.dev/gateway-port", "2000"),
        ("ado-agent.dev/own-exchange", "true"),
        ("ado-agent.dev/once", "false"),
        ("ado-agent.dev/token-variables", "A, AZP_TOKEN_FILE"),
        ("ado-agent.dev/url-variables", "B"),
    ]);
    vec(one, 0..3).prop_map(|list| {
        let handoff = ("ado-agent.dev/handoff", "gateway");
        let all = list.into_iter().chain([handoff]);
        all.map(|(key, value)| (key, json!(value))).collect()
    })
}

/// A list that may be absent, `null`, empty or full.
fn list(items: Value) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        Just(Some(json!([]))),
        Just(Some(items))
    ]
}

prop_compose! {
    /// A pod that asks for the sidecar, as the API server might send it.
    pub(crate) fn valid_pod()(
        agent in agent(),
        before in any::<bool>(),
        annotations in option::of(annotations()),
        gateway in prop_oneof![2 => Just(None), 1 => gateway().prop_map(Some)],
        azwi in any::<bool>(),
        init in list(json!([{ "name": "prepare", "image": "x" }, { "name": "mesh", "image": "y", "restartPolicy": "Always" }])),
        more_volumes in any::<bool>(),
        grace in option::of(select(vec![0_i64, 1, 30, 3600, 86400])),
        flags in vec((select(vec!["shareProcessNamespace", "hostPID", "hostNetwork"]), any::<bool>()), 0..2),
        unknown in option::of(any_json()),
        fs_group in option::of(0_i64..3000),
    ) -> Value {
        let mut labels = json!({ "ado-agent.dev/inject": "true" });
        if azwi {
            labels["azure.workload.identity/use"] = json!("true");
        }
        let mut pod = json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "generateName": "a-", "labels": labels }, "spec": {} });
        if let Some(annotations) = annotations {
            pod["metadata"]["annotations"] = annotations;
        }
        for (key, value) in gateway.as_ref().and_then(Value::as_object).into_iter().flatten() {
            pod["metadata"]["annotations"][key] = value.clone();
        }
        let spec = &mut pod["spec"];
        let has = |name: &str| agent["volumeMounts"].as_array().into_iter().flatten().any(|mount| mount["name"] == name);
        let mut volumes = Vec::new();
        if has("work") {
            volumes.push(json!({ "name": "work", "hostPath": { "path": "/srv" } }));
        }
        if has("azwi") {
            volumes.push(json!({ "name": "azwi", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } }));
        }
        if more_volumes {
            volumes.push(json!({ "name": "more", "futureSource": {} }));
        }
        if !volumes.is_empty() {
            spec["volumes"] = json!(volumes);
        }
        spec["containers"] = if before { json!([{ "name": "docker", "image": "dind" }, agent]) } else { json!([agent]) };
        if let Some(init) = init {
            spec["initContainers"] = init;
        }
        if let Some(grace) = grace {
            spec["terminationGracePeriodSeconds"] = json!(grace);
        }
        for (flag, value) in flags {
            spec[flag] = json!(value);
        }
        if let Some(unknown) = unknown {
            spec["futureField"] = unknown;
        }
        if let Some(group) = fs_group {
            spec["securityContext"] = json!({ "fsGroup": group });
        }
        pod
    }
}

/// A valid pod of which some values were replaced by anything.
pub(crate) fn damaged_pod() -> impl Strategy<Value = Value> {
    (valid_pod(), vec((any::<Index>(), any_json()), 1..4)).prop_map(|(mut pod, damages)| {
        for (index, value) in damages {
            let paths = paths(&pod);
            let path = index.get(&paths);
            *pod.pointer_mut(path).expect("a path of this pod") = value;
        }
        pod
    })
}

/// The paths of all values, as JSON pointers.
fn paths(value: &Value) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut inner = |token: &str, value: &Value| {
        let token = token.replace('~', "~0").replace('/', "~1");
        paths.extend(self::paths(value).into_iter().map(|path| format!("/{token}{path}")));
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| inner(key, value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| inner(&index.to_string(), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    paths
}

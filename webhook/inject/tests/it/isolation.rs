//! `isolated` is said only where it is true: one row for each thing that ends it, alone.

use crate::case::{CREATE, account, context, settings};
use crate::invariants;
use inject::{Decision, FederatedToken, Settings};
use serde_json::{Value, json};

/// A pod that is isolated.
fn pod() -> Value {
    json!({
        "metadata": { "labels": { "ado-agent.dev/inject": "true" }, "annotations": {} },
        "spec": {
            "volumes": [
                { "name": "empty", "emptyDir": {} },
                { "name": "claim", "persistentVolumeClaim": { "claimName": "a" } },
                { "name": "files", "projected": { "sources": [{ "configMap": {} }, { "secret": {} }, { "downwardAPI": {} }, { "clusterTrustBundle": {} }] } },
                { "name": "unused", "hostPath": { "path": "/" } },
            ],
            "terminationGracePeriodSeconds": 900,
            "initContainers": [
                { "name": "prepare", "securityContext": { "privileged": true }, "volumeMounts": [{ "name": "unused", "mountPath": "/host" }] },
                { "name": "logs", "restartPolicy": "Always", "volumeMounts": [{ "name": "empty", "mountPath": "/logs" }] },
            ],
            "containers": [
                {
                    "name": "agent",
                    "env": [
                        { "name": "AZP_URL", "value": "https://dev.azure.com/contoso" },
                        { "name": "AZP_POOL", "value": "linux" },
                    ],
                    "volumeMounts": [
                        { "name": "empty", "mountPath": "/e" },
                        { "name": "claim", "mountPath": "/c" },
                        { "name": "files", "mountPath": "/f" },
                    ],
                    "securityContext": { "privileged": false, "capabilities": { "add": ["NET_ADMIN", "CHOWN"] }, "procMount": "Default" },
                },
                { "name": "helper" },
            ],
        },
    })
}

/// `isolated` and `notIsolated`.
fn isolation(pod: &Value) -> (bool, Vec<String>, Vec<String>) {
    let settings = Settings {
        federated_token: Some(FederatedToken::Hide),
        ..settings()
    };
    let Decision::Inject(injection) =
        inject::decide(pod, &CREATE, &account(None).expect("an account"), context(&settings))
    else {
        panic!("not injected: {pod}");
    };
    let patched = invariants::check(pod, &injection, &settings);
    let status = invariants::status(&patched);
    let reasons = status["notIsolated"].as_array().cloned().unwrap_or_default();
    let reasons = reasons.iter().map(|reason| reason.as_str().expect("a text").to_owned());
    (
        status["isolated"].as_bool().expect("a flag"),
        reasons.collect(),
        injection.warnings,
    )
}

#[test]
fn nothing_leads_to_the_sidecar_or_to_another_identity() {
    assert_eq!(isolation(&pod()), (true, Vec::new(), Vec::new()));
    let mut azwi = pod();
    azwi["metadata"]["labels"]["azure.workload.identity/use"] = json!("true");
    azwi["metadata"]["annotations"]["azure.workload.identity/skip-containers"] = json!("logs; helper");
    assert_eq!(isolation(&azwi), (true, Vec::new(), Vec::new()));
}

#[test]
fn each_thing_that_does_is_said() {
    let token = |audience: &str| json!({ "projected": { "sources": [{ "serviceAccountToken": { "path": "token", "audience": audience } }] } });
    let volumes = [
        (json!({ "hostPath": { "path": "/var/log" } }), "hostPath"),
        (token("api://AzureADTokenExchange"), "serviceAccountToken"),
        (token("sts.example"), "serviceAccountToken"),
        (token(""), "serviceAccountToken"),
        (
            json!({ "projected": { "sources": [{ "podCertificate": {} }] } }),
            "volume",
        ),
        (json!({ "csi": { "driver": "csi.spiffe.io" } }), "volume"),
        (json!({ "flexVolume": { "driver": "x" } }), "volume"),
        (json!({ "ofALaterVersion": {} }), "volume"),
    ];
    let powers = [
        (json!({ "privileged": true }), "privileged"),
        (
            json!({ "capabilities": { "add": ["SYS_ADMIN"] } }),
            "capability SYS_ADMIN",
        ),
        (
            json!({ "capabilities": { "add": ["cap_sys_ptrace"] } }),
            "capability SYS_PTRACE",
        ),
        (json!({ "procMount": "Unmasked" }), "procMount"),
    ];
    let mut rows = Vec::new();
    for place in ["/spec/containers/0", "/spec/containers/1", "/spec/initContainers/1"] {
        for (volume, word) in &volumes {
            let mut pod = pod();
            let mut volume = volume.clone();
            volume["name"] = json!("risky");
            pod["spec"]["volumes"].as_array_mut().expect("a list").push(volume);
            let container = pod.pointer_mut(place).expect("a container");
            container["volumeMounts"] = json!([{ "name": "risky", "mountPath": "/x", "readOnly": true }]);
            rows.push((pod, *word));
        }
        for (context, word) in &powers {
            let mut pod = pod();
            pod.pointer_mut(place).expect("a container")["securityContext"] = context.clone();
            rows.push((pod, *word));
        }
    }
    for flag in ["shareProcessNamespace", "hostPID", "hostIPC", "hostNetwork"] {
        let mut pod = pod();
        pod["spec"][flag] = json!(true);
        // It is needed there, or there is a warning about it.
        rows.push((pod, flag));
    }
    for annotations in [
        json!({ "ado-agent.dev/federated-token": "keep", "azure.workload.identity/skip-containers": "logs;helper" }),
        json!({ "ado-agent.dev/federated-token": "hide", "azure.workload.identity/skip-containers": "logs" }),
        json!({ "ado-agent.dev/federated-token": "hide", "azure.workload.identity/skip-containers": "helper" }),
    ] {
        let mut pod = pod();
        pod["metadata"]["labels"]["azure.workload.identity/use"] = json!("true");
        pod["metadata"]["annotations"] = annotations;
        rows.push((pod, "federatedToken"));
    }
    for (pod, word) in rows {
        let (isolated, reasons, warnings) = isolation(&pod);
        assert!(!isolated, "{word}: {pod}");
        assert_eq!(reasons.len(), 1, "{word}: {reasons:?}");
        assert!(reasons[0].starts_with(word), "{word}: {reasons:?}");
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains("is not isolated") && warning.contains(word)),
            "{word}: {warnings:?}"
        );
    }
}

#[test]
fn a_token_that_azwi_gave_before_us_and_that_is_taken_out_again_does_not_count() {
    let mut pod = pod();
    pod["metadata"]["labels"]["azure.workload.identity/use"] = json!("true");
    pod["metadata"]["annotations"]["azure.workload.identity/skip-containers"] = json!("logs;helper");
    let token = json!({ "name": "wi", "projected": { "sources": [{ "serviceAccountToken": { "audience": "a" } }] } });
    pod["spec"]["volumes"].as_array_mut().expect("a list").push(token);
    let agent = &mut pod["spec"]["containers"][0];
    agent["volumeMounts"] = json!([{ "name": "wi", "mountPath": "/wi" }]);
    agent["env"]
        .as_array_mut()
        .expect("a list")
        .push(json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/wi/token" }));
    assert!(isolation(&pod).0);
}

#[test]
fn of_many_reasons_ten_are_listed_and_the_warning_counts_the_others() {
    let mut pod = pod();
    let containers = pod["spec"]["containers"].as_array_mut().expect("a list");
    containers.extend((0..50).map(|n| json!({ "name": format!("c{n}"), "securityContext": { "privileged": true } })));
    let (isolated, reasons, warnings) = isolation(&pod);
    assert!(!isolated);
    assert_eq!(reasons.len(), 10);
    assert!(
        warnings[0].starts_with("container \"agent\" is not isolated: its jobs may reach"),
        "{warnings:?}"
    );
}

//! The Pod Security Standard `restricted` (kubernetes.io, Pod Security Standards), as far as a pod of ours could break it.

use serde_json::{Value, json};

/// What `restricted` would refuse in a pod's spec, one sentence each.
pub(super) fn violations(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[host] == true {
            found.push(format!("{host} is set"));
        }
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let kinds = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        if !kinds.iter().any(|kind| volume.get(kind).is_some()) {
            found.push(format!("volume {}", volume["name"]));
        }
    }
    let pod = &spec["securityContext"];
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            let own = &container["securityContext"];
            let either = |path: &str| {
                [own, pod]
                    .into_iter()
                    .find_map(|context| context.pointer(path))
                    .cloned()
                    .unwrap_or(Value::Null)
            };
            let mut check = |fine: bool, what: &str| {
                if !fine {
                    found.push(format!("container {}: {what}", container["name"]));
                }
            };
            check(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
            check(own["capabilities"]["drop"] == json!(["ALL"]), "capabilities.drop");
            check(own["capabilities"]["add"].is_null(), "capabilities.add");
            check(own["privileged"] != true, "privileged");
            check(either("/runAsNonRoot") == true, "runAsNonRoot");
            check(either("/runAsUser") != 0, "runAsUser");
            check(either("/seccompProfile/type") == "RuntimeDefault", "seccompProfile");
            let ports = container["ports"].as_array().into_iter().flatten();
            check(ports.clone().all(|port| port["hostPort"].is_null()), "hostPort");
        }
    }
    found
}

#[test]
fn a_pod_that_sets_nothing_is_refused() {
    let pod = json!({
        "hostNetwork": true,
        "containers": [{"name": "c"}],
        "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
    });
    assert_eq!(
        violations(&pod),
        [
            "hostNetwork is set",
            "volume \"v\"",
            "container \"c\": allowPrivilegeEscalation",
            "container \"c\": capabilities.drop",
            "container \"c\": runAsNonRoot",
            "container \"c\": seccompProfile",
        ]
    );
}

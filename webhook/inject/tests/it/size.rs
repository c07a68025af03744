//! Large pods: what the API server lets through is decided, and the patch stays small.

use crate::case::{CREATE, context, settings};
use crate::{admission, case, invariants};
use inject::Decision;
use serde_json::{Value, json};

fn pod(env: &[Value], annotations: &Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": { "labels": { "ado-agent.dev/inject": "true" }, "annotations": annotations },
        "spec": { "containers": [{ "name": "agent", "image": "x", "env": env }] },
    })
}

/// Injects the pod and gives the size of the patch.
fn patch_bytes(pod: &Value) -> usize {
    let account = case::account(None).expect("an account");
    let Decision::Inject(injection) = inject::decide(pod, &CREATE, &account, context(&settings())) else {
        panic!("not injected");
    };
    let patched = invariants::check(pod, &injection, &settings());
    admission::check(&patched, &settings());
    injection.patch.len()
}

#[test]
fn a_pod_of_more_than_two_megabytes_gets_a_patch_of_a_few_kilobytes() {
    let mut env = vec![
        json!({ "name": "AZP_URL", "value": "https://dev.azure.com/contoso" }),
        json!({ "name": "BIG", "value": "x".repeat(1_900_000) }),
    ];
    env.extend((0..12_000).map(|n| json!({ "name": format!("V{n}"), "value": "$(V1)$(BIG)$(AZP_URL)" })));
    let pod = pod(&env, &json!({}));
    assert!(pod.to_string().len() > 2_400_000);
    let bytes = patch_bytes(&pod);
    assert!(bytes < 10_000, "{bytes}");
}

#[test]
fn a_thousand_annotations_survive_and_the_status_stays_small() {
    let annotations: Value = (0..1000)
        .map(|n| match n % 3 {
            0 => (format!("a/{n}~1~0/"), json!("~")),
            1 => (format!("ado-agent.dev/unknown-{n}"), json!("x")),
            _ => (format!("ado-agent.dev/{}{n}", "long".repeat(50)), json!("x")),
        })
        .collect();
    let env = vec![json!({ "name": "AZP_URL", "value": "https://dev.azure.com/contoso" })];
    let bytes = patch_bytes(&pod(&env, &annotations));
    assert!(bytes < 30_000, "{bytes}");
}

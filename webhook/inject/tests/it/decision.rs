//! What a decision says of itself, and what it is made of that no example shows.

use crate::case::{CREATE, account, context, settings};
use inject::review::{Incoming, MOST_VALUES};
use inject::{Decision, Inspection, Request};
use serde_json::{Value, json};

/// A pod that gets the sidecar.
fn pod() -> Value {
    json!({
        "kind": "Pod",
        "metadata": { "labels": { "ado-agent.dev/inject": "true" } },
        "spec": {
            "serviceAccountName": "azp-agent",
            "containers": [{
                "name": "azp-agent-of-linux",
                "image": "x",
                "env": [{ "name": "AZP_URL", "value": "https://dev.azure.com/contoso" }],
            }],
        },
    })
}

fn decide(pod: &Value) -> Decision {
    let account = account(None).expect("an account");
    inject::decide(pod, &CREATE, &account, context(&settings()))
}

#[test]
fn a_decision_has_two_words_for_logs_and_metrics() {
    let labeled = |label: &str| {
        let mut pod = pod();
        pod["metadata"]["labels"]["ado-agent.dev/inject"] = json!(label);
        decide(&pod)
    };
    for (label, words) in [
        ("true", ("injected", "injected")),
        ("false", ("skipped", "opted-out")),
        ("yes", ("denied", "bad-label")),
    ] {
        let decision = labeled(label);
        assert_eq!((decision.outcome(), decision.reason()), words, "label {label}");
    }
}

#[test]
fn the_service_account_of_the_pod_is_asked_for() {
    for (name, asked) in [(json!("azp-agent"), "azp-agent"), (Value::Null, "default")] {
        let mut pod = pod();
        pod["spec"]["serviceAccountName"] = name;
        let settings = settings();
        let Inspection::NeedsAccount(pending) = inject::inspect(&pod, &CREATE, context(&settings)) else {
            panic!("the identity is the ServiceAccount's");
        };
        assert_eq!(pending.account(), asked);
    }
}

#[test]
fn the_only_container_is_the_agent_whatever_its_name_is() {
    let Decision::Inject(injection) = decide(&pod()) else {
        panic!("{:?}", decide(&pod()));
    };
    let patch = String::from_utf8(injection.patch).expect("JSON is text");
    assert!(patch.contains("azp-agent-of-linux"), "{patch}");
}

#[test]
fn what_creates_no_pod_is_left_alone() {
    for request in [
        Request {
            operation: "UPDATE",
            ..CREATE
        },
        Request {
            group: "apps",
            ..CREATE
        },
        Request {
            resource: "deployments",
            ..CREATE
        },
        Request {
            subresource: "ephemeralcontainers",
            ..CREATE
        },
    ] {
        let account = account(None).expect("an account");
        let decision = inject::decide(&pod(), &request, &account, context(&settings()));
        assert_eq!(decision.reason(), "not-a-pod-creation", "{request:?}");
    }
}

#[test]
fn a_pod_of_too_many_values_is_denied_and_what_is_no_creation_of_one_is_left_alone() {
    for (operation, reason) in [("CREATE", "pod-too-large"), ("UPDATE", "not-a-pod-creation")] {
        let mut pod = pod();
        pod["spec"]["filler"] = json!(vec![0; MOST_VALUES]);
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "operation": operation,
                "namespace": "agents",
                "resource": { "group": "", "version": "v1", "resource": "pods" },
                "object": pod,
            },
        });
        let incoming = Incoming::parse(review.to_string().as_bytes()).expect("a review");
        let settings = settings();
        let Inspection::Decided(decision) = incoming.inspect(context(&settings)) else {
            panic!("{operation}: no account is asked for");
        };
        assert_eq!(decision.reason(), reason, "{operation}");
    }
}

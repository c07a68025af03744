//! Label selectors as the API server evaluates them, and what they choose: a pod that asks for the sidecar is seen by
//! exactly one of the webhook and the policy for forgotten labels.

use std::collections::BTreeMap;

use contract::{INJECT_LABEL, SIDECAR_CONTAINER};
use serde_json::{Value, json};

use super::{pods_on_create, variant, webhook};
use tests::kustomize::find;

/// Whether a selector (`matchLabels`, `matchExpressions`) takes an object with these labels.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"]
        .as_object()
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = selector["matchExpressions"].as_array().is_none_or(|all| {
        all.iter().all(|expression| {
            let label = labels.get(expression["key"].as_str().expect("a key"));
            let listed = || {
                let values = expression["values"].as_array().expect("values");
                label.is_some_and(|label| values.contains(label))
            };
            match expression["operator"].as_str().expect("an operator") {
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                "In" => listed(),
                "NotIn" => !listed(),
                other => panic!("unknown operator {other}"),
            }
        })
    });
    equal && expressions
}

fn takes(constraints: &Value, namespace: &Value, pod: &Value) -> bool {
    selects(&constraints["namespaceSelector"], namespace) && selects(&constraints["objectSelector"], pod)
}

fn labels(inject: Option<&str>, more: &[(&str, &str)]) -> Value {
    let mut labels: BTreeMap<_, _> = more.iter().copied().collect();
    if let Some(value) = inject {
        labels.insert(INJECT_LABEL, value);
    }
    json!(labels)
}

const VALUES: [Option<&str>; 5] = [None, Some("true"), Some("false"), Some("yes"), Some("")];

#[test]
fn only_pods_that_ask_in_namespaces_that_opted_in_reach_the_webhook() {
    let webhook = webhook(&variant(&["manifests/base"], &[], ""));
    for namespace in VALUES {
        for pod in VALUES {
            let reached = takes(
                &webhook,
                &labels(namespace, &[("kubernetes.io/metadata.name", "agents")]),
                &labels(pod, &[("app", "x")]),
            );
            let expected = namespace == Some("true") && pod.is_some() && pod != Some("false");
            assert_eq!(reached, expected, "namespace {namespace:?}, pod {pod:?}");
        }
    }
    for excluded in [
        ("kubernetes.io/metadata.name", "kube-system"),
        ("kubernetes.io/metadata.name", "kube-node-lease"),
        ("kubernetes.io/metadata.name", contract::SYSTEM_NAMESPACE),
        ("control-plane", "true"),
        ("kubernetes.azure.com/managedby", "aks"),
    ] {
        assert!(
            !takes(&webhook, &labels(Some("true"), &[excluded]), &labels(Some("true"), &[])),
            "{excluded:?}"
        );
    }
}

#[test]
fn a_forgotten_label_is_denied_exactly_where_the_webhook_is_not_called() {
    let objects = variant(&["manifests/base"], &["manifests/components/forgotten-label"], "");
    let webhook = webhook(&objects);
    let policy = &find(&objects, "ValidatingAdmissionPolicy", "ado-agent-forgotten-label").unwrap()["spec"];
    let constraints = &policy["matchConstraints"];
    assert_eq!(constraints["resourceRules"], pods_on_create());
    for namespace in VALUES {
        for pod in VALUES {
            let namespace = labels(namespace, &[("kubernetes.io/metadata.name", "agents")]);
            let pod = labels(pod, &[]);
            let asks = selects(&webhook["objectSelector"], &pod);
            let seen = [takes(&webhook, &namespace, &pod), takes(constraints, &namespace, &pod)];
            assert_eq!(
                seen.iter().filter(|seen| **seen).count(),
                usize::from(asks),
                "{namespace} {pod}"
            );
        }
    }
    assert_eq!(policy["validations"][0]["expression"], "false");
    let message = policy["validations"][0]["messageExpression"].as_str().unwrap();
    assert!(
        message.contains(INJECT_LABEL) && message.contains("kubectl label namespace"),
        "{message}"
    );
    let binding = find(
        &objects,
        "ValidatingAdmissionPolicyBinding",
        "ado-agent-forgotten-label",
    )
    .unwrap();
    assert_eq!(
        binding["spec"],
        json!({"policyName": "ado-agent-forgotten-label", "validationActions": ["Deny"]})
    );
}

#[test]
fn under_ignore_a_policy_demands_the_sidecar_of_the_same_pods() {
    let objects = variant(&["manifests/base"], &["manifests/components/failure-policy-ignore"], "");
    let webhook = webhook(&objects);
    let policy = &find(&objects, "ValidatingAdmissionPolicy", "ado-agent-sidecar-required").unwrap()["spec"];
    for selector in ["namespaceSelector", "objectSelector"] {
        assert_eq!(policy["matchConstraints"][selector], webhook[selector], "{selector}");
    }
    assert_eq!(policy["matchConstraints"]["resourceRules"], webhook["rules"]);
    let expression = policy["validations"][0]["expression"].as_str().unwrap();
    assert!(
        expression.contains(&format!("c.name == '{SIDECAR_CONTAINER}'")),
        "{expression}"
    );
    let binding = find(
        &objects,
        "ValidatingAdmissionPolicyBinding",
        "ado-agent-sidecar-required",
    )
    .unwrap();
    assert_eq!(
        binding["spec"],
        json!({"policyName": "ado-agent-sidecar-required", "validationActions": ["Deny"]})
    );
}

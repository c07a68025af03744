use super::*;
use crate::env_var::escape;
use crate::environment::{Found, unescape};
use crate::json::Node;
use crate::pod::{Container, ContainerList};
use serde_json::json;

fn written(variables: &[EnvVar<'_>]) -> Value {
    serde_json::to_value(variables).expect("variables have a JSON form")
}

fn environment(raw: &Value) -> Environment<'_> {
    let node = Node::root(raw).expect("an object");
    let container = Container::read(ContainerList::Ordinary, 0, node).expect("well-formed");
    Environment::read(&container).expect("few sources")
}

#[test]
fn an_escaped_text_is_read_back() {
    let text = "$(A) $ $$ $$(B)";
    assert_eq!(unescape(&escape(text)), text);
}

#[test]
fn a_copy_brings_what_it_refers_to_in_the_original_order() {
    let raw = json!({"name": "agent",
        "env": [
            {"name": "LATER", "value": "hidden by the next"},
            {"name": "HOST", "value": "dev.azure.com"},
            {"name": "LATER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "BASE", "value": "https://$(HOST)"},
            {"name": "AZP_URL", "value": "$(BASE)/$(ORG)/$(LATER)"},
            {"name": "LATER", "value": "too late"},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "X", "secretRef": {"name": "s"}}],
    });
    let copies = environment(&raw).copies(&[(4, "ADO_AGENT_URL")]).expect("few");
    let key = json!({"name": "settings", "key": "ORG", "optional": true});
    assert_eq!(
        written(&copies),
        json!([
            {"name": "ADO_AGENT_REF_ORG", "value": "$(ORG)"},
            {"name": "ADO_AGENT_REF_ORG", "valueFrom": {"configMapKeyRef": key}},
            {"name": "ADO_AGENT_REF_HOST", "value": "dev.azure.com"},
            {"name": "ADO_AGENT_REF_LATER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "ADO_AGENT_REF_BASE", "value": "https://$(ADO_AGENT_REF_HOST)"},
            {"name": "ADO_AGENT_URL", "value": "$(ADO_AGENT_REF_BASE)/$(ADO_AGENT_REF_ORG)/$(ADO_AGENT_REF_LATER)"},
        ])
    );
}

#[test]
fn a_value_that_refers_to_an_earlier_one_of_its_own_name_finds_that_one() {
    let raw = json!({"name": "agent",
        "env": [
            {"name": "HTTPS_PROXY", "value": "a"},
            {"name": "HTTPS_PROXY", "value": "$(HTTPS_PROXY)b"},
            {"name": "AZP_POOL", "value": "$(HTTPS_PROXY)"},
        ],
    });
    let wanted = [(1, "HTTPS_PROXY"), (2, "ADO_AGENT_POOL")];
    let copies = environment(&raw).copies(&wanted).expect("few");
    assert_eq!(
        written(&copies),
        json!([
            {"name": "ADO_AGENT_REF_HTTPS_PROXY", "value": "a"},
            {"name": "HTTPS_PROXY", "value": "$(ADO_AGENT_REF_HTTPS_PROXY)b"},
            {"name": "ADO_AGENT_REF_HTTPS_PROXY", "value": "$(ADO_AGENT_REF_HTTPS_PROXY)b"},
            {"name": "ADO_AGENT_POOL", "value": "$(ADO_AGENT_REF_HTTPS_PROXY)"},
        ])
    );
}

#[test]
fn a_reference_never_finds_what_only_the_sidecar_has() {
    for name in [
        "AZURE_CLIENT_ID",
        "ADO_AGENT_ALLOWED_HOSTS",
        "ADO_AGENT_POD_NAME",
        "ADO_AGENT_URL_FROM_3",
        "ADO_AGENT_REF_A",
        "no_proxy",
    ] {
        let pool = json!({"name": "AZP_POOL", "value": format!("$({name})")});
        let defined = json!({"name": "agent", "env": [{"name": name, "value": "x"}, pool]});
        let copies = environment(&defined).copies(&[(1, "ADO_AGENT_POOL")]).expect("few");
        assert_eq!(
            written(&copies),
            json!([
                {"name": format!("ADO_AGENT_REF_{name}"), "value": "x"},
                {"name": "ADO_AGENT_POOL", "value": format!("$(ADO_AGENT_REF_{name})")},
            ])
        );
        let undefined = json!({ "name": "agent", "env": [pool] });
        let copies = environment(&undefined).copies(&[(0, "ADO_AGENT_POOL")]).expect("few");
        assert_eq!(
            written(&copies),
            json!([{"name": "ADO_AGENT_POOL", "value": format!("$$({name})")}])
        );
    }
}

#[test]
fn a_secret_that_is_removed_does_not_come_along() {
    let raw = json!({"name": "agent",  "env": [{"name": "AZP_TOKEN", "value": "s3cret"}, {"name": "AZP_POOL", "value": "$(AZP_TOKEN)"}] });
    let copies = environment(&raw).copies(&[(1, "ADO_AGENT_POOL")]).expect("few");
    assert_eq!(
        written(&copies),
        json!([{"name": "ADO_AGENT_POOL", "value": "$(AZP_TOKEN)"}])
    );
}

#[test]
fn a_reference_to_a_service_stays() {
    let proxy = json!({"name": "HTTPS_PROXY", "value": "http://$(SQUID_SERVICE_HOST):3128"});
    let raw = json!({"name": "agent",  "env": [proxy] });
    let copies = environment(&raw).copies(&[(0, "HTTPS_PROXY")]).expect("few");
    assert_eq!(written(&copies), json!([proxy]));
}

#[test]
fn a_prefix_decides_which_key_brings_a_variable() {
    let raw = json!({"name": "agent", "envFrom": [
        {"prefix": "AZP_", "configMapRef": {"name": "a"}},
        {"prefix": "OTHER_", "configMapRef": {"name": "b"}},
        {"secretRef": {"name": "c"}},
    ]});
    let environment = environment(&raw);
    assert_eq!(environment.find("AZP_URL"), Found::Perhaps);
    assert!(!environment.may_bring("no key") && !environment.may_bring("AZP_..x/"));
    let references = environment.numbered_references("AZP_URL", "ADO_AGENT_URL_FROM");
    assert_eq!(
        written(&references),
        json!([
            {"name": "ADO_AGENT_URL_FROM_0", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "URL", "optional": true}}},
            {"name": "ADO_AGENT_URL_FROM_2", "valueFrom": {"secretKeyRef": {"name": "c", "key": "AZP_URL", "optional": true}}},
        ])
    );
}

#[test]
fn a_resource_reference_keeps_meaning_the_agent_container() {
    let raw = json!({"name": "agent", "env": [{"name": "AZP_AGENT_NAME", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]});
    let copies = environment(&raw).copies(&[(0, "ADO_AGENT_NAME")]).expect("few");
    assert_eq!(
        written(&copies)[0]["valueFrom"]["resourceFieldRef"]["containerName"],
        "agent"
    );
}

#[track_caller]
fn refused(raw: &Value, position: usize, part: &str) {
    let denial = environment(raw).copies(&[(position, "X")]).expect_err("too large");
    assert_eq!(denial.reason, DenyReason::PatchTooLarge);
    assert!(denial.message.contains(part), "{}", denial.message);
}

#[test]
fn a_long_chain_of_references_is_refused() {
    let env: Vec<Value> = (0..20_000)
        .map(|n: u32| json!({"name": format!("V{n}"), "value": format!("$(V{})", n.wrapping_sub(1))}))
        .collect();
    refused(&json!({ "name": "agent", "env": env }), 19_999, "more than 100");
}

#[test]
fn long_copies_are_refused() {
    let long = json!({"name": "A", "value": "x".repeat(70_000)});
    refused(&json!({ "name": "agent", "env": [long] }), 0, "more than 64 KiB");
    refused(
        &json!({ "name": "agent", "env": [long, {"name": "B", "value": "$(A)"}] }),
        1,
        "more than 64 KiB",
    );
    // Each reference grows, by the prefix.
    refused(
        &json!({ "name": "agent", "env": [{"name": "A"}, {"name": "B", "value": "$(A)".repeat(6000)}] }),
        1,
        "more than 64 KiB",
    );
    // Each reference becomes one to every source.
    let sources: Vec<Value> = (0..64)
        .map(|_| json!({"configMapRef": {"name": "x".repeat(60)}}))
        .collect();
    let value: String = (0..90).map(|n| format!("$(V{n})")).collect();
    refused(
        &json!({ "name": "agent", "env": [{"name": "A", "value": value}], "envFrom": sources }),
        0,
        "more than 64 KiB",
    );
}

#[test]
fn no_variable_is_longer_than_its_bound() {
    let nasty = "\u{1}\"\\é".repeat(3);
    let raw = json!({
        "name": "agent",
        "envFrom": [{"configMapRef": {"name": "azp"}}, {"secretRef": {"name": "azp"}}],
    });
    let environment = environment(&raw);
    let mut variables = environment.numbered_references("AZP_URL", "ADO_AGENT_URL_FROM");
    variables.push(crate::env_var::literal("A", ""));
    variables.push(crate::env_var::literal(&nasty, "\u{1}".repeat(20)));
    variables.push(crate::env_var::field("A", "metadata.name"));
    assert_eq!(variables.len(), 5);
    for variable in variables {
        let length = json_bytes(&variable, usize::MAX).unwrap() + ",".len();
        assert!(length <= variable.json_bytes_bound(), "{variable:?}");
    }
}

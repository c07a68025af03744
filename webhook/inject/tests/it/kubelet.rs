//! What the sidecar finds in its environment is what the agent container finds in its own, as the kubelet makes both
//! (kubernetes/kubernetes `pkg/kubelet/kubelet_pods.go`, `makeEnvironmentVariables`): written a second time here, on purpose.

use crate::case::{CREATE, account, context, settings_with};
use inject::Decision;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Variables = BTreeMap<String, String>;

/// A ConfigMap or a Secret; both are called by the name alone here.
fn object(name: &str) -> Variables {
    let pairs: &[(&str, &str)] = match name {
        "first" => &[
            ("A", "a-first"),
            ("AZP_POOL", "pool-first"),
            ("VSTS_POOL", "older"),
            ("X", "x$(A)"),
        ],
        "second" => &[("A", "a-second"), ("LD_PRELOAD", "preload"), ("NO_PROXY", "none")],
        _ => &[],
    };
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// What the kubelet adds to every container, for services of the namespace.
fn services() -> Variables {
    let pairs = [("SQUID_SERVICE_HOST", "10.0.0.7"), ("X", "a service of an odd name")];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn expand(value: &str, defined: &Variables) -> String {
    let services = services();
    let mut text = String::new();
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        if character != '$' {
            text.push(character);
            continue;
        }
        match rest.next() {
            None => text.push('$'),
            Some('$') => text.push('$'),
            Some('(') => match rest.as_str().find(')') {
                None => text.push_str("$("),
                Some(end) => {
                    let name = &rest.as_str()[..end];
                    match defined.get(name).or_else(|| services.get(name)) {
                        Some(value) => text.push_str(value),
                        None => text.push_str(&format!("$({name})")),
                    }
                    rest = rest.as_str()[end + 1..].chars();
                }
            },
            Some(other) => text.extend(['$', other]),
        }
    }
    text
}

fn environment(container: &Value) -> Variables {
    let list = |key: &str| container[key].as_array().cloned().unwrap_or_default();
    let mut defined = Variables::new();
    for source in list("envFrom") {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        let name = source["configMapRef"]["name"].as_str().expect("a ConfigMap");
        defined.extend(
            object(name)
                .into_iter()
                .map(|(key, value)| (format!("{prefix}{key}"), value)),
        );
    }
    for entry in list("env") {
        let name = entry["name"].as_str().expect("a name").to_owned();
        let from = &entry["valueFrom"];
        let value = if from["fieldRef"].is_object() {
            Some("the-pod".to_owned())
        } else if from["configMapKeyRef"].is_object() {
            let reference = &from["configMapKeyRef"];
            let found = object(reference["name"].as_str().expect("a name"));
            found.get(reference["key"].as_str().expect("a key")).cloned()
        } else {
            Some(expand(entry["value"].as_str().unwrap_or_default(), &defined))
        };
        if let Some(value) = value {
            defined.insert(name, value);
        }
    }
    defined
}

fn names() -> impl Strategy<Value = &'static str> {
    select(vec![
        "A",
        "B",
        "X",
        "AZP_POOL",
        "VSTS_POOL",
        "AZDO_POOL",
        "AZP_AGENT_NAME",
        "VSTS_HTTP_PROXY",
        "HTTPS_PROXY",
        "no_proxy",
        "LD_PRELOAD",
        "SSL_CERT_FILE",
        "RUST_LOG",
        "AZURE_CLIENT_ID",
        "ADO_AGENT_URL",
        "ADO_AGENT_POD_NAME",
        "ADO_AGENT_REF_A",
        "ADO_AGENT_POOL_FROM_0",
        "SQUID_SERVICE_HOST",
        "UNHEARD_OF",
    ])
}

fn literal() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => names().prop_map(|name| format!("$({name})")),
        1 => names().prop_map(|name| format!("$$({name})")),
        2 => select(vec!["$", "$$", "$(", ")", "x", "é", "-"]).prop_map(str::to_owned),
    ];
    // An empty entry is replaced by the webhook, and a reference to it is to something else in the agent container.
    vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

fn entry() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        5 => literal().prop_map(|text| json!({ "value": text })),
        1 => Just(json!({ "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })),
        1 => Just(json!({ "valueFrom": { "configMapKeyRef": { "name": "first", "key": "A" } } })),
    ];
    (names(), value).prop_map(|(name, mut entry)| {
        entry["name"] = json!(name);
        entry
    })
}

fn source() -> impl Strategy<Value = Value> {
    (
        select(vec!["", "LD_", "ADO_AGENT_"]),
        select(vec!["first", "second", "empty"]),
    )
        .prop_map(|(prefix, name)| json!({ "prefix": prefix, "configMapRef": { "name": name } }))
}

/// The pod as the API server makes it of the patch.
fn patched(pod: &Value) -> Value {
    let settings = settings_with(&json!({ "url": "https://dev.azure.com/contoso" }));
    let Decision::Inject(injection) =
        inject::decide(pod, &CREATE, &account(None).expect("an account"), context(&settings))
    else {
        panic!("not injected: {pod}");
    };
    let mut patched = pod.clone();
    let patch: json_patch::Patch = serde_json::from_slice(&injection.patch).expect("a patch");
    json_patch::patch(&mut patched, &patch).expect("it applies");
    patched
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]
    #[test]
    fn the_sidecar_finds_what_the_agent_container_finds(env in vec(entry(), 0..10), sources in vec(source(), 0..3)) {
        // Names that the webhook sets on the agent container itself are denied there.
        let env: Vec<Value> = env.into_iter().filter(|entry| entry["name"] != contract::POD_NAME_VARIABLE).collect();
        let pod = json!({
            "metadata": { "labels": { "ado-agent.dev/inject": "true" } },
            "spec": { "containers": [{ "name": "agent", "env": env, "envFrom": sources }] },
        });
        let patched = patched(&pod);
        let agent = environment(&patched["spec"]["containers"][0]);
        let sidecar = environment(&patched["spec"]["initContainers"][0]);
        for name in sidecar.keys() {
            prop_assert!(contract::is_sidecar_variable(name), "{name}");
        }
        let candidates = |explicit: &str, from: &str, default: &str| {
            let numbered = (0..contract::ENV_FROM_SOURCES_MAX).rev().map(|n| format!("{from}_{n}"));
            let mut names = std::iter::once(explicit.to_owned()).chain(numbered).chain([default.to_owned()]);
            names.find_map(|name| sidecar.get(&name).filter(|value| !value.is_empty())).cloned()
        };
        let agents = |name: &str| agent.get(name).filter(|value| !value.is_empty()).cloned();
        let brought = |name: &str| {
            let numbered = |n| sidecar.get(&format!("{}{n}_{name}", contract::ENV_FROM_VARIABLE_PREFIX));
            (0..contract::ENV_FROM_SOURCES_MAX).rev().find_map(numbered).cloned()
        };
        let or_default = |pool: Option<String>| pool.unwrap_or_else(|| contract::DEFAULT_POOL.to_owned());
        prop_assert_eq!(
            or_default(
                candidates(contract::POOL_VARIABLE, contract::POOL_FROM_VARIABLE, "")
                    .or_else(|| brought("VSTS_POOL"))
                    .or_else(|| brought("AZDO_POOL"))
                    .or_else(|| sidecar.get(contract::POOL_DEFAULT_VARIABLE).cloned())
            ),
            or_default(agents("AZP_POOL").or_else(|| agents("VSTS_POOL")).or_else(|| agents("AZDO_POOL")))
        );
        prop_assert_eq!(
            candidates(contract::AGENT_NAME_VARIABLE, contract::AGENT_NAME_FROM_VARIABLE, contract::POD_NAME_VARIABLE),
            agents("AZP_AGENT_NAME").or_else(|| Some("the-pod".to_owned()))
        );
        for name in contract::PROXY_VARIABLES {
            let found = sidecar.get(*name).cloned().or_else(|| brought(name));
            prop_assert_eq!(found.as_ref(), agent.get(*name), "{}", name);
        }
    }

    #[test]
    fn the_way_to_the_gateway_leads_around_proxies(env in vec(entry(), 0..10), sources in vec(source(), 0..3)) {
        // What a container refers to is replaced where it is the organization's, and its name is denied where it is ours.
        let env: Vec<Value> = env.into_iter().filter(|entry| entry["name"] != contract::POD_NAME_VARIABLE).collect();
        let pod = json!({
            "metadata": {
                "labels": { "ado-agent.dev/inject": "true" },
                "annotations": { "ado-agent.dev/handoff": "gateway" },
            },
            "spec": { "containers": [{ "name": "agent", "env": env, "envFrom": sources }] },
        });
        let patched = patched(&pod);
        let before = environment(&pod["spec"]["containers"][0]);
        let after = environment(&patched["spec"]["containers"][0]);
        prop_assert_eq!(&after["AZP_URL"], "http://127.0.0.1:7649/organization");
        prop_assert_eq!(&after["AZP_TOKEN"], contract::TICKET);
        let has_proxy = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
            .iter()
            .any(|name| before.get(*name).is_some_and(|proxy| !proxy.is_empty()));
        for name in ["no_proxy", "NO_PROXY"] {
            let items = |variables: &Variables| -> Vec<String> {
                let list = variables.get(name).map(String::as_str).unwrap_or_default();
                list.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
            };
            let (before, after) = (items(&before), items(&after));
            prop_assert!(before.iter().all(|item| after.contains(item)), "{}: {:?} of {:?}", name, after, before);
            prop_assert!(!has_proxy || after.iter().any(|item| item == "127.0.0.1"), "{}: {:?}", name, after);
        }
    }
}

//! Who may reach the webhook, and what agents may reach.

use std::net::IpAddr;

use contract::SYSTEM_NAMESPACE;
use serde_json::{Value, json};
use tests::kustomize::{documents, find};

use super::{selector, variant};

const COMPONENT: &str = "manifests/components/api-server-only";

fn webhook_policy(objects: &[Value]) -> &Value {
    &find(objects, "NetworkPolicy", "ado-agent-webhook").expect("the base has one")["spec"]
}

/// The component's peers are pods, so that it fits clusters whose API server comes through an agent of its own.
#[test]
fn the_component_leaves_the_webhooks_port_to_the_api_server() {
    let open = variant(&["manifests/base"], &[], "");
    assert!(webhook_policy(&open)["ingress"][0]["from"].is_null(), "open as shipped");

    let closed = variant(&["manifests/base"], &[COMPONENT], "");
    let policy = webhook_policy(&closed);
    let peers = policy["ingress"][0]["from"].as_array().expect("a list of peers");
    let admits = |namespace: &str, labels: &Value| {
        peers.iter().any(|peer| {
            selector::selects(
                &peer["namespaceSelector"],
                &json!({"kubernetes.io/metadata.name": namespace}),
            ) && selector::selects(&peer["podSelector"], labels)
        })
    };
    assert!(admits("kube-system", &json!({"app": "konnectivity-agent"})), "AKS");
    assert!(admits("kube-system", &json!({"k8s-app": "konnectivity-agent"})), "GKE");
    assert!(
        !admits("agents", &json!({"app": "konnectivity-agent"})),
        "a job that names its pod so"
    );
    assert!(!admits("kube-system", &json!({"app": "other"})));
    let open = webhook_policy(&open);
    assert_eq!(policy["ingress"][1], open["ingress"][1], "probes and metrics stay");
    assert_eq!(policy["egress"], open["egress"]);
}

/// `docs/install.md` shows this patch.
#[test]
fn addresses_of_the_api_server_take_the_place_of_the_components_peers() {
    let objects = variant(
        &["manifests/base"],
        &[COMPONENT],
        "patches:\n  - target: {kind: NetworkPolicy, name: ado-agent-webhook}\n    patch: |-\n      - op: replace\n        \
         path: /spec/ingress/0/from\n        value: [{ipBlock: {cidr: 10.0.0.4/32}}]\n",
    );
    assert_eq!(
        webhook_policy(&objects)["ingress"][0],
        json!({"ports": [{"port": "https", "protocol": "TCP"}], "from": [{"ipBlock": {"cidr": "10.0.0.4/32"}}]})
    );
}

#[test]
fn agents_reach_dns_and_https_but_neither_the_nodes_metadata_nor_the_webhook() {
    let objects = documents("manifests/examples/networkpolicy.yaml").expect("the example is YAML");
    let policy = &find(&objects, "NetworkPolicy", "azp-agent").expect("there is one")["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["ingress"], json!([]), "nothing may reach an agent");
    for (address, protocol, port, expected) in [
        ("13.107.42.20", "TCP", 443, true),
        ("2620:1ec:a92::100", "TCP", 443, true),
        ("10.0.0.10", "UDP", 53, true),
        ("169.254.20.10", "UDP", 53, true), // the DNS cache of a node
        ("169.254.169.254", "TCP", 443, false),
        ("169.254.169.254", "TCP", 80, false),
        ("168.63.129.16", "TCP", 443, false),
        ("168.63.129.16", "TCP", 80, false),
        ("168.63.129.16", "TCP", 32526, false),
        ("10.244.1.7", "TCP", 10250, false), // the webhook
        ("10.244.1.7", "TCP", 8080, false),  // its metrics
    ] {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(
            egress(policy, address, protocol, port),
            expected,
            "{address} {protocol} {port}"
        );
    }
}

#[test]
fn the_agents_policy_selects_every_pod_that_asks_for_the_sidecar() {
    let objects = documents("manifests/examples/networkpolicy.yaml").expect("the example is YAML");
    let policy = &find(&objects, "NetworkPolicy", "azp-agent").expect("there is one")["spec"];
    for (owner, template) in super::examples::templates() {
        let labels = &template["metadata"]["labels"];
        assert!(selector::selects(&policy["podSelector"], labels), "{owner}");
    }
    let webhook = variant(&["manifests/base"], &[], "");
    let labels = &super::deployment(&webhook)["spec"]["template"]["metadata"]["labels"];
    assert!(!selector::selects(&policy["podSelector"], labels), "{SYSTEM_NAMESPACE}");
}

/// Whether a policy's egress rules let a connection through (Kubernetes API, `NetworkPolicyEgressRule`: any rule whose ports
/// and peers both match; no peers match all).
fn egress(policy: &Value, address: IpAddr, protocol: &str, port: u64) -> bool {
    policy["egress"].as_array().expect("a list").iter().any(|rule| {
        let ports = rule["ports"].as_array().expect("rules name ports");
        let peers = rule["to"].as_array();
        ports
            .iter()
            .any(|entry| entry["port"] == port && entry["protocol"] == protocol)
            && peers.is_none_or(|peers| {
                peers.iter().any(|peer| {
                    let block = &peer["ipBlock"];
                    let excepted = block["except"].as_array().into_iter().flatten();
                    contains(&block["cidr"], address) && !excepted.into_iter().any(|except| contains(except, address))
                })
            })
    })
}

fn contains(cidr: &Value, address: IpAddr) -> bool {
    let (network, bits) = cidr
        .as_str()
        .and_then(|cidr| cidr.split_once('/'))
        .expect("ADDRESS/BITS");
    let bits: u32 = bits.parse().expect("a number of bits");
    match (network.parse().expect("an address"), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

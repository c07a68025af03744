//! The webhook over IPv6, on the bare node, whose API server calls the endpoints of a Service and not its address. Pods of this
//! node have IPv4 only, so its pods get a second address from outside, and the API server is told of nothing else.

use crate::case::Case;
use crate::webhook::{DEPLOYMENT, Webhook, injected, wait_until_injected};
use crate::workload::{pod, template};
use anyhow::{Context, Result, ensure};
use contract::SYSTEM_NAMESPACE;
use serde_json::{Value, json};
use tests::apiserver::review::SERVICE;

pub(crate) async fn the_bare_nodes_api_server_calls_over_ipv6(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    let service = format!("service/{SERVICE}");
    webhook.kubectl(&["patch", &service, "--patch={\"spec\":{\"selector\":null}}"])?;
    let endpoints = format!("endpoints/{SERVICE}");
    webhook.kubectl(&["delete", &endpoints, "--ignore-not-found"])?;
    let slices = format!("--selector=kubernetes.io/service-name={SERVICE}");
    webhook.kubectl(&["delete", "endpointslices", &slices])?;
    // Connections that are open would go on.
    webhook.kubectl(&["rollout", "restart", DEPLOYMENT])?;
    webhook.kubectl(&["rollout", "status", DEPLOYMENT, "--timeout=100s"])?;
    let pods = webhook.wait_until_ready().await?;
    let lonely = pod("lonely", &template("gen3"));
    let refused = injected(&case, &lonely)
        .await
        .err()
        .context("nobody is there to be called")?;
    ensure!(refused.to_string().contains("no endpoints available"), "{refused:#}");

    let addresses = pods
        .iter()
        .zip(1..)
        .map(|(pod, number)| give_address(&case, pod, number))
        .collect::<Result<Vec<_>>>()?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{SERVICE}-ipv6"),
            "namespace": SYSTEM_NAMESPACE,
            "labels": {"kubernetes.io/service-name": SERVICE},
        },
        "addressType": "IPv6",
        "ports": [{"name": "https", "port": 10250}],
        "endpoints": addresses.iter().map(|address| json!({"addresses": [address]})).collect::<Vec<_>>(),
    });
    case.blocking(|| {
        let arguments = ["apply", "--filename=-"];
        case.suite
            .node
            .kubectl_fed(&arguments, &slice.to_string(), crate::case::LIMIT)
    })?;
    wait_until_injected(&case).await?;
    crate::load::burst(&case, 20).await?;
    webhook.kubectl(&["delete", "endpointslices", &slices]).map(drop)
}

/// Gives a pod and the node's end of its link an address each. Answers the pod's.
fn give_address(case: &Case, pod: &Value, number: u32) -> Result<String> {
    let node = &case.suite.node;
    let process = crate::webhook::process(case, pod)?;
    let old = pod["status"]["podIP"].as_str().context("the pod has an address")?;
    let (node_end, pod_end) = (format!("fd77:{number}::1/64"), format!("fd77:{number}::2/64"));
    case.blocking(|| {
        let route = node.run(&["ip", "route", "get", old])?;
        let mut words = route.split_whitespace().skip_while(|word| *word != "dev");
        let link = words.nth(1).with_context(|| format!("no link in {route}"))?;
        // Without asking whether somebody else has it, which takes a second.
        node.run(&["ip", "address", "add", &node_end, "dev", link, "nodad"])?;
        let inside = ["nsenter", "--net", "--target", &process, "--"];
        node.run(&[&inside[..], &["ip", "address", "add", &pod_end, "dev", "eth0", "nodad"]].concat())
    })?;
    Ok(pod_end.trim_end_matches("/64").to_owned())
}

//! What kind's cluster is called and calls others: the administrator's credentials, and the host names that CoreDNS answers for.

use crate::layout::{Layout, text};
use crate::node::Node;
use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::time::Duration;

/// Has CoreDNS answer for the hosts that the suite names ([`Node::set_hosts`]).
pub(super) fn teach(node: &Node, layout: &Layout) -> Result<()> {
    node.set_hosts(std::iter::empty())?;
    let system = "--namespace=kube-system";
    let text_of = node.kubectl_output(&[system, "get", "configmap", "coredns", "--output=json"])?;
    let mut configuration: Value = serde_json::from_str(&text_of)?;
    let corefile = configuration["data"]["Corefile"]
        .as_str()
        .context("CoreDNS has a Corefile")?;
    configuration["data"]["Corefile"] = json!(with_hosts(corefile)?);
    let limit = Duration::from_secs(30);
    node.kubectl_fed(&["replace", "--filename=-"], &configuration.to_string(), limit)?;
    // One of two: it asks for 0.1 of a processor.
    let patch = json!({"spec": {"replicas": 1, "template": {"spec": {
        "containers": [{
            "name": "coredns",
            "resources": {"requests": {"cpu": "10m"}},
            "volumeMounts": [{"name": "hosts", "mountPath": "/hosts", "readOnly": true}],
        }],
        // The folder, since the file is replaced.
        "volumes": [{"name": "hosts", "hostPath": {"path": text(&layout.node())}}],
    }}}});
    let patch = format!("--patch={patch}");
    node.kubectl_output(&[system, "patch", "deployment", "coredns", &patch])?;
    let status = [system, "rollout", "status", "deployment/coredns", "--timeout=110s"];
    node.kubectl_within(&status, Duration::from_secs(120)).map(drop)
}

/// The Corefile with the hosts before everything that asks others.
fn with_hosts(corefile: &str) -> Result<String> {
    const HOSTS: &str = "    hosts /hosts/hosts {\n        ttl 5\n        reload 1s\n        fallthrough\n    }\n";
    let (begin, rest) = corefile
        .split_once("\n    ready\n")
        .with_context(|| format!("kubeadm's Corefile has a line `ready`, and this one has not: {corefile}"))?;
    Ok(format!("{begin}\n    ready\n{HOSTS}{rest}"))
}

/// The authority, the administrator's certificate and its key, all PEM, of a kubeconfig that kind has written.
pub(super) fn credentials(kubeconfig: &str) -> Result<[String; 3]> {
    let config: Value = serde_saphyr::from_str(kubeconfig).context("the kubeconfig is no YAML")?;
    let decoded = |path: &str| -> Result<String> {
        let text = config.pointer(path).and_then(Value::as_str);
        let bytes = BASE64_STANDARD.decode(text.with_context(|| format!("the kubeconfig has no {path}"))?)?;
        Ok(String::from_utf8(bytes)?)
    };
    Ok([
        decoded("/clusters/0/cluster/certificate-authority-data")?,
        decoded("/users/0/user/client-certificate-data")?,
        decoded("/users/0/user/client-key-data")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::{BASE64_STANDARD, Engine, credentials, with_hosts};

    #[test]
    fn credentials_are_those_of_the_kubeconfig_that_kind_writes() {
        let [authority, certificate, key] = ["CA", "certificate", "key"].map(|text| BASE64_STANDARD.encode(text));
        let config = format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n  name: kind-a\n\
             users:\n- name: kind-a\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
        );
        assert_eq!(credentials(&config).unwrap(), ["CA", "certificate", "key"]);
        let error = credentials("{}").unwrap_err().to_string();
        assert!(error.contains("certificate-authority-data"), "{error}");
    }

    #[test]
    fn hosts_come_before_what_asks_others() {
        let corefile =
            ".:53 {\n    errors\n    ready\n    kubernetes cluster.local {\n    }\n    forward . /etc/resolv.conf\n}\n";
        let with = with_hosts(corefile).unwrap();
        let place = |word: &str| with.find(word).unwrap();
        assert!(
            place("ready") < place("hosts /hosts/hosts") && place("hosts ") < place("forward"),
            "{with}"
        );
        assert!(with_hosts(".:53 {\n}\n").is_err());
    }
}

//! Names: kube-proxy makes Services reachable, CoreDNS answers for them and for hosts outside that are imitated inside.

use crate::layout::text;
use crate::namespace::NODE_ADDRESS;
use crate::pki::Pki;
use crate::runtime::{PODS, write};
use crate::service::Program;
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use std::path::Path;

/// Domain of the cluster.
pub(crate) const DOMAIN: &str = "cluster.local";
/// Address of the DNS Service (`tests/cluster/manifests/coredns.yaml`).
pub(crate) const ADDRESS: &str = "10.96.0.10";
/// File with names of hosts, in the node's folder.
const HOSTS: &str = "hosts";
/// Service, endpoint and rights of CoreDNS.
pub(crate) const MANIFEST: &str = include_str!("../manifests/coredns.yaml");

/// Writes the names of hosts outside that are imitated inside. CoreDNS looks every second.
pub(crate) fn set_hosts<'h>(node: &Path, hosts: impl Iterator<Item = (Ipv4Addr, &'h str)>) -> Result<()> {
    let lines: String = hosts.map(|(address, host)| format!("{address} {host}\n")).collect();
    let (file, new) = (node.join(HOSTS), node.join("hosts.new"));
    write(&new, &lines)?;
    std::fs::rename(&new, &file).with_context(|| format!("cannot replace {}", file.display()))
}

/// kube-proxy.
pub(crate) fn proxy(programs: &Path, pki: &Pki) -> Program {
    Program {
        name: "kube-proxy".to_owned(),
        program: programs.join("kube-proxy"),
        arguments: vec![
            format!("--kubeconfig={}", pki.kubeconfig("proxy")),
            "--proxy-mode=nftables".to_owned(),
            format!("--cluster-cidr={PODS}"),
            "--hostname-override=node0".to_owned(),
            // Limits of the connection table are the machine's: left alone.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-tcp-timeout-established=0s".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
            "--metrics-bind-address=127.0.0.1:10249".to_owned(),
            "--healthz-bind-address=127.0.0.1:10256".to_owned(),
        ],
        environment: vec![(
            "PATH".to_owned(),
            format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()),
        )],
    }
}

/// Writes CoreDNS's configuration. It runs beside the kubelet, not in a pod: no pod could start before it otherwise.
pub(crate) fn coredns(program: &Path, node: &Path, pki: &Pki) -> Result<Program> {
    let hosts = node.join(HOSTS);
    write(&hosts, "")?;
    let file = node.join("Corefile");
    // A zone of every other name, with nothing in it: such names do not exist, and the question is not asked again.
    let nothing = node.join("nothing.zone");
    write(
        &nothing,
        ". 60 IN SOA nothing.invalid. nobody.invalid. 1 60 60 60 60\n. 60 IN NS nothing.invalid.\n",
    )?;
    let (kubeconfig, hosts, nothing) = (pki.kubeconfig("coredns"), text(&hosts), text(&nothing));
    write(
        &file,
        &format!(
            r#"{DOMAIN}:53 in-addr.arpa:53 {{
    bind {NODE_ADDRESS}
    errors
    ready 127.0.0.1:8181
    kubernetes {{
        kubeconfig "{kubeconfig}"
        ttl 5
    }}
}}
.:53 {{
    bind {NODE_ADDRESS}
    errors
    hosts "{hosts}" {{
        ttl 5
        reload 1s
        fallthrough
    }}
    file "{nothing}" .
}}
"#
        ),
    )?;
    Ok(Program {
        name: "coredns".to_owned(),
        program: program.to_owned(),
        arguments: vec![format!("-conf={}", text(&file))],
        environment: Vec::new(),
    })
}

//! Flags of etcd, API server, controller-manager and scheduler.

use crate::layout::text;
use crate::namespace::NODE_ADDRESS;
use crate::pki::{API_PORT, FRONT_PROXY, Pki};
use crate::service::Program;
use std::path::Path;

/// Addresses of Services.
const SERVICES: &str = "10.96.0.0/16";
/// The first of them is the Service `kubernetes`.
pub(crate) const FIRST_SERVICE_ADDRESS: &str = "10.96.0.1";

/// The issuer of service-account tokens. Anyone in the node's network can fetch its discovery document from there.
pub fn issuer() -> String {
    format!("https://{NODE_ADDRESS}:{API_PORT}")
}

/// etcd, on the node's loopback and without TLS: nobody else is in this network.
pub(crate) fn etcd(program: &Path, node: &Path) -> Program {
    let (client, peer) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    Program {
        name: "etcd".to_owned(),
        program: program.to_owned(),
        arguments: vec![
            format!("--data-dir={}", text(&node.join("etcd"))),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // The data lives as long as the node; waiting for the disk is half of the start.
            "--unsafe-no-fsync".to_owned(),
        ],
        environment: Vec::new(),
    }
}

/// The API server.
pub(crate) fn api_server(programs: &Path, node: &Path, pki: &Pki) -> Program {
    Program {
        name: "kube-apiserver".to_owned(),
        program: programs.join("kube-apiserver"),
        arguments: vec![
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            format!("--advertise-address={NODE_ADDRESS}"),
            format!("--bind-address={NODE_ADDRESS}"),
            format!("--secure-port={API_PORT}"),
            format!("--tls-cert-file={}", pki.certificate("apiserver")),
            format!("--tls-private-key-file={}", pki.key("apiserver")),
            format!("--client-ca-file={}", pki.certificate("ca")),
            format!("--cert-dir={}", text(&node.join("apiserver"))),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--service-cluster-ip-range={SERVICES}"),
            format!("--service-account-issuer={}", issuer()),
            // A private key holds its public one.
            format!("--service-account-key-file={}", pki.key("service-accounts")),
            format!("--service-account-signing-key-file={}", pki.key("service-accounts")),
            format!("--kubelet-certificate-authority={}", pki.certificate("ca")),
            format!("--kubelet-client-certificate={}", pki.certificate("apiserver-kubelet")),
            format!("--kubelet-client-key={}", pki.key("apiserver-kubelet")),
            // Nobody resolves the node's name.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            // How other API servers, such as KEDA's metrics adapter, learn who asks.
            format!("--requestheader-client-ca-file={}", pki.certificate("front-proxy-ca")),
            format!("--requestheader-allowed-names={FRONT_PROXY}"),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            format!("--proxy-client-cert-file={}", pki.certificate(FRONT_PROXY)),
            format!("--proxy-client-key-file={}", pki.key(FRONT_PROXY)),
            // Webhooks are called at their endpoints, as managed control planes without a route to Services do.
            "--enable-aggregator-routing=true".to_owned(),
        ],
        environment: Vec::new(),
    }
}

/// The controllers.
pub(crate) fn controller_manager(programs: &Path, pki: &Pki) -> Program {
    Program {
        name: "kube-controller-manager".to_owned(),
        program: programs.join("kube-controller-manager"),
        arguments: vec![
            format!("--kubeconfig={}", pki.kubeconfig("controller-manager")),
            format!("--service-account-private-key-file={}", pki.key("service-accounts")),
            format!("--root-ca-file={}", pki.certificate("ca")),
            format!("--cluster-signing-cert-file={}", pki.certificate("ca")),
            format!("--cluster-signing-key-file={}", pki.key("ca")),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
        ],
        environment: Vec::new(),
    }
}

/// The scheduler.
pub(crate) fn scheduler(programs: &Path, pki: &Pki) -> Program {
    Program {
        name: "kube-scheduler".to_owned(),
        program: programs.join("kube-scheduler"),
        arguments: vec![
            format!("--kubeconfig={}", pki.kubeconfig("scheduler")),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
        ],
        environment: Vec::new(),
    }
}

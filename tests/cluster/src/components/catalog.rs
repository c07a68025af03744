//! Which components there are, and the versions of them that people choose between.

use super::Component;

/// API server, controller-manager, scheduler, kubelet, kube-proxy, kubectl, and kubeadm for kind: the newest that this repository knows.
pub const KUBERNETES: Component = Component {
    name: "kubernetes-1.37",
    module: "k8s.io/kubernetes",
    package: "tool",
    tags: "",
    share: None,
};

/// The same programs of the oldest version that is tested.
pub const KUBERNETES_OLD: Component = Component {
    name: "kubernetes-1.34",
    ..KUBERNETES
};

/// A version of Kubernetes, as people choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kubernetes {
    /// [`KUBERNETES`].
    #[value(name = "1.37")]
    Newest,
    /// [`KUBERNETES_OLD`].
    #[value(name = "1.34")]
    Oldest,
}

impl Kubernetes {
    /// What has to be built.
    pub fn component(self) -> Component {
        match self {
            Self::Newest => KUBERNETES,
            Self::Oldest => KUBERNETES_OLD,
        }
    }
}

/// containerd, its shim and ctr. Debian's is too old for today's kubelets.
pub const CONTAINERD: Component = Component {
    name: "containerd",
    module: "github.com/containerd/containerd/v2",
    package: "tool",
    tags: "no_btrfs no_zfs no_devmapper no_aufs",
    share: None,
};

/// Cluster DNS.
pub const COREDNS: Component = Component {
    name: "coredns",
    module: "github.com/coredns/coredns",
    package: "tool",
    tags: "",
    share: None,
};

/// cert-manager's controllers and CA injector in one program of ours, with its resource definitions.
pub const CERT_MANAGER: Component = Component {
    name: "certmanager",
    module: "github.com/cert-manager/cert-manager",
    package: ".",
    tags: "",
    share: Some("deploy/crds"),
};

/// The Azure Workload Identity webhook, with its manifests.
pub const AZWI: Component = Component {
    name: "azwi",
    module: "github.com/Azure/azure-workload-identity",
    package: "tool",
    tags: "",
    share: Some("deploy"),
};

/// KEDA's operator and metrics adapter, with their manifests.
pub const KEDA: Component = Component {
    name: "keda",
    module: "github.com/kedacore/keda/v2",
    package: "tool",
    tags: "",
    share: Some("config"),
};

/// The same programs of the version that counts other jobs: `manifests/examples/keda-scaledjob.yaml`.
pub const KEDA_OLD: Component = Component {
    name: "keda-2.20",
    ..KEDA
};

/// kind, with the files that its node images are made of.
pub const KIND: Component = Component {
    name: "kind",
    module: "sigs.k8s.io/kind",
    package: "tool",
    tags: "",
    share: Some("images/base/files"),
};

/// etcd for a node image of kind: kubeadm asks for what Debian's is too old for.
pub const ETCD: Component = Component {
    name: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    package: "tool",
    tags: "",
    share: None,
};

/// Helm, which installs the chart.
pub const HELM: Component = Component {
    name: "helm",
    module: "helm.sh/helm/v4",
    package: "tool",
    tags: "",
    share: None,
};

/// promtool, with which alerts and the dashboard's queries are tested.
pub const PROMTOOL: Component = Component {
    name: "promtool",
    module: "github.com/prometheus/prometheus",
    package: "tool",
    // Without the service discoveries of clouds, which a check of rules does not need.
    tags: "remove_all_sd",
    share: None,
};

/// A version of KEDA, as people choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Keda {
    /// [`KEDA`].
    #[value(name = "2.21")]
    Newest,
    /// [`KEDA_OLD`].
    #[value(name = "2.20")]
    Old,
}

impl Keda {
    /// What has to be built.
    pub fn component(self) -> Component {
        match self {
            Self::Newest => KEDA,
            Self::Old => KEDA_OLD,
        }
    }
}

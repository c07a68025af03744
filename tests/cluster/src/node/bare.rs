//! The bare node: Kubernetes as plain processes in namespaces of their own, brought up step by step.

use super::Node;
use crate::command::Interrupt;
use crate::components::{self, Built, Kubernetes};
use crate::layout::{Layout, text};
use crate::namespace::{self, Namespaces, PRIVATE_FOLDERS};
use crate::packages::{MissingPackages, Purpose};
use crate::state::State;
use crate::{cert_manager, cgroup, control_plane, dns, kernel, packages, product, runtime, teardown};
use anyhow::{Context, Result, bail};
use oci_image::archive;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a caller can choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Version of Kubernetes.
    pub kubernetes: Kubernetes,
    /// What to do about missing packages.
    pub missing_packages: MissingPackages,
}

/// Everything from nothing: packages, components, images, node, cert-manager. Refuses if a node is up; what a crash has
/// left is taken down first. If it fails or is interrupted, nothing is left but the logs.
pub fn up(layout: &Layout, options: Options, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<Node> {
    packages::require(
        &[Purpose::Suite, Purpose::BareNode],
        options.missing_packages,
        interrupt,
        report,
    )?;
    let lock = begin(layout, report)?;
    let [kubernetes, containerd, coredns, cert_manager] = components::build(
        [
            options.kubernetes.component(),
            components::CONTAINERD,
            components::COREDNS,
            components::CERT_MANAGER,
        ],
        layout,
        interrupt,
        report,
    )?;
    let archive = product::archive(layout, &kubernetes.program("kubectl"), interrupt, report)?;
    let parts = Parts {
        kubernetes,
        containerd,
        coredns,
        cert_manager,
        archive,
    };
    boot(layout, &parts, interrupt, report, lock).inspect_err(|_| {
        if let Err(error) = teardown::down_locked(layout) {
            report(&format!("and it could not be taken down: {error:#}"));
        }
    })
}

/// What a node is made from.
struct Parts {
    kubernetes: Built,
    containerd: Built,
    coredns: Built,
    cert_manager: Built,
    archive: PathBuf,
}

/// The lock, and nothing left of an earlier start. Refuses if a node is up.
pub(crate) fn begin(layout: &Layout, report: &dyn Fn(&str)) -> Result<File> {
    let lock = layout.lock("node")?;
    let Some(state) = State::read(layout)? else {
        return Ok(lock);
    };
    let runs = state.node().is_some_and(|namespaces| namespaces.exist());
    if runs && state.ready {
        bail!(
            "a node with Kubernetes {} is up already: use it, or take it down first",
            state.kubernetes
        );
    }
    report("taking down what an earlier start has left");
    teardown::down_locked(layout)?;
    Ok(lock)
}

/// A folder for logs, without those of the last node.
pub(crate) fn empty_logs(layout: &Layout) -> Result<()> {
    if layout.logs().exists() {
        fs::remove_dir_all(layout.logs()).context("cannot remove the last node's logs")?;
    }
    fs::create_dir_all(layout.logs()).context("cannot make the folder for logs")
}

fn boot(layout: &Layout, parts: &Parts, interrupt: &Interrupt, report: &dyn Fn(&str), lock: File) -> Result<Node> {
    let begin = Instant::now();
    let step = |what: &str| report(&format!("{:5.1} s  {what}", begin.elapsed().as_secs_f32()));
    let node = Node::create(layout, parts, interrupt, lock)?;
    node.start_control_plane(parts)?;
    step("API server is ready");
    node.start_runtime(parts)?;
    step("containerd is ready, images are loaded");
    node.start_kubelet(parts)?;
    step("node is Ready");
    node.wait_for_names()?;
    step("Services and names work");
    cert_manager::install(&node, &parts.cert_manager)?;
    step(&format!("cert-manager {} is installed", parts.cert_manager.version));
    node.check()?;
    node.change(|state| state.ready = true)?;
    Ok(node)
}

impl Node {
    fn create(layout: &Layout, parts: &Parts, interrupt: &Interrupt, lock: File) -> Result<Self> {
        empty_logs(layout)?;
        let mut state = State {
            namespaces: None,
            kind: None,
            cgroup: layout.cgroup(),
            kernel: kernel::read()?,
            folders: namespace::missing(PRIVATE_FOLDERS),
            kubernetes: parts.kubernetes.version.clone(),
            programs: parts.kubernetes.programs(),
            runtime: parts.containerd.programs(),
            services: std::collections::BTreeMap::new(),
            ready: false,
        };
        state.write(layout)?;
        cgroup::make(&state.cgroup)?;
        namespace::make(PRIVATE_FOLDERS)?;
        let unkept = Namespaces::create(interrupt)?;
        state.namespaces = Some(unkept.namespaces());
        state.write(layout)?;
        let namespaces = unkept.keep()?;
        namespaces.furnish(interrupt)?;
        let node = Self::with(layout, interrupt, namespaces, state, Some(lock));
        node.pki.make()?;
        Ok(node)
    }

    fn start_control_plane(&self, parts: &Parts) -> Result<()> {
        let programs = parts.kubernetes.programs();
        let folder = self.layout.node();
        let etcd = packages::find("etcd").context("etcd is gone")?;
        self.start(&control_plane::etcd(&etcd, &folder))?;
        self.start(&control_plane::api_server(&programs, &folder, &self.pki))?;
        self.start(&control_plane::controller_manager(&programs, &self.pki))?;
        self.start(&control_plane::scheduler(&programs, &self.pki))?;
        let plugins = packages::plugin_folder()?;
        self.start(&runtime::containerd(&parts.containerd.programs(), &plugins, &folder)?)?;
        self.wait_for_first_answer()
    }

    fn start_runtime(&self, parts: &Parts) -> Result<()> {
        let pause = self.layout.node().join("pause.tar");
        archive::write(&pause, &[runtime::pause(runtime::PAUSE_IMAGE)?])?;
        let limit = Duration::from_secs(60);
        self.until("containerd", limit, |node| node.ctr(&["version"]).map(Some))?;
        self.load(&pause)?;
        self.load(&parts.archive)
    }

    fn start_kubelet(&self, parts: &Parts) -> Result<()> {
        let minor = components::minor(&parts.kubernetes.version)?;
        let programs = parts.kubernetes.programs();
        let cgroup = self.state().cgroup.clone();
        let kubelet = runtime::kubelet(&programs, &self.layout.node(), &cgroup, &self.pki, minor)?;
        self.start(&kubelet)?;
        self.start(&dns::proxy(&programs, &self.pki))?;
        let coredns = dns::coredns(&parts.coredns.program("coredns"), &self.layout.node(), &self.pki)?;
        let manifest = self.layout.node().join("coredns.yaml");
        runtime::write(&manifest, dns::MANIFEST)?;
        self.kubectl_output(&["apply", "-f", text(&manifest)])?;
        self.start(&coredns)?;
        let ready = ["wait", "--for=condition=Ready", "node/node0", "--timeout=5s"];
        self.wait_for("the node to be Ready", Duration::from_secs(120), &ready)
    }

    /// A name that only works when the controllers, kube-proxy and CoreDNS do, and the account that every pod needs.
    fn wait_for_names(&self) -> Result<()> {
        let limit = Duration::from_secs(60);
        self.wait_for("service accounts", limit, &["get", "serviceaccount", "default"])?;
        self.until("names of Services", limit, |node| {
            let name = format!("kubernetes.default.svc.{}", dns::DOMAIN);
            node.run(&["busybox", "nslookup", "-type=a", &name, dns::ADDRESS])
                .map(Some)
        })
        .map(drop)
    }
}

//! A node that [kind](https://kind.sigs.k8s.io) makes in a container, with the image that kind's project publishes where Docker
//! Engine can pull it, else with one of our own (`kind/node_image.rs`), in an engine of our own where the machine has none
//! (`kind/engine.rs`). It becomes the node that is up, so that everything else works on it as on a bare one.

mod configuration;
mod control_plane_images;
mod docker;
mod engine;
mod names;
mod node_image;
mod published;

pub(crate) use docker::Docker;

use crate::cert_manager;
use crate::command::{Interrupt, output};
use crate::components::{self, Built, Kubernetes};
use crate::layout::{Layout, text};
use crate::namespace::{self, NODE_ADDRESS, Namespaces};
use crate::node::{self, Node};
use crate::packages::{self, MissingPackages, Purpose};
use crate::pki::Pki;
use crate::process::Process;
use crate::state::{Kind, State};
use crate::{cgroup, kernel, product, runtime, teardown};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{Duration, Instant};

/// Name of the cluster in `cluster.yaml`, and of the Docker network.
const CLUSTER: &str = "ado-agent-injector";
/// As kind calls the container: the cluster, and what the node does in it.
const CONTAINER: &str = "ado-agent-injector-control-plane";
/// Image of our own.
const IMAGE: &str = "ado-agent-injector/node";
/// Where ctr is in node images.
const RUNTIME: &str = "/usr/local/bin";

/// What a caller can choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Version of Kubernetes without the last number, such as `1.36`.
    pub kubernetes: String,
    /// What to do about missing packages.
    pub missing_packages: MissingPackages,
}

/// What the node is made from.
enum Image {
    /// kind's, by its digest.
    Published(String),
    /// Ours.
    Made(Box<node_image::Parts>),
}

/// Everything from nothing, as [`crate::up`] does it for a bare node.
pub fn up(layout: &Layout, options: &Options, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<Node> {
    let docker = Docker::of_machine(interrupt);
    let published = published::find(docker.as_ref(), &options.kubernetes, interrupt, report)?;
    let mut purposes = vec![Purpose::Suite];
    purposes.extend(published.is_none().then_some(Purpose::NodeImage));
    purposes.extend(docker.is_none().then_some(Purpose::Engine));
    packages::require(&purposes, options.missing_packages, interrupt, report)?;
    let lock = node::begin(layout, report)?;
    let [kind, cert_manager] =
        components::build([components::KIND, components::CERT_MANAGER], layout, interrupt, report)?;
    let image = match published {
        Some(image) => Image::Published(image),
        None => {
            let kubernetes = <Kubernetes as clap::ValueEnum>::from_str(&options.kubernetes, false);
            let kubernetes = kubernetes.map_err(|_| versions(&options.kubernetes))?.component();
            let parts = [
                kubernetes,
                components::CONTAINERD,
                components::COREDNS,
                components::ETCD,
            ];
            let [kubernetes, containerd, coredns, etcd] = components::build(parts, layout, interrupt, report)?;
            let kind = kind.clone();
            Image::Made(Box::new(node_image::Parts {
                kubernetes,
                containerd,
                coredns,
                etcd,
                kind,
            }))
        }
    };
    if docker.is_none() {
        engine::unpack(layout, interrupt, report)?;
    }
    let making = Making {
        layout,
        interrupt,
        report,
        begin: Instant::now(),
    };
    making
        .boot(docker, &kind, &image, &cert_manager, lock)
        .inspect_err(|_| {
            if let Err(error) = teardown::down_locked(layout) {
                report(&format!("and it could not be taken down: {error:#}"));
            }
        })
}

fn versions(wanted: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "without an image from kind's project there is no node with Kubernetes {wanted}: images are made for 1.37 and 1.34 here"
    )
}

/// A node on its way.
struct Making<'m> {
    layout: &'m Layout,
    interrupt: &'m Interrupt,
    report: &'m dyn Fn(&str),
    begin: Instant,
}

impl Making<'_> {
    fn step(&self, what: &str) {
        (self.report)(&format!("{:5.1} s  {what}", self.begin.elapsed().as_secs_f32()));
    }

    fn boot(
        &self,
        docker: Option<Docker>,
        kind: &Built,
        image: &Image,
        cert_manager: &Built,
        lock: File,
    ) -> Result<Node> {
        let Self { layout, interrupt, .. } = *self;
        node::empty_logs(layout)?;
        let (mut state, docker) = self.engine(docker, kind)?;
        let image = match image {
            Image::Published(image) => image.clone(),
            Image::Made(parts) => self.make_image(&docker, parts)?,
        };
        let container = self.create(&docker, kind, &image)?;
        state.kind = Some(Kind {
            docker: docker.clone(),
            program: kind.program("kind"),
            container: Some(container),
        });
        let version = container.root().join("kind/version");
        state.kubernetes = fs::read_to_string(&version).context("the node's image does not tell its version")?;
        self.step(&format!("the node with Kubernetes {} is Ready", state.kubernetes));
        let node = Node::with(layout, interrupt, container, state, Some(lock));
        node.change(|_| ())?;
        self.furnish(&node)?;
        names::teach(&node, layout)?;
        self.step("Services and names work");
        cert_manager::install(&node, cert_manager)?;
        self.step(&format!("cert-manager {} is installed", cert_manager.version));
        let archive = product::archive(layout, &node.kubectl_program(), interrupt, self.report)?;
        node.load(&archive)?;
        self.step("this project's images are loaded");
        node.check()?;
        node.change(|state| state.ready = true)?;
        Ok(node)
    }

    /// The state, and the engine, which is started if it is ours.
    fn engine(&self, of_machine: Option<Docker>, kind: &Built) -> Result<(State, Docker)> {
        let Self { layout, interrupt, .. } = *self;
        let is_ours = of_machine.is_none();
        let docker = of_machine.unwrap_or_else(|| engine::of(layout));
        let folders = if is_ours { engine::FOLDERS } else { &[] };
        let mut state = State {
            namespaces: None,
            kind: Some(Kind {
                docker: docker.clone(),
                program: kind.program("kind"),
                container: None,
            }),
            cgroup: layout.cgroup(),
            // A kubelet in a privileged container changes them, too.
            kernel: kernel::read()?,
            folders: namespace::missing(folders),
            kubernetes: String::new(),
            programs: layout.node().join("bin"),
            runtime: RUNTIME.into(),
            services: BTreeMap::new(),
            ready: false,
        };
        state.write(layout)?;
        if is_ours {
            cgroup::make(&state.cgroup)?;
            namespace::make(folders)?;
            let unkept = Namespaces::create(interrupt)?;
            state.namespaces = Some(unkept.namespaces());
            state.write(layout)?;
            engine::start(&docker, &unkept.keep()?, layout, &state.cgroup, interrupt)?;
        }
        let version = docker.version(interrupt)?;
        self.step(&format!("Docker Engine {version} answers"));
        Ok((state, docker))
    }

    fn make_image(&self, docker: &Docker, parts: &node_image::Parts) -> Result<String> {
        let name = format!("{IMAGE}:{}", parts.kubernetes.version);
        let archive = node_image::archive(&name, parts, self.layout, self.interrupt, &|what| self.step(what))?;
        let load = ["load", "--quiet", "--input", text(&archive)];
        docker.within(&load, Duration::from_mins(5), self.interrupt)?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
        self.step(&format!("image {name}"));
        Ok(name)
    }

    /// Has kind make the cluster, and answers the world of its node.
    fn create(&self, docker: &Docker, kind: &Built, image: &str) -> Result<Namespaces> {
        let Self { layout, interrupt, .. } = *self;
        configuration::prepare(layout)?;
        // The suite knows the node's address and puts more beside it, which Docker must not give away.
        let range = format!("--ip-range={NODE_ADDRESS}/32");
        let network = [
            "network",
            "create",
            "--driver=bridge",
            "--subnet=10.77.0.0/24",
            &range,
            "--gateway=10.77.0.1",
        ];
        docker.output(&[&network[..], &[CLUSTER]].concat(), interrupt)?;
        let file = layout.node().join("cluster.yaml");
        // The published images have programs for both, and versions from before nftables was ready.
        let proxy = if image.starts_with(IMAGE) {
            "nftables"
        } else {
            "iptables"
        };
        runtime::write(&file, &configuration::of_cluster(layout, proxy))?;
        let mut create = docker.command(&kind.program("kind"));
        create
            .args(["create", "cluster", "--wait=180s", "--image", image])
            .args([
                "--config",
                text(&file),
                "--kubeconfig",
                text(&layout.node().join("kind.kubeconfig")),
            ])
            .env("KIND_EXPERIMENTAL_DOCKER_NETWORK", CLUSTER);
        output(&mut create, Duration::from_mins(10), interrupt)?;
        let inspect = ["inspect", "--format={{.Id}} {{.State.Pid}}", CONTAINER];
        let said = docker.output(&inspect, interrupt)?;
        let (id, number) = said
            .trim()
            .split_once(' ')
            .context("docker inspect answers two words")?;
        let first = Process::first_of_container(id, number.parse()?)
            .context("the suite enters the node's network, so its Docker Engine has to be this machine's")?;
        Ok(Namespaces::of(first))
    }

    /// Makes the node what the suite expects.
    fn furnish(&self, node: &Node) -> Result<()> {
        let Self { layout, interrupt, .. } = *self;
        let addresses = node.run(&["ip", "-brief", "address", "show"])?;
        ensure!(
            addresses.contains(&format!(" {NODE_ADDRESS}/")),
            "the node has not got the address {NODE_ADDRESS}: {addresses}"
        );
        node.add_link()?;
        // Docker switches it off in a container whose networks have none, and pods inherit that.
        for scope in ["all", "default"] {
            let setting = format!("net.ipv6.conf.{scope}.disable_ipv6=0");
            node.run(&["sysctl", "--quiet", "--write", &setting])?;
        }
        // The suite reads there how containers were stopped.
        let log = text(&node.log("containerd")).to_owned();
        node::add_drop_in(
            node,
            "containerd",
            &format!("StandardOutput=append:{log}\nStandardError=append:{log}\n"),
        )?;
        node.run(&["systemctl", "restart", "containerd"])?;

        let kubeconfig = fs::read_to_string(layout.node().join("kind.kubeconfig"))?;
        let [authority, certificate, key] = names::credentials(&kubeconfig)?;
        Pki::at(layout.node().join("pki")).adopt(&authority, &certificate, &key)?;
        let kubectl = node.kubectl_program();
        let inside = node.namespaces().root().join("usr/bin/kubectl");
        fs::create_dir_all(layout.node().join("bin"))?;
        fs::copy(&inside, &kubectl).with_context(|| format!("cannot copy {}", inside.display()))?;
        node.adopt_services()?;
        interrupt.check()
    }
}

/// Removes what the machine's engine has. One of ours ends with its world.
pub(crate) fn remove(kind: &Kind) -> Result<()> {
    if kind.docker != Docker::Machine {
        return Ok(());
    }
    // Not to be interrupted: this is what happens after an interrupt.
    let never = Interrupt::default();
    let mut delete = kind.docker.command(&kind.program);
    delete.args(["delete", "cluster", "--name", CLUSTER]);
    output(&mut delete, Duration::from_secs(120), &never)?;
    let networks = kind.docker.output(&["network", "ls", "--format={{.Name}}"], &never)?;
    if networks.lines().any(|name| name == CLUSTER) {
        kind.docker.output(&["network", "rm", CLUSTER], &never)?;
    }
    Ok(())
}

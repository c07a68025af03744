//! Brings a node up, step by step, and hands out what is needed to use it.

mod set_back;

use crate::api::Api;
use crate::cert_manager;
use crate::command::{Interrupt, Said, output, said, until};
use crate::components::{self, Built, Kubernetes};
use crate::image::{self, Entry, Image, Layer};
use crate::layout::{Layout, text};
use crate::namespace::Namespaces;
use crate::pki::Pki;
use crate::process::Process;
use crate::service::{Program, Service};
use crate::state::State;
use crate::{cgroup, control_plane, dns, kernel, namespace, packages, product, runtime, teardown};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a caller can choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Version of Kubernetes.
    pub kubernetes: Kubernetes,
    /// Install missing packages.
    pub install: bool,
}

/// A node that comes up in this process or was found running.
pub struct Node {
    layout: Layout,
    interrupt: Interrupt,
    namespaces: Namespaces,
    pki: Pki,
    state: Mutex<State>,
    /// Those that this process has started.
    services: Mutex<Vec<Service>>,
    _lock: Option<File>,
}

/// Everything from nothing: packages, components, images, node, cert-manager. Refuses if a node is up; what a crash has
/// left is taken down first. If it fails or is interrupted, nothing is left but the logs.
pub fn up(layout: &Layout, options: Options, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<Node> {
    packages::require(options.install, interrupt, report)?;
    let lock = layout.lock("node")?;
    refuse_or_clean(layout, report)?;
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

fn refuse_or_clean(layout: &Layout, report: &dyn Fn(&str)) -> Result<()> {
    let Some(state) = State::read(layout)? else {
        return Ok(());
    };
    let runs = state.namespaces.is_some_and(|namespaces| namespaces.exist());
    if runs && state.ready {
        bail!(
            "a node with Kubernetes {} is up already: use it, or take it down first",
            state.kubernetes
        );
    }
    report("taking down what an earlier start has left");
    teardown::down_locked(layout).map(drop)
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
    /// The node that is up.
    pub fn running(layout: &Layout, interrupt: &Interrupt) -> Result<Self> {
        let state = State::read(layout)?.context("no node is up: start one first")?;
        let namespaces = state.namespaces.filter(Namespaces::exist);
        let namespaces = namespaces.context("the node has ended: take down what is left of it, then start one")?;
        ensure!(state.ready, "the node is still on its way up");
        Ok(Self {
            layout: layout.clone(),
            interrupt: interrupt.clone(),
            namespaces,
            pki: Pki::at(layout.node().join("pki")),
            state: Mutex::new(state),
            services: Mutex::default(),
            _lock: None,
        })
    }

    fn create(layout: &Layout, parts: &Parts, interrupt: &Interrupt, lock: File) -> Result<Self> {
        if layout.logs().exists() {
            fs::remove_dir_all(layout.logs()).context("cannot remove the last node's logs")?;
        }
        fs::create_dir_all(layout.logs())?;
        let mut state = State {
            namespaces: None,
            cgroup: layout.cgroup(),
            kernel: kernel::read()?,
            folders: namespace::missing_private_folders(),
            kubernetes: parts.kubernetes.version.clone(),
            programs: parts.kubernetes.programs(),
            runtime: parts.containerd.programs(),
            services: std::collections::BTreeMap::new(),
            ready: false,
        };
        state.write(layout)?;
        cgroup::make(&state.cgroup)?;
        namespace::make_private_folders()?;
        let unkept = Namespaces::create(interrupt)?;
        state.namespaces = Some(unkept.namespaces());
        state.write(layout)?;
        let namespaces = unkept.keep()?;
        namespaces.furnish(interrupt)?;
        let pki = Pki::at(layout.node().join("pki"));
        pki.make()?;
        Ok(Self {
            layout: layout.clone(),
            interrupt: interrupt.clone(),
            namespaces,
            pki,
            state: Mutex::new(state),
            services: Mutex::default(),
            _lock: Some(lock),
        })
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
        self.wait_for_api_server()
    }

    fn start_runtime(&self, parts: &Parts) -> Result<()> {
        let pause = self.layout.node().join("pause.tar");
        let busybox = packages::find("busybox").context("busybox is gone")?;
        // The sandbox image: a static program that waits.
        let image = Image {
            name: runtime::PAUSE_IMAGE.to_owned(),
            entrypoint: ["/busybox", "sleep", "infinity"].map(str::to_owned).to_vec(),
            layers: vec![Layer::Files(vec![Entry::program("/busybox", &busybox)?])],
            ..Image::default()
        };
        image::write(&pause, &[image])?;
        let limit = Duration::from_secs(60);
        self.until("containerd", limit, |node| node.ctr(&["version"]).map(Some))?;
        self.load(&pause)?;
        self.load(&parts.archive)
    }

    fn start_kubelet(&self, parts: &Parts) -> Result<()> {
        let minor = minor(&parts.kubernetes.version)?;
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

    /// Waits until a service of the node answers a GET with success.
    pub(crate) fn wait_for_answer(&self, what: &str, url: &str) -> Result<()> {
        self.until(what, Duration::from_secs(60), |node| {
            node.run(&["busybox", "wget", "-q", "-O", "-", url]).map(Some)
        })
        .map(drop)
    }

    /// Runs a program of the machine to its end in the node's world: its network, its mounts, its processes.
    pub fn run(&self, line: &[&str]) -> Result<String> {
        let mut command = self.namespaces.command(line[0]);
        output(command.args(&line[1..]), Duration::from_secs(10), &self.interrupt)
    }

    /// Starts a service in the node's world and notes it.
    pub fn start(&self, program: &Program) -> Result<()> {
        let service = program.start(&self.namespaces, &self.layout.logs(), &self.interrupt)?;
        let started = (program.clone(), service.process);
        self.services().push(service);
        self.change(|state| drop(state.services.insert(program.name.clone(), started)))
    }

    /// Kills a service, as if its process had crashed, and waits until it is gone.
    pub fn kill(&self, name: &str) -> Result<()> {
        let (_, process) = self.service(name)?;
        self.services().retain(|service| service.name != name);
        process.signal(rustix::process::Signal::KILL)?;
        until(
            &format!("the end of {name}"),
            Duration::from_secs(30),
            &self.interrupt,
            || Ok(process.is_gone().then_some(())),
        )
    }

    /// Starts a service again that was killed, with the same command line but for `change`.
    pub fn start_again(&self, name: &str, change: impl FnOnce(&mut Program)) -> Result<()> {
        let (mut program, process) = self.service(name)?;
        ensure!(!process.runs(), "{name} still runs");
        change(&mut program);
        self.start(&program)
    }

    fn service(&self, name: &str) -> Result<(Program, Process)> {
        let service = self.state().services.get(name).cloned();
        service.with_context(|| format!("the node has no service {name}"))
    }

    /// An error if a service that this process has started has ended.
    pub fn check(&self) -> Result<()> {
        self.services().iter_mut().try_for_each(Service::check)
    }

    fn services(&self) -> MutexGuard<'_, Vec<Service>> {
        self.services.lock().expect("nobody panics with the services in hand")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the state in hand")
    }

    /// Changes what is known of the node, in the file too.
    fn change(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state();
        change(&mut state);
        state.write(&self.layout)
    }

    /// Loads an image archive under the name that it carries.
    pub fn load(&self, archive: &Path) -> Result<()> {
        self.ctr(&["--namespace=k8s.io", "images", "import", text(archive)])
            .map(drop)
    }

    /// Runs ctr, containerd's own client.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.namespaces.command(self.state().runtime.join("ctr"));
        command.arg(format!("--address={}", runtime::SOCKET)).args(arguments);
        output(&mut command, Duration::from_secs(120), &self.interrupt)
    }

    /// kubectl as the administrator. It sees the machine's files and the node's network.
    pub fn kubectl(&self) -> Command {
        let mut command = self.namespaces.network_command(self.kubectl_program());
        command.env("KUBECONFIG", self.pki.kubeconfig("admin"));
        // What it caches is of no use to anyone after this node.
        command.env("KUBECACHEDIR", self.layout.node().join("kubectl"));
        command
    }

    /// Runs kubectl to its end.
    pub fn kubectl_output(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_within(arguments, Duration::from_secs(30))
    }

    /// Runs kubectl to its end with a limit.
    pub fn kubectl_within(&self, arguments: &[&str], limit: Duration) -> Result<String> {
        output(self.kubectl().args(arguments), limit, &self.interrupt)
    }

    /// Runs kubectl to its end with something on its standard input, such as a manifest.
    pub fn kubectl_fed(&self, arguments: &[&str], input: &str, limit: Duration) -> Result<Said> {
        said(self.kubectl().args(arguments), input, limit, &self.interrupt)
    }

    /// File of the running kubectl, which renders without a cluster too.
    pub fn kubectl_program(&self) -> PathBuf {
        self.state().programs.join("kubectl")
    }

    /// Log of a service.
    pub fn log(&self, service: &str) -> PathBuf {
        self.layout.logs().join(format!("{service}.log"))
    }

    /// Logs of the containers: `NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`.
    pub fn container_logs(&self) -> PathBuf {
        self.layout.node().join(runtime::CONTAINER_LOGS)
    }

    /// The API server, asked without kubectl.
    pub fn api(&self) -> Result<Api> {
        Api::new(&self.pki)
    }

    /// Certificates and kubeconfigs.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Moves the calling thread into the node's network, for good: its sockets, its later threads and its children are there.
    pub fn enter_network(&self) -> Result<()> {
        self.namespaces.enter_network()
    }

    /// Gives the node another address, once.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        let mut command = self.namespaces.command("ip");
        command.args(["address", "replace", &format!("{address}/24"), "dev", "node0"]);
        output(&mut command, Duration::from_secs(10), &self.interrupt).map(drop)
    }

    /// Makes host names known to pods, instead of those before.
    pub fn set_hosts<'h>(&self, hosts: impl Iterator<Item = (Ipv4Addr, &'h str)>) -> Result<()> {
        dns::set_hosts(&self.layout.node(), hosts)
    }

    /// Version of Kubernetes.
    pub fn version(&self) -> String {
        self.state().kubernetes.clone()
    }

    fn wait_for(&self, what: &str, limit: Duration, kubectl: &[&str]) -> Result<()> {
        self.until(what, limit, |node| node.kubectl_output(kubectl).map(Some))
            .map(drop)
    }

    /// Tries until it works; a service that ended meanwhile is the better error.
    fn until<T>(&self, what: &str, limit: Duration, attempt: impl Fn(&Self) -> Result<Option<T>>) -> Result<T> {
        let mut ended = Ok(());
        let answer = until(what, limit, &self.interrupt, || {
            ended = self.check();
            match &ended {
                Ok(()) => attempt(self).map(|value| value.map(Some)),
                Err(_) => Ok(Some(None)),
            }
        });
        ended?;
        Ok(answer?.expect("no service has ended, so this is the attempt's value"))
    }
}

/// The second number of a version.
fn minor(version: &str) -> Result<u32> {
    let number = version.split('.').nth(1).and_then(|number| number.parse().ok());
    number.with_context(|| format!("{version} is no version of Kubernetes"))
}

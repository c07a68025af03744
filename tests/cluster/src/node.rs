//! A node that is up, and what is needed to use it. [`bare`] and [`crate::kind`] bring one up.

mod bare;
mod services;
mod static_pod;
mod unit;

use crate::api::Api;
use crate::command::{Interrupt, Said, output, said, until};
use crate::layout::{Layout, text};
use crate::namespace::{LINK, Namespaces};
use crate::pki::Pki;
use crate::service::Service;
use crate::state::State;
use crate::{dns, runtime};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

pub use bare::{Options, up};
pub(crate) use bare::{begin, empty_logs};
pub(crate) use services::Keeper;
pub(crate) use unit::add_drop_in;

/// What a node runs on. Tests may ask, where that decides what they can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Plain processes in namespaces of their own.
    Bare,
    /// A container that kind has made.
    Kind,
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

impl Node {
    /// The node that is up.
    pub fn running(layout: &Layout, interrupt: &Interrupt) -> Result<Self> {
        let state = State::read(layout)?.context("no node is up: start one first")?;
        let namespaces = state.node().filter(Namespaces::exist);
        let namespaces = namespaces.context("the node has ended: take down what is left of it, then start one")?;
        ensure!(state.ready, "the node is still on its way up");
        Ok(Self::with(layout, interrupt, namespaces, state, None))
    }

    /// A node in this world. The lock keeps others from starting or stopping one.
    pub(crate) fn with(
        layout: &Layout,
        interrupt: &Interrupt,
        namespaces: Namespaces,
        state: State,
        lock: Option<File>,
    ) -> Self {
        Self {
            layout: layout.clone(),
            interrupt: interrupt.clone(),
            namespaces,
            pki: Pki::at(layout.node().join("pki")),
            state: Mutex::new(state),
            services: Mutex::default(),
            _lock: lock,
        }
    }

    /// What it runs on.
    pub fn ground(&self) -> Ground {
        match self.state().kind {
            Some(_) => Ground::Kind,
            None => Ground::Bare,
        }
    }

    /// Waits until a service of the node answers a GET with success.
    pub(crate) fn wait_for_answer(&self, what: &str, url: &str) -> Result<()> {
        self.until(what, Duration::from_secs(60), |node| {
            let mut command = node.namespaces.network_command("busybox");
            command.args(["wget", "-q", "-O", "-", url]);
            output(&mut command, Duration::from_secs(10), &node.interrupt).map(Some)
        })
        .map(drop)
    }

    /// Runs a program to its end in the node's world: its network, its mounts, its processes. On kind it is a program of the
    /// node's image.
    pub fn run(&self, line: &[&str]) -> Result<String> {
        self.namespaces.run(line, &self.interrupt)
    }

    fn services(&self) -> MutexGuard<'_, Vec<Service>> {
        self.services.lock().expect("nobody panics with the services in hand")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the state in hand")
    }

    /// Changes what is known of the node, in the file too.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) -> Result<()> {
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
        self.client(self.kubectl_program())
    }

    fn client(&self, program: PathBuf) -> Command {
        let mut command = self.namespaces.network_command(program);
        command.env("KUBECONFIG", self.pki.kubeconfig("admin"));
        // What it caches is of no use to anyone after this node.
        command.env("KUBECACHEDIR", self.layout.node().join("kubectl"));
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.layout.node().join("helm"));
        }
        command
    }

    /// Runs another client of the API server, such as helm, as the administrator and to its end.
    pub fn client_within(&self, program: PathBuf, arguments: &[&str], limit: Duration) -> Result<String> {
        output(self.client(program).args(arguments), limit, &self.interrupt)
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

    /// Adds the link that [`Self::add_address`] is about, where something else has brought the node up.
    pub(crate) fn add_link(&self) -> Result<()> {
        self.namespaces.add_link(&self.interrupt)
    }

    /// Its world.
    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Gives the node another address, once.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        self.run(&["ip", "address", "replace", &format!("{address}/24"), "dev", LINK])
            .map(drop)
    }

    /// Makes host names known to pods, instead of those before.
    pub fn set_hosts<'h>(&self, hosts: impl Iterator<Item = (Ipv4Addr, &'h str)>) -> Result<()> {
        dns::set_hosts(&self.layout.node(), hosts)
    }

    /// Version of Kubernetes.
    pub fn version(&self) -> String {
        self.state().kubernetes.clone()
    }

    pub(crate) fn wait_for(&self, what: &str, limit: Duration, kubectl: &[&str]) -> Result<()> {
        self.until(what, limit, |node| node.kubectl_output(kubectl).map(Some))
            .map(drop)
    }

    /// Tries until it works; a service that ended meanwhile is the better error.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        attempt: impl Fn(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
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

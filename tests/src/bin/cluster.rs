//! A real Kubernetes on this machine, for people: `up`, `kubectl`, `load`, `down`. See docs/cluster.md.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use tests::cluster::command::Interrupt;
use tests::cluster::components::{self, Component};
use tests::cluster::{Layout, Node, Options};

/// Boots a real single-node Kubernetes in namespaces of its own, with cert-manager installed and this project's images loaded.
#[derive(Parser)]
#[command(name = "cluster", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build what is missing and start the node.
    Up {
        /// Version of Kubernetes.
        #[arg(long, env = "ADO_CLUSTER_KUBERNETES", default_value = "1.37")]
        kubernetes: Version,
        /// Install missing packages with apt-get.
        #[arg(long)]
        install: bool,
    },
    /// Run kubectl as the cluster's administrator.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// What kubectl is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Build this project's programs as they are now and load their images into the running node.
    Load,
    /// Build components and start nothing.
    Build {
        /// The neighbours too: Azure Workload Identity webhook, KEDA, and the older Kubernetes.
        #[arg(long)]
        all: bool,
    },
    /// Take the node down. Nothing is left but what was built, and the logs.
    Down,
}

#[derive(Clone, Copy, ValueEnum)]
enum Version {
    #[value(name = "1.37")]
    Newest,
    #[value(name = "1.34")]
    Oldest,
}

impl Version {
    fn component(self) -> Component {
        match self {
            Self::Newest => components::KUBERNETES,
            Self::Oldest => components::KUBERNETES_OLD,
        }
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cluster: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Action {
    fn run(self) -> Result<()> {
        let layout = Layout::find()?;
        let interrupt = Interrupt::default();
        match self {
            Self::Up { kubernetes, install } => {
                listen(&interrupt)?;
                let options = Options {
                    kubernetes: kubernetes.component(),
                    install,
                };
                let node = tests::cluster::up(&layout, options, &interrupt, &say)?;
                say(&format!(
                    "Kubernetes {} is up. Logs: {}. Next, for instance:\n  \
                     cargo run --bin cluster -- kubectl apply -k manifests/base\n  \
                     cargo run --bin cluster -- down",
                    node.version(),
                    layout.logs().display()
                ));
                Ok(())
            }
            Self::Kubectl { arguments } => {
                let error = Node::running(&layout, &interrupt)?.kubectl().args(arguments).exec();
                Err(error).context("cannot start nsenter")
            }
            Self::Load => {
                listen(&interrupt)?;
                let node = Node::running(&layout, &interrupt)?;
                let archive = tests::cluster::archive(&layout, &node.kubectl_program(), &interrupt, &say)?;
                node.load(&archive)
            }
            Self::Build { all } => {
                listen(&interrupt)?;
                build(&layout, all, &interrupt)
            }
            Self::Down => {
                if !tests::cluster::down(&layout)? {
                    say("no node was up");
                }
                Ok(())
            }
        }
    }
}

fn build(layout: &Layout, all: bool, interrupt: &Interrupt) -> Result<()> {
    use components::{AZWI, CERT_MANAGER, CONTAINERD, COREDNS, KEDA, KUBERNETES, KUBERNETES_OLD};
    if all {
        let every = [
            KUBERNETES,
            CONTAINERD,
            COREDNS,
            CERT_MANAGER,
            AZWI,
            KEDA,
            KUBERNETES_OLD,
        ];
        components::build(every, layout, interrupt, &say).map(drop)
    } else {
        let needed = [KUBERNETES, CONTAINERD, COREDNS, CERT_MANAGER];
        components::build(needed, layout, interrupt, &say).map(drop)
    }
}

/// Ctrl-C and SIGTERM ask for an orderly end.
fn listen(interrupt: &Interrupt) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let interrupt = interrupt.clone();
    let signals = {
        let _inside = runtime.enter();
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            let [mut interrupted, mut terminated] = signals;
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            say("ending");
            interrupt.set();
        });
    });
    Ok(())
}

/// A line for the person. Nobody there to read it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

//! A real Kubernetes on this machine, for people: `up`, `kubectl`, `load`, `down`. See docs/cluster.md.

use anyhow::{Context, Result};
use azure_emulators::ado::AgentView;
use clap::{Parser, Subcommand};
use cluster::azure::{self, Ingredients};
use cluster::azwi;
use cluster::command::Interrupt;
use cluster::components::{self, Keda, Kubernetes};
use cluster::{Layout, MissingPackages, Node, Options, keda, kind};
use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;
use tests::agent_package::AgentChoice;

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
        kubernetes: Kubernetes,
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
    /// Build the components that the suite uses and start nothing.
    Build {
        /// The older Kubernetes and the older KEDA as well.
        #[arg(long)]
        all: bool,
    },
    /// Install the Azure Workload Identity webhook into the running node, with the imitated Azure's tenant. Builds it if it is
    /// missing.
    Azwi {
        /// Remove it instead.
        #[arg(long)]
        remove: bool,
    },
    /// Imitate Azure in the node's network until Ctrl-C, as `manifests/examples` need it. Loads agent images, and installs this
    /// project with a private CA.
    Azure {
        #[command(flatten)]
        agent: AgentChoice,
    },
    /// Install KEDA into the running node, where `azure` has run. Builds it if it is missing.
    Keda {
        /// Version of KEDA.
        #[arg(long = "keda", env = "ADO_CLUSTER_KEDA", default_value = "2.21")]
        version: Keda,
    },
    /// Run a program in the node's network, such as curl.
    #[command(disable_help_flag = true)]
    Exec {
        /// Program.
        program: OsString,
        /// What it is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Have kind make the node, in Docker Engine where there is one: see tests/cluster/kind/run.
    Kind {
        /// Version of Kubernetes: one of tests/cluster/kind/images.txt.
        #[arg(long, env = "ADO_CLUSTER_KUBERNETES", default_value = "1.37")]
        kubernetes: String,
        /// Install missing packages with apt-get.
        #[arg(long)]
        install: bool,
    },
    /// Take the node down. Nothing is left but what was built, and the logs.
    Down,
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
                let missing_packages = MissingPackages::from_flag(install);
                let options = Options {
                    kubernetes,
                    missing_packages,
                };
                let node = cluster::up(&layout, options, &interrupt, &say)?;
                announce(&node, &layout);
                Ok(())
            }
            Self::Kubectl { arguments } => {
                let error = Node::running(&layout, &interrupt)?.kubectl().args(arguments).exec();
                Err(error).context("cannot start nsenter")
            }
            Self::Load => {
                listen(&interrupt)?;
                let node = Node::running(&layout, &interrupt)?;
                let archive = cluster::archive(&layout, &node.kubectl_program(), &interrupt, &say)?;
                node.load(&archive)
            }
            Self::Build { all } => {
                listen(&interrupt)?;
                build(&layout, &interrupt)?;
                if all { build_older(&layout, &interrupt) } else { Ok(()) }
            }
            Self::Azwi { remove } => {
                listen(&interrupt)?;
                let node = Node::running(&layout, &interrupt)?;
                let [built] = components::build([components::AZWI], &layout, &interrupt, &say)?;
                if remove {
                    return azwi::uninstall(&node, &built);
                }
                azwi::install(&node, &layout, &built, &say)
            }
            Self::Azure { agent } => {
                listen(&interrupt)?;
                let node = Node::running(&layout, &interrupt)?;
                let ingredients = Ingredients::make(&layout, &agent, &interrupt, &say)?;
                node.enter_network()?;
                // Its threads inherit the network from this one.
                let runtime = tokio::runtime::Runtime::new()?;
                runtime.block_on(imitate_azure(&node, &layout, &ingredients, &interrupt))
            }
            Self::Keda { version } => {
                listen(&interrupt)?;
                let node = Node::running(&layout, &interrupt)?;
                let [built] = components::build([version.component()], &layout, &interrupt, &say)?;
                keda::install(&node, &layout, &built, &say)
            }
            Self::Exec { program, arguments } => {
                let node = Node::running(&layout, &interrupt)?;
                node.enter_network()?;
                let error = Command::new(&program).args(arguments).exec();
                Err(error).with_context(|| format!("cannot start {}", program.display()))
            }
            Self::Kind { kubernetes, install } => {
                listen(&interrupt)?;
                let missing_packages = MissingPackages::from_flag(install);
                let options = kind::Options {
                    kubernetes,
                    missing_packages,
                };
                let node = kind::up(&layout, &options, &interrupt, &say)?;
                announce(&node, &layout);
                Ok(())
            }
            Self::Down => {
                if !cluster::down(&layout)? {
                    say("no node was up");
                }
                Ok(())
            }
        }
    }
}

fn announce(node: &Node, layout: &Layout) {
    say(&format!(
        "Kubernetes {} is up. Logs: {}. Next, for instance:\n  \
         cargo run --bin cluster -- kubectl apply -k manifests/base\n  \
         cargo run --bin cluster -- down",
        node.version(),
        layout.logs().display()
    ));
}

fn build(layout: &Layout, interrupt: &Interrupt) -> Result<()> {
    use components::{AZWI, CERT_MANAGER, CONTAINERD, COREDNS, ETCD, HELM, KEDA, KIND, KUBERNETES};
    let suite = [
        KUBERNETES,
        CONTAINERD,
        COREDNS,
        CERT_MANAGER,
        AZWI,
        KEDA,
        KIND,
        ETCD,
        HELM,
    ];
    components::build(suite, layout, interrupt, &say).map(drop)
}

/// The older Kubernetes and the older KEDA.
fn build_older(layout: &Layout, interrupt: &Interrupt) -> Result<()> {
    use components::{KEDA_OLD, KUBERNETES_OLD};
    components::build([KUBERNETES_OLD, KEDA_OLD], layout, interrupt, &say).map(drop)
}

/// Port of the plain-HTTP control routes of the emulators.
const CONTROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8090);

async fn imitate_azure(node: &Node, layout: &Layout, ingredients: &Ingredients, interrupt: &Interrupt) -> Result<()> {
    let world = azure::imitate(node, ingredients).await?;
    let _control = world.serve_control(CONTROL).await?;
    // As `ado-agent provision` makes it, for jobs that demand nothing.
    world.pool.add_agent("placeholder", &[]);
    azure::prepare(node, layout, ingredients, &world, &say)?;
    say(&format!(
        "Azure is imitated until Ctrl-C. Next, in another terminal:\n  \
         cargo run --bin cluster -- kubectl apply -f manifests/examples/deployment.yaml\n  \
         cargo run --bin cluster -- exec curl http://{CONTROL}/"
    ));
    let mut before = Vec::new();
    while interrupt.check().is_ok() {
        let now: Vec<String> = world.pool.agents().iter().map(line).collect();
        before
            .iter()
            .filter(|line| !now.contains(line))
            .for_each(|line| say(&format!("- {line}")));
        now.iter()
            .filter(|line| !before.contains(line))
            .for_each(|line| say(&format!("+ {line}")));
        before = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// An agent as the pool's page shows it.
fn line(agent: &AgentView) -> String {
    let state = if agent.online { "online" } else { "offline" };
    let enabled = if agent.enabled { "enabled" } else { "disabled" };
    let job = agent.job.map_or_else(|| "idle".to_owned(), |job| format!("job {job}"));
    format!("agent {} {}: {state}, {enabled}, {job}", agent.id, agent.name)
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

//! What runs the tests: the node, the imitated Azure, who runs beside whom, the table, and everything that explains a failure.

use crate::case::Case;
use crate::test::{Company, Test, suited};
use anyhow::{Context, Result, bail};
use azure_emulators::world::World;
use clap::Parser;
use cluster::azure::{self, Ingredients};
use cluster::command::Interrupt;
use cluster::components::{self, Built, Component, Keda, Kubernetes};
use cluster::{Api, Ground, Layout, MissingPackages, Node, Options, Program};
use std::collections::VecDeque;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tests::agent_package::AgentChoice;

/// The suite on a real Kubernetes: only Azure is imitated.
#[derive(Parser)]
#[command(name = "cluster suite", max_term_width = 100)]
struct Arguments {
    /// Run the tests that have one of these in their name; all without.
    names: Vec<String>,
    /// Leave out the tests that have this in their name; may be given several times.
    #[arg(long, value_name = "PART")]
    skip: Vec<String>,
    /// Version of Kubernetes, if no node is up.
    #[arg(long, env = "ADO_CLUSTER_KUBERNETES", default_value = "1.37")]
    kubernetes: Kubernetes,
    /// Version of KEDA.
    #[arg(long, env = "ADO_CLUSTER_KEDA", default_value = "2.21")]
    keda: Keda,
    /// Install missing packages with apt-get.
    #[arg(long)]
    install: bool,
    /// How many tests run at the same time, of those that may.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    #[command(flatten)]
    agent: AgentChoice,
    /// Run a test that failed once more at the end, alone, in a namespace of its own. Where it passes then, the table calls it
    /// FLAKY.
    #[arg(long)]
    again: bool,
    /// List the tests and run none.
    #[arg(long)]
    list: bool,
}

/// Programs of others that are built if a test wants them. Who needs one installs it.
pub(crate) struct Neighbors {
    /// The Azure Workload Identity webhook.
    pub(crate) azwi: Option<Built>,
    /// KEDA.
    pub(crate) keda: Option<Built>,
    /// Helm.
    pub(crate) helm: Option<Built>,
}

/// What all tests share.
pub(crate) struct Suite {
    /// The node. This process is in its network.
    pub(crate) node: Node,
    /// Its API server.
    pub(crate) api: Api,
    /// Azure.
    pub(crate) world: World,
    /// Where things lie.
    pub(crate) layout: Layout,
    /// What may be installed beside us.
    pub(crate) neighbors: Neighbors,
    /// Whether the agents are real ones, which need more room than the stub.
    pub(crate) agent_is_real: bool,
    /// The node's services as the first test found them.
    programs: Vec<Program>,
}

impl Suite {
    /// Runs the tests that the command line asks for.
    pub(crate) fn main(tests: &'static [Test]) -> ExitCode {
        match run(tests) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                say(&format!("cluster suite: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    /// What such a test may have done to the node's services is undone.
    pub(crate) fn set_back_services(&self, company: Company) -> Result<()> {
        if company == Company::Beside {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.node.set_back(&self.programs))
            .context("the node's services could not be set back")
    }

    /// What such a test may have done to this project's installation is undone.
    fn set_back_installation(&self, company: Company) -> Result<()> {
        if company != Company::Reinstalls {
            return Ok(());
        }
        tokio::task::block_in_place(|| azure::install(&self.node, &self.layout, &self.world))
            .context("this project could not be installed again")
    }
}

fn run(tests: &'static [Test]) -> Result<bool> {
    let arguments = Arguments::parse();
    let has = |test: &Test, parts: &[String]| parts.iter().any(|part| test.name.contains(part.as_str()));
    let named = |test: &&Test| arguments.names.is_empty() || has(test, &arguments.names);
    let (skipped, chosen): (Vec<&Test>, Vec<&Test>) =
        tests.iter().filter(named).partition(|test| has(test, &arguments.skip));
    if !skipped.is_empty() {
        say(&format!("left out as --skip says: {} tests", skipped.len()));
    }
    if chosen.is_empty() {
        bail!("no test has one of {:?} in its name", arguments.names);
    }
    if arguments.list {
        for test in chosen {
            let only = test.bare_node.map(|reason| format!(" (bare node only: {reason})"));
            say(&format!("{}{}", test.name, only.unwrap_or_default()));
        }
        return Ok(true);
    }
    let layout = Layout::find()?;
    let interrupt = Interrupt::default();
    // Before this process enters the node's network, which has no way out.
    let neighbor = |component: Component, module: &str| {
        let is_wanted = chosen.iter().any(|test| test.name.starts_with(module));
        is_wanted
            .then(|| components::build([component], &layout, &interrupt, &say).map(|[built]| built))
            .transpose()
    };
    let neighbors = Neighbors {
        azwi: neighbor(components::AZWI, "azwi::")?,
        keda: neighbor(arguments.keda.component(), "keda::")?,
        helm: neighbor(components::HELM, "chart::")?,
    };
    if chosen.iter().any(|test| test.name.starts_with("plug::")) {
        // It runs beside the node, and takes a while to build.
        say("building ado-agent");
        tests::programs::program("ado-agent")?;
    }
    let found = Node::running(&layout, &interrupt);
    let ours = found.is_err();
    let node = match found {
        Ok(node) => node,
        Err(_) => {
            let options = Options {
                kubernetes: arguments.kubernetes,
                missing_packages: MissingPackages::from_flag(arguments.install),
            };
            cluster::up(&layout, options, &interrupt, &say)?
        }
    };
    let passed = Ingredients::make(&layout, &arguments.agent, &interrupt, &say)
        .and_then(|ingredients| run_on(node, &layout, &ingredients, neighbors, chosen, &arguments));
    if ours {
        cluster::down(&layout)?;
    }
    passed
}

fn run_on(
    node: Node,
    layout: &Layout,
    ingredients: &Ingredients,
    neighbors: Neighbors,
    tests: Vec<&'static Test>,
    arguments: &Arguments,
) -> Result<bool> {
    let (tests, left) = suited(tests, node.ground())?;
    node.enter_network()?;
    // Its threads inherit the network from this one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // kubectl is waited for on these threads, and the emulators answer on them.
        .worker_threads(arguments.jobs + 4)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let results = runtime.block_on(async {
        let world = azure::imitate(&node, ingredients).await?;
        azure::prepare(&node, layout, ingredients, &world, &say)?;
        let api = node.api()?;
        let suite = Arc::new(Suite {
            programs: node.programs(),
            layout: layout.clone(),
            node,
            api,
            world,
            neighbors,
            agent_is_real: arguments.agent.is_real(),
        });
        Ok::<_, anyhow::Error>(run_all(&suite, tests, arguments.jobs, Retry::from_flag(arguments.again)).await)
    })?;
    let (table, passed) = results;
    say(&format!("{table}{left}"));
    Ok(passed)
}

/// Whether failed tests run once more at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    Never,
    Once,
}

impl Retry {
    /// As the flag `--again` says.
    fn from_flag(again: bool) -> Self {
        if again { Self::Once } else { Self::Never }
    }
}

/// Those that may run beside each other first, then the others one by one. Answers the table.
async fn run_all(suite: &Arc<Suite>, tests: Vec<&'static Test>, jobs: usize, retry: Retry) -> (String, bool) {
    let begin = Instant::now();
    let (beside, alone): (Vec<&Test>, Vec<&Test>) = tests.into_iter().partition(|test| test.company == Company::Beside);
    let queue = Arc::new(Mutex::new(VecDeque::from(beside)));
    let results = Arc::new(Mutex::new(Vec::new()));
    let workers: Vec<_> = (0..jobs.max(1))
        .map(|_| {
            let (suite, queue, results) = (Arc::clone(suite), Arc::clone(&queue), Arc::clone(&results));
            tokio::spawn(async move {
                loop {
                    let next = queue.lock().expect("nobody panics with the queue").pop_front();
                    let Some(test) = next else { return };
                    let result = run_one(&suite, test, "").await;
                    results.lock().expect("nobody panics with the results").push(result);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a test's panic is caught where it runs");
    }
    for test in alone {
        let result = run_one(suite, test, "").await;
        results.lock().expect("nobody panics with the results").push(result);
    }
    let mut results: Vec<Ran> = std::mem::take(&mut *results.lock().expect("all have ended"));
    let mut flaky = 0;
    let failed = |results: &[Ran]| results.iter().filter(|ran| !ran.passed).count();
    // Where more have failed, it is no coincidence.
    if retry == Retry::Once && failed(&results) <= SECOND_TRIES {
        for ran in results.iter_mut().filter(|ran| !ran.passed) {
            let second = run_one(suite, ran.test, "again-").await;
            if second.passed {
                flaky += 1;
                *ran = Ran {
                    line: second.line.replacen("ok    ", "FLAKY ", 1),
                    ..second
                };
            }
        }
    }
    let failed = failed(&results);
    let lines: Vec<&str> = results.iter().map(|ran| ran.line.as_str()).collect();
    let mut table = format!(
        "\nKubernetes {} on {}\n{}\n{} passed, {failed} failed, {} s",
        suite.node.version(),
        match suite.node.ground() {
            Ground::Bare => "the bare node",
            Ground::Kind => "kind",
        },
        lines.join("\n"),
        results.len() - failed,
        begin.elapsed().as_secs()
    );
    if flaky > 0 {
        table.push_str(&format!(
            "\n{flaky} of those that passed FAILED AT FIRST and passed at a second try; why they failed is said above"
        ));
    }
    (table, failed == 0)
}

/// How many tests are tried a second time at the most.
const SECOND_TRIES: usize = 4;

/// A test that ran.
struct Ran {
    test: &'static Test,
    passed: bool,
    /// Its line of the table.
    line: String,
}

/// Runs a test in a namespace of its own, whose name begins with `prefix`.
async fn run_one(suite: &Arc<Suite>, test: &'static Test, prefix: &str) -> Ran {
    let begin = Instant::now();
    let result = attempt(suite, test, prefix).await;
    let word = if result.is_ok() { "ok" } else { "FAILED" };
    let line = format!("{word:6} {:6.1} s  {}", begin.elapsed().as_secs_f32(), test.name);
    match &result {
        Ok(()) => say(&line),
        Err(error) => say(&format!("{line}\n{error}")),
    }
    Ran {
        test,
        passed: result.is_ok(),
        line,
    }
}

/// The error is everything that explains it.
async fn attempt(suite: &Arc<Suite>, test: &'static Test, prefix: &str) -> std::result::Result<(), String> {
    let name = format!("{prefix}{}", test.name.rsplit("::").next().unwrap_or(test.name).trim());
    let case = Case::begin(suite, &name).map_err(|error| format!("{error:#}"))?;
    let observer = case.clone();
    // In a task of its own: a panic there is a failure like any other.
    let result = match tokio::spawn((test.run)(case)).await {
        Ok(result) => result,
        Err(panic) => Err(anyhow::anyhow!("{panic}")),
    };
    let services = suite.set_back_services(test.company);
    let explanation = result.err().map(|error| format!("{error:#}\n{}", observer.explain()));
    let cleaned = observer.end();
    let installed = suite.set_back_installation(test.company);
    match explanation {
        Some(explanation) => Err(explanation),
        None => services
            .and(cleaned)
            .and(installed)
            .map_err(|error| format!("{error:#}")),
    }
}

/// A line for the person.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

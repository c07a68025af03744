//! What runs the tests: the node, the emulators, the table, and everything that explains a failure.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tests::cluster::azure::{self, Ingredients};
use tests::cluster::command::Interrupt;
use tests::cluster::{Layout, Node, Options, components};
use tests::world::World;

/// A test by its name.
pub(crate) struct Test {
    /// Path of its function.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) run: for<'s> fn(&'s Suite<'s>) -> Running<'s>,
}

/// A test that runs.
type Running<'s> = Pin<Box<dyn Future<Output = Result<()>> + 's>>;

/// Makes a [`Test`] of an async function.
macro_rules! test {
    ($path:path) => {
        $crate::suite::Test {
            name: stringify!($path),
            run: |suite| Box::pin($path(suite)),
        }
    };
}
pub(crate) use test;

/// What a test gets.
pub(crate) struct Suite<'n> {
    /// The node. This process is in its network.
    pub(crate) node: Node<'n>,
    /// Azure, as the examples need it.
    pub(crate) world: World,
}

impl Suite<'_> {
    /// Runs the tests whose name contains the first argument.
    pub(crate) fn main(tests: &[Test]) -> ExitCode {
        match run(tests) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                say(&format!("cluster suite: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    /// Runs kubectl, and fails with what it says.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.node.kubectl_output(arguments)
    }

    /// Waits until `condition` holds of what the pool shows, or fails with what it showed last.
    pub(crate) async fn wait_for_pool(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&[tests::ado::AgentView]) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let agents = self.world.pool.agents();
            if condition(&agents) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{what}: not within {limit:?}; the pool shows {agents:#?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything about a namespace that explains a failure.
    fn explain(&self, namespace: &str) -> String {
        let namespace = format!("--namespace={namespace}");
        let questions: [&[&str]; 3] = [
            &["get", "pods,replicasets,jobs", "--output=wide", &namespace],
            &["get", "events", "--sort-by=.lastTimestamp", &namespace],
            &[
                "logs",
                "--selector=ado-agent.dev/inject",
                "--all-containers",
                "--ignore-errors",
                "--prefix",
                "--tail=40",
                &namespace,
            ],
        ];
        let answers = questions.map(|question| {
            self.kubectl(question)
                .unwrap_or_else(|error| format!("{question:?}: {error:#}"))
        });
        answers.join("\n")
    }
}

fn run(tests: &[Test]) -> Result<bool> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let chosen: Vec<&Test> = tests.iter().filter(|test| test.name.contains(&wanted)).collect();
    if chosen.is_empty() {
        bail!("no test has `{wanted}` in its name");
    }
    let layout = Layout::find()?;
    let interrupt = Interrupt::default();
    let found = Node::running(&layout, &interrupt);
    let ours = found.is_err();
    let node = match found {
        Ok(node) => node,
        Err(_) => {
            let options = Options {
                kubernetes: components::KUBERNETES,
                install: false,
            };
            tests::cluster::up(&layout, options, &interrupt, &say)?
        }
    };
    let passed = run_on(node, &layout, &interrupt, &chosen);
    if ours {
        tests::cluster::down(&layout)?;
    }
    passed
}

fn run_on(node: Node<'_>, layout: &Layout, interrupt: &Interrupt, tests: &[&Test]) -> Result<bool> {
    let ingredients = Ingredients::make(layout, interrupt, &say)?;
    node.enter_network()?;
    // Its threads inherit the network from this one.
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let mut table = format!("Kubernetes {}\n", node.version());
    let mut passed = true;
    runtime.block_on(async {
        let world = azure::imitate(&node, &ingredients).await?;
        azure::prepare(&node, layout, &ingredients, &world, &say)?;
        let suite = Suite { node, world };
        for test in tests {
            let begin = Instant::now();
            let result = (test.run)(&suite).await;
            let seconds = begin.elapsed().as_secs_f32();
            let word = if result.is_ok() { "ok" } else { "FAILED" };
            if let Err(error) = result {
                passed = false;
                say(&format!("{}: {error:#}\n{}", test.name, suite.explain("agents")));
            }
            table.push_str(&format!("{word:6} {seconds:6.1} s  {}\n", test.name));
        }
        Ok::<(), anyhow::Error>(())
    })?;
    say(&table);
    Ok(passed)
}

/// A line for the person.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

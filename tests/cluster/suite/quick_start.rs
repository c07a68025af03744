//! The quick start of docs/quick-start.md, typed as it stands there.

use crate::case::Case;
use anyhow::{Context, Result, ensure};
use cluster::azure;
use cluster::command::{Interrupt, said};
use std::process::Command;
use std::time::Duration;
use tests::pages::{commands, section};
use tests::programs::repository;

const PAGE: &str = "docs/quick-start.md";
const SECTION: &str = "On any cluster";
/// The page promises no more.
const MOST: usize = 10;
/// What the first command sets, for the reader to change.
const VARIABLES: [&str; 5] = ["NAMESPACE", "ORGANIZATION", "POOL", "CLIENT_ID", "IMAGE"];
/// Longer than the longest `--timeout` on the page.
const PATIENCE: Duration = Duration::from_secs(200);
/// After this command the project is installed as on the page. What comes then needs Azure, which is imitated with a private CA.
const INSTALLED: &str = "rollout status";
/// After these the agent is online, and gone.
const ONLINE: &str = " wait ";
const REMOVED: &str = " delete pod ";

pub(crate) async fn every_command_is_executed_as_typed(case: Case) -> Result<()> {
    let page = std::fs::read_to_string(repository().join(PAGE)).context(PAGE)?;
    let commands = commands(section(&page, SECTION).context(SECTION)?);
    ensure!(commands.len() <= MOST, "{} commands", commands.len());
    let (variables, commands) = commands.split_first().context("the page has commands")?;
    let mut assignments = variables
        .strip_prefix("export ")
        .context("the first command sets variables")?
        .split_whitespace();
    let mut names = VARIABLES.iter();
    ensure!(
        assignments.all(|assignment| names
            .next()
            .is_some_and(|name| assignment.starts_with(&format!("{name}="))))
            && names.next().is_none(),
        "{variables}"
    );
    // The commands make it themselves.
    case.blocking(|| {
        let delete = ["delete", "namespace", &case.namespace];
        case.suite.node.kubectl_within(&delete, PATIENCE)
    })?;
    for command in commands {
        typed(&case, command).with_context(|| command.clone())?;
        if command.contains(INSTALLED) {
            case.blocking(|| azure::install(&case.suite.node, &case.suite.layout, &case.suite.world))?;
        } else if command.contains(ONLINE) {
            case.wait_for_agents(1).await?;
            ensure!(
                case.pool.agents().iter().all(|agent| agent.online),
                "ready means online"
            );
        } else if command.contains(REMOVED) {
            case.wait_for_agents(0).await?;
        }
    }
    let seen = |what: &str| commands.iter().any(|command| command.contains(what));
    ensure!([INSTALLED, ONLINE, REMOVED].into_iter().all(seen), "{commands:#?}");
    Ok(())
}

/// Runs a line in a shell, in the repository's top folder, as the cluster's administrator.
fn typed(case: &Case, line: &str) -> Result<()> {
    let node = &case.suite.node;
    let kubectl = node.kubectl();
    let program = node.kubectl_program();
    let folder = program.parent().context("kubectl lies in a folder")?;
    let path = std::env::var("PATH").context("there is a PATH")?;
    // This process is in the node's network, and what it starts, too.
    let mut shell = Command::new("bash");
    shell.args(["-euc", line]).current_dir(repository());
    shell.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:{path}", folder.display()));
    let image = cluster::agent_image::name("1");
    let values = [
        case.namespace.as_str(),
        &case.suite.world.settings.organization,
        &case.namespace,
        &case.identity.client_id,
        &image,
    ];
    shell.envs(VARIABLES.into_iter().zip(values));
    case.blocking(|| said(&mut shell, "", PATIENCE, &Interrupt::default()))
        .map(drop)
}

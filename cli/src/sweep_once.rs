//! `ado-agent sweep`: one look at the pools, by the ledger that `ado-agent keep` has written.

use crate::Exit;
use crate::cluster::Cluster;
use crate::fleet::PoolReader;
use crate::ledger_store::{LedgerStore, Saved};
use crate::organization::Credential;
use crate::output::{Format, Output, table};
use crate::session::Session;
use crate::sweeper::{Sweeper, command, json};
use crate::{agent_pods, keep};
use clap::Args;
use std::time::Duration;
use sweep::{Decision, Mode, Verdict};

/// Remove agents of pods that are gone, by the ledger of `ado-agent keep`; a dry run unless --delete is given.
#[derive(Debug, Args)]
pub struct Sweep {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    credential: Credential,
    #[command(flatten)]
    scope: keep::Scope,
    /// Remove the agents; without it, the same list is only printed.
    #[arg(long)]
    delete: bool,
    /// Seconds between the two looks that an agent has to be seen offline at.
    #[arg(long, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u64).range(30..=600))]
    wait: u64,
}

pub(crate) async fn run(arguments: Sweep, output: Output) -> anyhow::Result<Exit> {
    let (client, namespace) = arguments.cluster.connect().await?;
    let namespaces = arguments.scope.namespaces(&namespace);
    let settings = arguments.scope.settings(&namespaces);
    let session = Session::new(arguments.credential.connect(&arguments.scope.url)?, None);
    let scope = &arguments.scope;
    let store = LedgerStore::new(&client, &scope.ledger_namespace, &scope.ledger, session.url());
    let sweeper = Sweeper {
        session: &session,
        client: &client,
        settings: &settings,
        mode: if arguments.delete { Mode::Remove } else { Mode::DryRun },
    };
    let mut stored = store.load().await?;
    let mut problems = Vec::new();
    let mut found: Vec<(String, Verdict)> = Vec::new();
    let mut readers: Vec<PoolReader> = scope.pools.iter().map(|pool| PoolReader::new(pool)).collect();
    for look in 0..2 {
        if look == 1 {
            tokio::time::sleep(Duration::from_secs(arguments.wait)).await;
        }
        (problems, found) = (Vec::new(), Vec::new());
        let pods = agent_pods::list(&client, &namespaces).await?;
        for reader in &mut readers {
            let reading = reader.read(&session).await?;
            let swept = sweeper.run(&mut stored.ledger, &reading, &pods).await;
            found.extend(
                swept
                    .verdicts
                    .into_iter()
                    .map(|verdict| (reader.name().to_owned(), verdict)),
            );
            problems.extend(
                swept
                    .stopped
                    .map(|problem| format!("pool \"{}\": {problem}", reader.name())),
            );
        }
        let removed = found.iter().any(|(_, verdict)| verdict.decision == Decision::Removed);
        // What was seen already could have been seen twice by `ado-agent keep`.
        let waits = |verdict: &Verdict| verdict.decision == Decision::Kept(sweep::Kept::SeenOnce);
        if removed || !found.iter().any(|(_, verdict)| waits(verdict)) {
            break;
        }
    }
    if arguments.delete && store.save(&mut stored).await? == Saved::Conflict {
        tracing::debug!("ado-agent keep wrote the ledger meanwhile and will find out by itself what was removed");
    }
    print(output, session.url(), &found, &problems)?;
    let wrong = |verdict: &Verdict| matches!(verdict.decision, Decision::Clash | Decision::Failed(_));
    if problems.is_empty() && !found.iter().any(|(_, verdict)| wrong(verdict)) {
        Ok(Exit::Good)
    } else {
        Ok(Exit::Problem)
    }
}

fn print(output: Output, url: &str, found: &[(String, Verdict)], problems: &[String]) -> anyhow::Result<()> {
    if output.format == Format::Json {
        let agents: Vec<_> = found.iter().map(|(pool, verdict)| json(url, pool, verdict)).collect();
        output.print_json(&serde_json::json!({"agents": agents, "problems": problems}))?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(pool, verdict)| {
            vec![
                pool.clone(),
                verdict.agent.0.to_string(),
                verdict.name.clone(),
                format!("{}/{}", verdict.pod.namespace, verdict.pod.name),
                verdict.status_changed.map(|time| time.to_string()).unwrap_or_default(),
                verdict.decision.word().to_owned(),
            ]
        })
        .collect();
    output.print(&table(&["POOL", "ID", "AGENT", "POD", "SINCE", "DECISION"], &rows))?;
    let unknown: Vec<&Verdict> = found
        .iter()
        .map(|(_, verdict)| verdict)
        .filter(|verdict| verdict.decision == Decision::Unknown)
        .collect();
    if !unknown.is_empty() {
        output.print("\nNothing proves whose these agents are; if you know, remove them:")?;
        for verdict in unknown {
            output.print(&format!("  {}", command(url, verdict)))?;
        }
    }
    for problem in problems {
        output.error(&anyhow::anyhow!("the run was stopped: {problem}"));
    }
    Ok(())
}

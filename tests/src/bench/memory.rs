//! Memory of the webhook: after many reviews, in clusters of any size.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::Instant;

use super::Effort;
use super::load::{self, Expected, Target};
use super::process::{Memory, Process};
use super::report::{Row, mebibytes};
use super::reviews;
use crate::apiserver::ApiServer;
use crate::apiserver::webhook::Webhook;

const GOAL: f64 = 12.0;
/// How much more the second half of the reviews may leave behind for "flat".
const FLAT: f64 = 0.5;
const CONNECTIONS: usize = 10;
/// ServiceAccounts of a namespace in the large cluster.
const ACCOUNTS_OF_A_NAMESPACE: usize = 20;
/// One ServiceAccount in so many has a client ID, in a cluster where agents are one use among others.
const ANNOTATED: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);

/// In a small cluster, in a large one, and in a large one where every account has a client ID.
///
/// # Errors
/// The webhook does not start, or does not answer.
pub async fn measure(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let accounts = effort.accounts;
    let mut rows = cluster("small cluster", effort, 0, 1).await?;
    let name = format!("{accounts} ServiceAccounts, {} with a client ID", accounts / ANNOTATED);
    rows.extend(cluster(&name, effort, accounts, ANNOTATED).await?);
    let name = format!("{accounts} ServiceAccounts, all with a client ID");
    rows.extend(cluster(&name, effort, accounts, 1).await?);
    Ok(rows)
}

async fn cluster(name: &str, effort: &Effort, accounts: usize, annotated: usize) -> anyhow::Result<Vec<Row>> {
    let api = reviews::cluster().await?;
    fill(&api, accounts, annotated);
    // The namespaces' accounts `default` have no client ID, the pod's own has one.
    let known = accounts / annotated + 1;
    let webhook = Webhook::start(&api, &[reviews::IMAGE]).await?;
    listed(&webhook, 1, known).await?;
    let process = reviews::process(&webhook)?;
    let at_rest = process.memory()?;
    let target = Target::new(
        webhook.tls_address(),
        api.authority().pem(),
        reviews::body()?,
        Expected::Patch,
    )?;
    let after = soak(process, &target, effort.soak).await?;
    let after_more = soak(process, &target, effort.soak).await?;
    let mut rows = vec![
        Row::new(format!("webhook, {name}"), mebibytes(after.resident))
            .goal(GOAL)
            .part("at rest", mebibytes(at_rest.resident))
            .part("its own", mebibytes(after.anonymous))
            .part("peak", mebibytes(after.peak)),
        Row::new(
            "  growth by as many reviews again",
            mebibytes(after_more.resident - after.resident),
        )
        .goal(FLAT),
    ];
    if accounts > 0 {
        // More changes at once than the API server remembers: the watch has to list again.
        fill(&api, accounts, annotated);
        listed(&webhook, 2, known).await?;
        let relisted = process.memory()?;
        rows.push(
            Row::new("  after a second listing", mebibytes(relisted.resident))
                .goal(GOAL)
                .part("peak", mebibytes(relisted.peak)),
        );
    }
    Ok(rows)
}

fn fill(api: &ApiServer, accounts: usize, annotated: usize) {
    for number in 0..accounts {
        let namespace = format!("team-{:04}", number / ACCOUNTS_OF_A_NAMESPACE);
        let client_id = format!("11111111-2222-3333-4444-{number:012}");
        let tenant_id = "99999999-8888-7777-6666-555555555555";
        let annotations = [
            (contract::AZWI_CLIENT_ID_ANNOTATION, client_id.as_str()),
            (contract::AZWI_TENANT_ID_ANNOTATION, tenant_id),
        ];
        let annotations = if number % annotated == 0 { &annotations[..] } else { &[] };
        api.set_account(&namespace, &format!("service-account-{number:05}"), annotations);
    }
}

/// Waits until the webhook's log tells that it has listed so often, and knows so many.
async fn listed(webhook: &Webhook, times: usize, known: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = webhook.log();
        let counts: Vec<_> = log
            .iter()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["accounts"].as_u64())
            .collect();
        if counts.len() >= times {
            let last = counts.last().copied().unwrap_or_default();
            ensure!(
                last == known as u64,
                "the webhook knows {last} accounts and not {known}"
            );
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the accounts are not listed:\n{}",
            log.join("\n")
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn soak(process: Process, target: &Target, reviews: usize) -> anyhow::Result<Memory> {
    let connections = target.connect(CONNECTIONS).await?;
    let (_open, _) = load::post(connections, reviews)
        .await
        .context("while memory is filled")?;
    process.memory()
}

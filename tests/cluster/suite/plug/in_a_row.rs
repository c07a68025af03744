//! Several seeds, one after the other, each in a namespace and a pool of its own: all are run, whatever becomes of one.

use super::pull;
use crate::case::Case;
use crate::suite::say;
use crate::test::Company;
use anyhow::{Result, ensure};
use std::time::Instant;

/// Runs them and says what became of each. The error names those that failed.
pub(super) async fn run(case: &Case, seeds: &[u64]) -> Result<()> {
    let mut failed = Vec::new();
    for (number, seed) in seeds.iter().enumerate() {
        let begin = Instant::now();
        let result = one(case, number, *seed).await;
        let seconds = begin.elapsed().as_secs();
        match result {
            Ok(()) => say(&format!("plug: seed {seed} ok, {seconds} s")),
            Err(error) => {
                say(&format!("plug: seed {seed} FAILED, {seconds} s\n{error:#}"));
                failed.push(*seed);
            }
        }
    }
    let count = seeds.len();
    say(&format!("plug: {} of {count} seeds went well", count - failed.len()));
    ensure!(
        failed.is_empty(),
        "of {count} seeds these failed, and why is said above: {failed:?}"
    );
    Ok(())
}

async fn one(case: &Case, number: usize, seed: u64) -> Result<()> {
    let case = Case::begin(&case.suite, &format!("plug-{number}-{seed}"))?;
    // In a task of its own: a panic there is a failure like any other.
    let result = match tokio::spawn(pull(case.clone(), seed)).await {
        Ok(result) => result,
        Err(panic) => Err(anyhow::anyhow!("{panic}")),
    };
    let services = case.suite.set_back_services(Company::Alone);
    let result = result.map_err(|error| anyhow::anyhow!("{error:#}\n{}", case.explain()));
    let ended = case.end();
    result.and(services).and(ended)
}

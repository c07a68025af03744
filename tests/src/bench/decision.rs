//! What of a review's time is the decision itself: reading, deciding and writing the patch, in this process.

use std::time::Instant;

use anyhow::{Context as _, bail};
use inject::{ClusterFacts, Context, Decision, Request, ServiceAccount};
use serde_json::Value;
use webhook::config::Config;

use super::report::{median, percentile};
use super::reviews::IMAGE;

/// Batches whose medians' median is taken.
const BATCHES: usize = 5;

/// Seconds to make a value of the body, and seconds to decide and to write the patch.
///
/// # Errors
/// The pod is not injected.
pub fn measure(body: &[u8], number: usize) -> anyhow::Result<(f64, f64)> {
    let settings = Config::read(["ado-agent-webhook", IMAGE].map(str::to_owned), |_| None)?.settings;
    let cluster = ClusterFacts {
        id: "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
        native_sidecars: true,
    };
    let context = Context {
        settings: &settings,
        cluster: &cluster,
    };
    let (mut parsed, mut decided) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        let (mut parse, mut decide) = (Vec::new(), Vec::new());
        for _ in 0..number {
            let started = Instant::now();
            let review: Value = serde_json::from_slice(body)?;
            let read = Instant::now();
            let patch = patch(&review["request"], context)?;
            decide.push(read.elapsed());
            parse.push(read - started);
            std::hint::black_box(patch);
        }
        parse.sort_unstable();
        decide.sort_unstable();
        parsed.push(percentile(&parse, 0.5));
        decided.push(percentile(&decide, 0.5));
    }
    Ok((median(parsed), median(decided)))
}

fn patch(asked: &Value, context: Context<'_>) -> anyhow::Result<Vec<u8>> {
    let request = Request::create_pod(asked["namespace"].as_str().context("a namespace")?);
    let account = ServiceAccount::Found {
        client_id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
        tenant_id: None,
    };
    match inject::decide(&asked["object"], &request, &account, context) {
        Decision::Inject(injection) => Ok(injection.patch),
        Decision::Skip { reason, .. } => bail!("the pod is skipped: {reason}"),
        Decision::Deny(denial) => bail!("the pod is denied: {denial}"),
    }
}

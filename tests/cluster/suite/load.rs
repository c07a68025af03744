//! Admission under load: pods that are never made (dry run), created at a steady rate, and what came of them.

use crate::case::{Case, LIMIT};
use crate::suite::say;
use crate::webhook::injected;
use crate::workload::{pod, template};
use anyhow::{Result, bail, ensure};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

/// Between two pods, as in "one call every 50 ms".
const EVERY: Duration = Duration::from_millis(50);

/// Calls so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Pods that got the sidecar.
    pub(crate) passed: usize,
    /// Those that did not: when they were sent, and what the API server said.
    pub(crate) failures: Vec<(Instant, String)>,
    /// The longest that one took.
    pub(crate) slowest: Duration,
}

/// A load that goes on until it is dropped.
pub(crate) struct Load {
    tally: Arc<Mutex<Tally>>,
    sender: AbortHandle,
}

impl Load {
    /// Starts to create pods in the case's namespace.
    pub(crate) fn start(case: &Case) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let sender = tokio::spawn(send(case.clone(), Arc::clone(&tally))).abort_handle();
        Self { tally, sender }
    }

    /// What came of it so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().expect("nobody panics with the tally").clone()
    }

    /// Waits until so many more have passed.
    pub(crate) async fn pass(&self, case: &Case, more: usize) -> Result<()> {
        let goal = self.tally().passed + more;
        let looked = || async {
            let tally = self.tally();
            match tally.passed >= goal {
                true => Ok(Some(())),
                false => bail!("{tally:?}"),
            }
        };
        case.wait(&format!("{more} more pods admitted"), LIMIT, looked).await
    }

    /// Ends it; an error if one has failed.
    pub(crate) fn end_without_failure(self) -> Result<()> {
        let tally = self.end();
        ensure!(
            tally.failures.is_empty(),
            "{} of {} calls failed: {:#?}",
            tally.failures.len(),
            tally.failures.len() + tally.passed,
            tally.failures.iter().take(5).collect::<Vec<_>>()
        );
        Ok(())
    }

    /// Ends it. Calls on their way are forgotten.
    pub(crate) fn end(self) -> Tally {
        let tally = self.tally();
        say(&format!(
            "admission: {} passed, {} failed, slowest {:?}",
            tally.passed,
            tally.failures.len(),
            tally.slowest
        ));
        tally
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

/// Creates so many pods at the same moment: more than the API server has open connections for, so that it makes new ones.
pub(crate) async fn burst(case: &Case, count: usize) -> Result<()> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let (case, object) = (case.clone(), pod("burst", &template("gen3")));
        calls.spawn(async move { injected(&case, &object).await });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    Ok(())
}

/// Each in a task of its own: a slow one holds up no other. All end with this task.
async fn send(case: Case, tally: Arc<Mutex<Tally>>) {
    let mut object = pod("load", &template("gen3"));
    object["metadata"]["name"].take();
    object["metadata"]["generateName"] = "load-".into();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut calls = JoinSet::new();
    loop {
        ticks.tick().await;
        while calls.try_join_next().is_some() {}
        let (case, object, tally) = (case.clone(), object.clone(), Arc::clone(&tally));
        calls.spawn(async move {
            let begin = Instant::now();
            let result = injected(&case, &object).await;
            let mut tally = tally.lock().expect("nobody panics with the tally");
            tally.slowest = tally.slowest.max(begin.elapsed());
            match result {
                Ok(_) => tally.passed += 1,
                Err(error) => tally.failures.push((begin, format!("{error:#}"))),
            }
        });
    }
}

//! Asks until it is so: look, decide, ask, look again, for a bounded time.

use super::change::Change;
use super::plan::{Verdict, bad};
use super::reason::ProvisionReason;
use super::trouble::Trouble;
use crate::problem::Finding;
use std::time::{Duration, Instant};

/// Whether anything is asked that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything.
    Ask,
    /// Only what reads.
    DryRun,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Settled<S> {
    /// How it stands.
    pub(crate) finding: Finding,
    /// What was asked, or would be, in a dry run.
    pub(crate) asked: Vec<Change>,
    /// Whether it was there before.
    pub(crate) outcome: Outcome,
    /// What was read last.
    pub(crate) seen: S,
}

/// How it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was so before.
    There,
    /// It was asked for and is so now.
    Done,
    /// A dry run would ask for it.
    WouldAsk,
    /// It is not so.
    Failed,
}

impl Outcome {
    /// The word in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Done => "done",
            Self::WouldAsk => "would-ask",
            Self::Failed => "failed",
        }
    }
}

/// How long to wait before looking for the nth time again.
fn pause(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.min(4)).min(Duration::from_secs(15))
}

/// Whether asking once more may help: a role is forgotten where the identity is new.
fn is_repeated(change: &Change) -> bool {
    matches!(change, Change::AssignRole { .. })
}

/// Looks, decides and asks until it is settled, no longer than `limit` after the first request. `progress` is told why it waits.
pub(crate) async fn settle<S>(
    mode: Mode,
    limit: Duration,
    progress: impl Fn(&str),
    look: impl AsyncFn() -> Result<S, Trouble>,
    judge: impl Fn(&S) -> Verdict,
    make: impl AsyncFn(&Change) -> Result<(), Trouble>,
) -> Result<Settled<S>, Finding> {
    let started = Instant::now();
    let mut asked: Vec<Change> = Vec::new();
    let mut attempt = 0;
    loop {
        let (waits_for, hint) = match look().await {
            Err(Trouble::Final(finding)) => return Err(*finding),
            Err(Trouble::Later { sentence, after, .. }) => (sentence, after),
            Ok(seen) => match judge(&seen) {
                Verdict::Stuck(finding) => return Err(finding),
                Verdict::Settled(finding) => {
                    let outcome = if asked.is_empty() {
                        Outcome::There
                    } else {
                        Outcome::Done
                    };
                    return Ok(Settled {
                        finding,
                        asked,
                        outcome,
                        seen,
                    });
                }
                Verdict::Ask(change, what) if mode == Mode::DryRun => {
                    return Ok(Settled {
                        finding: Finding::good(what, "would be asked for"),
                        asked: vec![change],
                        outcome: Outcome::WouldAsk,
                        seen,
                    });
                }
                Verdict::Ask(change, what) => {
                    let mut hint = None;
                    if asked.is_empty() || is_repeated(&change) {
                        match make(&change).await {
                            Ok(()) if asked.is_empty() => {
                                asked.push(change);
                                continue;
                            }
                            Ok(()) => {}
                            Err(Trouble::Final(finding)) => return Err(*finding),
                            Err(Trouble::Later { sentence, after, .. }) => {
                                progress(&sentence);
                                hint = after;
                            }
                        }
                    }
                    (format!("{what}: not there yet"), hint)
                }
            },
        };
        let left = limit.saturating_sub(started.elapsed());
        // The last look is at the very end, but never before the service allows it.
        let pause = hint.unwrap_or_else(|| pause(attempt).min(left));
        attempt += 1;
        if left.is_zero() || pause > left {
            return Err(bad(
                waits_for.clone(),
                ProvisionReason::NotThereYet,
                format!("Waited {} s, and it is still so.", started.elapsed().as_secs()),
                "Run the same command again in some minutes: it goes on where it stopped (--wait says how long it waits).",
            ));
        }
        progress(&format!("{waits_for}; looks again in {} s", pause.as_secs()));
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_quarter_of_a_minute() {
        let seconds: Vec<u64> = (0..7).map(|attempt| pause(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 15, 15, 15]);
    }
}

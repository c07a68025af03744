//! What becomes a Kubernetes Event.

use crate::pods::Happening;
use crate::words::{Remover, SweepOutcome};
use contract::{OutcomeReason, Reason};

/// Longest note, in bytes (Kubernetes: 1 kB).
const NOTE: usize = 1000;

/// Kubernetes' `type` of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

impl NoticeKind {
    /// Kubernetes' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Why an Event is written: Kubernetes' `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeReason {
    /// The pod's agent came into the pool.
    Registered,
    /// The pod is ready.
    Ready,
    /// The sidecar has a problem, and says why.
    Problem(Reason),
    /// The agent is out of the pool.
    Removed,
    /// The agent stayed in the pool after its pod.
    LeftBehind,
}

impl NoticeReason {
    /// The fixed ones, with what they mean, for the reference.
    pub const FIXED: [(Self, NoticeKind, &'static str); 4] = [
        (
            Self::Registered,
            NoticeKind::Normal,
            "The pod's agent came into the pool.",
        ),
        (
            Self::Ready,
            NoticeKind::Normal,
            "The pod is ready: with the gateway, its agent is online.",
        ),
        (
            Self::Removed,
            NoticeKind::Normal,
            "The agent is out of the pool; the note says who removed it: the image, the sidecar or the sweep.",
        ),
        (
            Self::LeftBehind,
            NoticeKind::Warning,
            "The agent stayed in the pool after its pod; the note says why, and whether the sweep will remove it.",
        ),
    ];

    /// The word, in the form of Kubernetes' own: `AgentRemoved`; a problem's is its reason, `PoolMissing`.
    pub fn word(self) -> String {
        match self {
            Self::Registered => "AgentRegistered".to_owned(),
            Self::Ready => "AgentReady".to_owned(),
            Self::Removed => "AgentRemoved".to_owned(),
            Self::LeftBehind => "AgentLeftBehind".to_owned(),
            Self::Problem(reason) => pascal(reason.as_str()),
        }
    }

    /// What was being done: Kubernetes' `action`.
    pub fn action(self) -> &'static str {
        match self {
            Self::Registered => "Register",
            Self::Ready | Self::Problem(_) => "Start",
            Self::Removed | Self::LeftBehind => "Remove",
        }
    }
}

fn pascal(word: &str) -> String {
    let parts = word.split('-').map(|part| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    parts.collect()
}

/// What to tell about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Normal or warning.
    pub kind: NoticeKind,
    /// Why.
    pub reason: NoticeReason,
    /// A sentence for people, of at most 1,000 bytes.
    pub note: String,
}

impl Notice {
    fn new(kind: NoticeKind, reason: NoticeReason, mut note: String) -> Self {
        note.truncate(note.floor_char_boundary(NOTE));
        Self { kind, reason, note }
    }

    /// An agent came into the pool.
    pub fn registered(agent: &str, id: i64, pool: &str) -> Self {
        let note = format!("Agent \"{agent}\" ({id}) is in pool \"{pool}\".");
        Self::new(NoticeKind::Normal, NoticeReason::Registered, note)
    }

    /// The sweep removed an agent, or could not.
    pub fn swept(agent: &str, id: i64, pool: &str, outcome: SweepOutcome) -> Option<Self> {
        let of = format!("agent \"{agent}\" ({id}) of pool \"{pool}\"");
        match outcome {
            SweepOutcome::Removed => Some(Self::new(
                NoticeKind::Normal,
                NoticeReason::Removed,
                format!("The sweep removed {of}: its pod is gone."),
            )),
            SweepOutcome::AlreadyGone => None,
            SweepOutcome::Failed => Some(Self::left(format!(
                "Azure DevOps did not remove {of}; the sweep tries again."
            ))),
        }
    }

    /// An agent was found whose pod is gone.
    pub fn left_behind(agent: &str, id: i64, pool: &str) -> Self {
        Self::left(format!(
            "Agent \"{agent}\" ({id}) stayed in pool \"{pool}\" after its pod. The sweep removes it when it has been offline for long enough."
        ))
    }

    fn left(note: String) -> Self {
        Self::new(NoticeKind::Warning, NoticeReason::LeftBehind, note)
    }

    /// What to tell of what happened to a pod; `None`: nothing.
    pub fn of(happening: &Happening) -> Option<Self> {
        match happening {
            Happening::Ready => Some(Self::new(
                NoticeKind::Normal,
                NoticeReason::Ready,
                "The pod is ready.".to_owned(),
            )),
            Happening::Problem { reason, sentence } => Some(Self::new(
                NoticeKind::Warning,
                NoticeReason::Problem(*reason),
                format!("{reason}: {sentence}"),
            )),
            Happening::Ended { outcome, sentence } => Self::ended(*outcome, sentence),
        }
    }

    fn ended(outcome: OutcomeReason, sentence: &str) -> Option<Self> {
        let note = format!("{outcome}: {sentence}");
        match (outcome, Remover::of(outcome)) {
            (OutcomeReason::Removed | OutcomeReason::AlreadyGone, Some(by)) => Some(Self::new(
                NoticeKind::Normal,
                NoticeReason::Removed,
                format!("By the {}: {note}", by.as_str()),
            )),
            (_, Some(_)) => Some(Self::left(note)),
            (_, None) => None,
        }
    }

    /// Name of the series of this notice about an object: the same for the same object and reason, whoever writes it and
    /// however often it was started, so that there is one series for both.
    pub fn series(&self, name: &str, uid: &str) -> String {
        let hash = fnv1a(format!("{uid}/{}", self.reason.word()).as_bytes());
        // A name has at most 253 characters, and those of pods and workloads are names of this form.
        let name = &name[..name.floor_char_boundary(200)];
        format!("{}.{hash:016x}", name.trim_end_matches(['.', '-']))
    }
}

/// FNV-1a, 64 bits: names have to differ, not to resist anybody.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_series_is_of_one_object_and_reason() {
        let left = Notice::left_behind("agent-0", 7, "linux");
        let name = left.series("agent-0", "u");
        assert_eq!(name, Notice::left("another note".to_owned()).series("agent-0", "u"));
        assert_ne!(name, left.series("agent-0", "v"));
        assert_ne!(name, Notice::registered("agent-0", 7, "linux").series("agent-0", "u"));
        assert!(
            name.starts_with("agent-0.") && name.len() == "agent-0.".len() + 16,
            "{name}"
        );
    }

    #[test]
    fn words_are_unique_and_short_enough() {
        let fixed = NoticeReason::FIXED.iter().map(|(reason, ..)| reason.word());
        let problems = Reason::ALL.iter().map(|reason| NoticeReason::Problem(*reason).word());
        let words: Vec<_> = fixed.chain(problems).collect();
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
        for word in words {
            assert!(
                word.len() <= 128 && word.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{word}"
            );
        }
        assert_eq!(NoticeReason::Problem(Reason::PoolMissing).word(), "PoolMissing");
    }

    #[test]
    fn every_end_is_told_as_what_it_was() {
        for outcome in OutcomeReason::ALL {
            let happening = Happening::Ended {
                outcome: *outcome,
                sentence: "So it was.".to_owned(),
            };
            let reason = Notice::of(&happening).map(|notice| notice.reason);
            let expected = match outcome {
                OutcomeReason::Removed | OutcomeReason::AlreadyGone => Some(NoticeReason::Removed),
                OutcomeReason::Kept | OutcomeReason::NeverSeen => None,
                OutcomeReason::NotOurs
                | OutcomeReason::JobStillAssigned
                | OutcomeReason::LeftUnseen
                | OutcomeReason::LeftUnreachable
                | OutcomeReason::LeftRefused
                | OutcomeReason::LeftUnproven
                | OutcomeReason::LeftWithoutToken => Some(NoticeReason::LeftBehind),
            };
            assert_eq!(reason, expected, "{outcome}");
        }
    }

    #[test]
    fn a_note_fits() {
        let happening = Happening::Problem {
            reason: Reason::AdoRefused,
            sentence: "ä".repeat(1000),
        };
        let note = Notice::of(&happening).expect("a notice").note;
        assert!(note.len() <= NOTE, "{}", note.len());
    }
}

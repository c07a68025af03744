//! Closed words: the values of labels.

use contract::OutcomeReason;

/// Declares enums with a word for each member, and the list of them.
macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $member_doc:literal])+ $member:ident = $word:literal,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $member_doc])+ $member,)+
        }

        impl $name {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$member,)+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$member => $word,)+ }
            }
        }
    )+};
}

words! {
    /// What an agent is doing. OpenTelemetry's words for `cicd.worker.state`, and one of ours.
    WorkerState {
        /// Online, enabled, without a job.
        Available = "available",
        /// A job is assigned to it.
        Busy = "busy",
        /// Online and without a job, but somebody disabled it.
        Disabled = "disabled",
        /// It has no session.
        Offline = "offline",
    }
    /// How far a job is.
    JobState {
        /// It waits for an agent.
        Queued = "queued",
        /// An agent was chosen, and has not taken it yet.
        Assigned = "assigned",
        /// An agent is working on it.
        Running = "running",
    }
    /// How a job ended. OpenTelemetry's words for `cicd.pipeline.task.run.result`.
    JobResult {
        /// `succeeded`, `succeededWithIssues`.
        Success = "success",
        /// `failed`.
        Failure = "failure",
        /// `abandoned`: its agent was lost.
        Error = "error",
        /// `canceled`.
        Cancellation = "cancellation",
        /// `skipped`.
        Skip = "skip",
        /// A word that this version does not know.
        Other = "_OTHER",
    }
    /// Who took an agent out of its pool.
    Remover {
        /// The image's own start script.
        Image = "image",
        /// The sidecar, when the pod ended.
        Sidecar = "sidecar",
        /// The sweep, after the pod had gone.
        Sweep = "sweep",
    }
    /// What became of an agent that the sweep wanted to remove.
    SweepOutcome {
        /// It is gone.
        Removed = "removed",
        /// It was gone already.
        AlreadyGone = "already-gone",
        /// Azure DevOps did not remove it; the sweep tries again.
        Failed = "failed",
    }
    /// Why an agent without a pod is still in the pool.
    OrphanState {
        /// Not offline for long enough, or not seen twice yet.
        Waiting = "waiting",
        /// It will be removed by the next run, or would be if this were no dry run.
        Due = "due",
        /// A job is still assigned to it.
        Assigned = "assigned",
        /// Two clusters have the same ID: nothing of this namespace is removed.
        Clash = "clash",
        /// Not in the ledger: it is reported, and a person decides.
        Unproven = "unproven",
    }
}

impl JobResult {
    /// Reads the result of a job request (`TaskResult`).
    pub fn read(result: &str) -> Self {
        const WORDS: [(&str, JobResult); 6] = [
            ("succeeded", JobResult::Success),
            ("succeededWithIssues", JobResult::Success),
            ("failed", JobResult::Failure),
            ("canceled", JobResult::Cancellation),
            ("skipped", JobResult::Skip),
            ("abandoned", JobResult::Error),
        ];
        let known = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(result));
        known.map_or(Self::Other, |(_, result)| *result)
    }
}

impl Remover {
    /// Who removed the agent of a pod, or tried to, by the outcome that its sidecar reported; `None`: there was nothing to remove.
    pub fn of(outcome: OutcomeReason) -> Option<Self> {
        match outcome {
            OutcomeReason::AlreadyGone => Some(Self::Image),
            OutcomeReason::Removed
            | OutcomeReason::NotOurs
            | OutcomeReason::JobStillAssigned
            | OutcomeReason::LeftUnseen
            | OutcomeReason::LeftUnreachable
            | OutcomeReason::LeftRefused
            | OutcomeReason::LeftUnproven
            | OutcomeReason::LeftWithoutToken => Some(Self::Sidecar),
            OutcomeReason::Kept | OutcomeReason::NeverSeen => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_without_regard_to_case() {
        assert_eq!(JobResult::read("Succeeded"), JobResult::Success);
        assert_eq!(JobResult::read("abandoned"), JobResult::Error);
        assert_eq!(JobResult::read("somethingNew"), JobResult::Other);
    }
}

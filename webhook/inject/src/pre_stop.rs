//! The hook that holds SIGTERM back from the agent container while a job runs.

use crate::kubernetes::{ExecAction, Lifecycle, LifecycleHandler};
use crate::pod::Container;
use crate::text::quote;

/// Whose `preStop` hook the agent container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PreStop {
    /// Ours, since it had none.
    Added,
    /// The user's own.
    Kept,
}

impl PreStop {
    pub(crate) fn find(agent: &Container<'_>) -> Self {
        if agent.has_pre_stop { Self::Kept } else { Self::Added }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Kept => "kept",
        }
    }

    /// What to add to the container.
    pub(crate) fn lifecycle(self) -> Option<Lifecycle> {
        let command = &["sh", "-c", contract::PRE_STOP_SCRIPT, "pre-stop", contract::DRAIN_FILE];
        (self == Self::Added).then_some(Lifecycle {
            pre_stop: LifecycleHandler {
                exec: ExecAction { command },
            },
        })
    }

    pub(crate) fn warning(self, agent: &str) -> Option<String> {
        (self == Self::Kept).then(|| {
            format!(
                "container {} keeps its own preStop hook, so SIGTERM does not wait for a running job; see \
                 \"SIGTERM waits for the job\" in docs/lifecycle.md",
                quote(agent)
            )
        })
    }
}

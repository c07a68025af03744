//! What is checked before the agent may start: by reading only, never by a trial write.
//!
//! The pool is asked for by name first, which also proves that the organisation is reachable and takes the token.

use crate::ownership::{has_our_name, owner};
use crate::sentences::{self, Trouble};
use crate::{Agent, PoolId, Question, Settings, Snapshot};

/// The step that comes once the pool is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preflight {
    /// May we manage the pool?
    Role,
    /// Is the agent's name free, ours, or at least not in use?
    Name,
    /// Everything was checked; the token file may still have to be written.
    Passed,
}

impl Preflight {
    pub(crate) fn question(self, pool: PoolId, settings: &Settings) -> Option<Question> {
        match self {
            Self::Role => Some(Question::MayManage(pool)),
            Self::Name => Some(Question::AgentByName(pool, settings.agent_name.clone())),
            Self::Passed => None,
        }
    }

    pub(crate) fn role(&mut self, may_manage: bool, settings: &Settings) -> Result<(), Trouble> {
        if may_manage {
            *self = Self::Name;
            Ok(())
        } else {
            Err(sentences::role_missing(settings))
        }
    }

    /// A live agent of this name that is not ours blocks; an offline one does not, since start scripts configure with
    /// `--replace`: it is what a pod before us left behind. Returns whether there is such a left-over.
    pub(crate) fn name(&mut self, agents: &[Agent], settings: &Settings, kept: &Snapshot) -> Result<bool, Trouble> {
        let stranger = agents
            .iter()
            .filter(|agent| has_our_name(agent, settings))
            .find(|agent| !owner(agent, settings, kept.started).is_us());
        if stranger.is_some_and(|agent| agent.online) {
            return Err(sentences::name_taken(settings));
        }
        *self = Self::Passed;
        Ok(stranger.is_some())
    }
}

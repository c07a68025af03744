//! What the lookups of the agent have shown.

use super::Removal;
use crate::context::Context;
use crate::search::{Extent, Progress, Step};
use crate::stage::{Deletion, Purpose, Stage};
use azure_protocol::{Agent, AgentId};

impl Removal {
    pub(super) fn name_looked_up(&mut self, ours: Option<Agent>, context: &mut Context) {
        if context.gateway.is_some() {
            return self.registered_looked_up(ours, context);
        }
        let is_repeated = match &mut self.stage {
            Stage::Idle(idle) if ours.is_none() => return idle.found_nothing(self.search.naming, context),
            Stage::Search { purpose, .. } => *purpose != Purpose::First,
            Stage::Idle(_) | Stage::Disable(_) | Stage::Delete(_) | Stage::Watch { .. } => false,
        };
        if ours.is_none() && is_repeated {
            return self.not_found(Extent::Whole, context);
        }
        let progress = self.search.after_name(ours, context);
        self.advance(progress, context);
    }

    pub(super) fn pool_listed(&mut self, step: Option<Step>, context: &mut Context) {
        let purpose = match (&mut self.stage, &step) {
            (Stage::Idle(idle), None) => return idle.found_nothing(self.search.naming, context),
            (Stage::Idle(idle), Some(_)) => Purpose::Recheck(idle.outcome.clone()),
            (_, None) => return self.not_found(Extent::Whole, context),
            (stage, Some(_)) => stage.take_purpose(),
        };
        if let Some(step) = step {
            self.stage = Stage::Search { step, purpose };
        }
    }

    /// One agent was asked for by its ID; `None`: it was answered with 404.
    pub(super) fn fetched(&mut self, id: AgentId, agent: Option<Agent>, context: &mut Context) {
        if let Stage::Search { step, .. } = &self.stage {
            let progress = self.search.fetched(step.clone(), id, agent, context);
            return self.advance(progress, context);
        }
        match agent {
            Some(agent) if context.is_ours(&agent) => self.found(agent, context),
            Some(agent) => {
                self.search.lost(agent);
                self.not_found(Extent::Whole, context);
            }
            None => self.missing(context),
        }
    }

    pub(super) fn advance(&mut self, progress: Progress, context: &mut Context) {
        match progress {
            Progress::Found(agent) => self.found(agent, context),
            Progress::NotFound(extent) => self.not_found(extent, context),
            Progress::Next(step) => self.go_on(step),
            // It may have registered again since, under a name of the image's own.
            Progress::PinnedGone
                if self.sigterm.is_none()
                    && self.deletion == Deletion::NotSent
                    && self.search.sees_the_pool(context.now) =>
            {
                self.go_on(Step::List);
            }
            Progress::PinnedGone => self.missing(context),
        }
    }
}

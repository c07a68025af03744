//! The removal of an agent that registered through the gateway. The sidecar saw which agent that is, and nothing registers while
//! it is removed, so nothing has to be searched, proven or verified; the gateway reports sessions and jobs.

use super::Removal;
use crate::context::Context;
use crate::gateway::Gateway;
use crate::idle::LONG_PAUSE;
use crate::registration::{Registration, Remover};
use crate::search::Step;
use crate::stage::{Deletion, Purpose, Stage};
use crate::target::Target;
use crate::{Outcome, Time, sentences};
use azure_protocol::Agent;
use contract::OutcomeReason;
use std::time::Duration;

/// The longest pause between two checks of a busy agent while the pod terminates: newer listeners do not report the end of a job, and
/// dead ones never do.
const WATCH: Duration = Duration::from_secs(30);
/// The same just after its job ended, and the shortest one towards the end of the grace period.
const WATCH_CLOSELY: Duration = Duration::from_secs(2);
/// The same where a lock should have run out, and did not.
const LOCK_LASTS: Duration = Duration::from_secs(60);

impl Removal {
    /// Begins with what is known of the registration.
    pub(super) fn begin_registered(&mut self, context: &mut Context) {
        match context.snapshot.registration.clone() {
            Some(Registration::Known(registered)) => {
                let gateway = context.gateway.as_ref();
                let target = Target {
                    enabled: context.snapshot.disabled != Some(registered.id),
                    online: registered.is_online,
                    busy: gateway.is_some_and(Gateway::is_busy),
                    id: registered.id,
                    name: registered.name,
                    proven: context.now,
                };
                // Azure DevOps refuses to remove an agent that has a job, so an idle one is removed without another request
                // before. A busy one is fetched first, since one that a person disabled was not disabled by us.
                self.stage = match (context.is_terminating(), target.busy) {
                    (_, false) => Stage::Delete(target),
                    (true, true) => Stage::Watch {
                        target,
                        at: context.now,
                    },
                    (false, true) => Stage::Disable(target),
                };
            }
            Some(Registration::Begun { .. }) => {
                self.stage = Stage::Search {
                    step: Step::ByName,
                    purpose: Purpose::First,
                };
            }
            Some(Registration::Gone { name, by, .. }) => {
                let outcome = match by {
                    Remover::Sidecar => Deletion::Sent.outcome(Some(&name), &context.settings),
                    Remover::Another => Deletion::NotSent.outcome(Some(&name), &context.settings),
                };
                self.idle(outcome, LONG_PAUSE, context);
            }
            None => self.idle_unregistered(context),
        }
    }

    /// Disable it while it is busy, and wait; else remove it. Whether it listens does not matter: to one that begins to listen when
    /// it is gone, the gateway says so.
    pub(super) fn next_registered(&mut self, target: Target, context: &mut Context) {
        self.stage = if !target.busy {
            Stage::Delete(target)
        } else if target.enabled && !self.disable_refused {
            Stage::Disable(target)
        } else {
            let at = next_check(context);
            Stage::Watch { target, at }
        };
    }

    /// The removal was refused, since a job is assigned.
    pub(super) fn found_busy(&mut self, context: &mut Context) {
        let Some(mut target) = self.stage.target().cloned() else {
            return;
        };
        target.busy = true;
        self.refused = Some(context.now);
        if context.is_terminating() && target.enabled {
            self.stage = Stage::Watch {
                target,
                at: context.now,
            };
        } else {
            self.next(target, context);
        }
    }

    fn idle_unregistered(&mut self, context: &mut Context) {
        let sentence = sentences::never_registered(&context.settings);
        self.idle(
            Outcome::verified(OutcomeReason::NeverSeen, sentence),
            LONG_PAUSE,
            context,
        );
    }

    /// The registration, or what is known of it, has changed.
    pub(crate) fn registration_changed(&mut self, context: &mut Context) {
        self.deletion = Deletion::NotSent;
        self.begin_registered(context);
    }

    /// A job runs.
    pub(crate) fn job_runs(&mut self) {
        if let Some(target) = self.stage.target_mut() {
            target.busy = true;
        }
    }

    /// The job ended. Returns whether that is acted on: a job can fake its end, and the removal may have been refused just now.
    pub(crate) fn job_ended(&mut self, context: &mut Context) -> bool {
        let is_busy = self.stage.target().is_some_and(|target| target.busy);
        let was_refused = self
            .refused
            .is_some_and(|refused| context.now.since(refused) < WATCH_CLOSELY);
        let acts = is_busy && !was_refused;
        if acts {
            self.update_target(|target| target.busy = false, context);
        }
        acts
    }

    /// Whether the next request waits for an event of the gateway.
    pub(super) fn waits_for_the_gateway(&self, context: &Context) -> bool {
        let is_in_flight = |gateway: &Gateway| gateway.admissions.is_in_flight();
        match self.stage {
            Stage::Idle(_) => context.gateway.is_some() && !is_in_doubt(context),
            Stage::Search { .. } => context.gateway.as_ref().is_some_and(is_in_flight),
            Stage::Disable(_) | Stage::Delete(_) | Stage::Watch { .. } => false,
        }
    }

    /// Whether the agent is being removed, no matter what it does.
    pub(crate) fn is_removing(&self) -> bool {
        match &self.stage {
            Stage::Disable(target) | Stage::Delete(target) => !target.busy,
            Stage::Search { .. } | Stage::Watch { .. } | Stage::Idle(_) => false,
        }
    }

    /// The agent was looked up by the name of its registration.
    pub(super) fn registered_looked_up(&mut self, ours: Option<Agent>, context: &mut Context) {
        let doubtful = self.search.take_foreign().filter(|agent| context.is_doubtful(agent));
        match (ours, doubtful) {
            (Some(agent), _) => self.found(agent, context),
            (None, _) if context.registered().is_some() => self.gone(context),
            (None, Some(agent)) => {
                let sentence = sentences::changed_before_answered(&agent, &context.settings);
                let outcome = Outcome::verified(OutcomeReason::LeftUnproven, sentence);
                self.idle(outcome, LONG_PAUSE, context);
            }
            (None, None) => {
                context.snapshot.registration = None;
                self.idle_unregistered(context);
            }
        }
    }
}

/// Whether an agent may be this pod's without proof: it may disappear, or be proven later.
fn is_in_doubt(context: &Context) -> bool {
    match context.snapshot.registration {
        Some(Registration::Begun { .. }) => true,
        Some(Registration::Known(_) | Registration::Gone { .. }) | None => false,
    }
}

/// When to check a busy agent.
fn next_check(context: &mut Context) -> Time {
    let now = context.now;
    let has_just_ended = |gateway: &Gateway| gateway.has_just_ended(now);
    let pause = if context.gateway.as_ref().is_some_and(has_just_ended) {
        WATCH_CLOSELY
    } else if context.is_terminating() {
        context.grace().pause(now, WATCH_CLOSELY, WATCH)
    } else {
        // A running listener reports the end of its job.
        let runs_out = context.gateway.as_ref().map(|gateway| gateway.lock_runs_out(now));
        return runs_out.unwrap_or(now).max(now.plus(LOCK_LASTS));
    };
    now.plus(context.jitter.around(pause, 20))
}

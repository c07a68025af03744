//! The stages of a removal, each with its own data.

use crate::calls::{Charge, Use};
use crate::context::Context;
use crate::idle::{Idle, Lookup};
use crate::registration::Remover;
use crate::search::{FETCHES, LAST_FETCHES, Search, Step};
use crate::target::Target;
use crate::{Outcome, Settings, Time, sentences};
use azure_protocol::{AdoRequest, Availability, PoolId};
use contract::OutcomeReason;
use std::time::Duration;

/// How old the proof of ownership may be when we act on it.
pub(crate) const PROOF: Duration = Duration::from_secs(30);
/// Why the agent is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Nothing is known of it, or it may be another one by now.
    First,
    /// Nothing was left to do before SIGTERM, but the list has agents that were not examined yet.
    Recheck(Outcome),
    /// The last lookup, after SIGTERM: the agent may have registered again.
    Verify(Outcome),
}

/// Where a removal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The agent is searched for.
    Search { step: Step, purpose: Purpose },
    /// It is disabled.
    Disable(Target),
    /// It is removed.
    Delete(Target),
    /// It is checked again, at that time.
    Watch { target: Target, at: Time },
    /// Nothing is left to do, except to keep checking.
    Idle(Idle),
}

/// What became of the request to remove the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    NotSent,
    Sent,
    /// It was in flight when SIGTERM came, so the agent may have registered again after it.
    Overtaken,
}

impl Deletion {
    /// SIGTERM came before the agent was gone.
    pub(crate) fn overtake(&mut self) {
        if *self == Self::Sent {
            *self = Self::Overtaken;
        }
    }

    /// Who removed the agent that is gone.
    pub(crate) fn remover(self) -> Remover {
        match self {
            Self::NotSent => Remover::Another,
            Self::Sent | Self::Overtaken => Remover::Sidecar,
        }
    }

    /// What it means that the agent, by this name where it was found, is gone.
    pub(crate) fn outcome(self, name: Option<&str>, settings: &Settings) -> Outcome {
        match self {
            Self::NotSent => Outcome::verified(OutcomeReason::AlreadyGone, sentences::already_gone(settings)),
            Self::Sent | Self::Overtaken => {
                let name = name.unwrap_or(&settings.agent_name);
                Outcome::verified(OutcomeReason::Removed, sentences::removed(name, settings))
            }
        }
    }
}

impl Stage {
    /// The request, and when, if it is sent no earlier than `earliest`. Without a pool its name is looked up first.
    pub(crate) fn request(
        &self,
        search: &Search,
        pool: Option<PoolId>,
        context: &Context,
        earliest: Time,
    ) -> Option<(Time, AdoRequest)> {
        let at = match self {
            Self::Watch { at, .. } | Self::Idle(Idle { again: at, .. }) => (*at).max(earliest),
            Self::Search { .. } | Self::Disable(_) | Self::Delete(_) => earliest,
        };
        let Some(pool) = pool else {
            return Some((at, AdoRequest::PoolByName(context.settings.pool.clone())));
        };
        let request = match self {
            Self::Search { step, purpose } => {
                let most = match purpose {
                    Purpose::First | Purpose::Recheck(_) => FETCHES,
                    Purpose::Verify(_) => LAST_FETCHES,
                };
                search.request(step, pool, context, most)?
            }
            Self::Idle(idle) => {
                let step = match idle.lookup {
                    Lookup::Name => Step::ByName,
                    Lookup::List => Step::List,
                };
                search.request(&step, pool, context, FETCHES)?
            }
            // What registered through the gateway needs no proof.
            Self::Disable(target) | Self::Delete(target)
                if context.gateway.is_none() && at.since(target.proven) > PROOF =>
            {
                AdoRequest::Agent(pool, target.id)
            }
            Self::Disable(target) => AdoRequest::SetAvailability(pool, target.id, Availability::Disabled),
            Self::Delete(target) => AdoRequest::Delete(pool, target.id),
            Self::Watch { target, .. } => AdoRequest::Agent(pool, target.id),
        };
        Some((at, request))
    }

    /// Whether a response to this request is relevant in this stage: one that was sent before the pod began to terminate may not
    /// be.
    pub(crate) fn expects(&self, request: &AdoRequest) -> bool {
        match request {
            AdoRequest::AgentByName(..) | AdoRequest::Agents(..) => match self {
                Self::Search { .. } | Self::Idle(_) => true,
                Self::Disable(_) | Self::Delete(_) | Self::Watch { .. } => false,
            },
            AdoRequest::Agent(_, id)
            | AdoRequest::SetAvailability(_, id, Availability::Disabled)
            | AdoRequest::Delete(_, id) => match self {
                Self::Search { step, .. } => match step {
                    Step::Pinned { id: pinned, .. } => pinned == id,
                    Step::Fetch { candidates, .. } => candidates.contains(id),
                    Step::ByName | Step::List => false,
                },
                Self::Disable(target) | Self::Delete(target) | Self::Watch { target, .. } => target.id == *id,
                Self::Idle(_) => false,
            },
            AdoRequest::Tenant
            | AdoRequest::PoolByName(_)
            | AdoRequest::MayManage(_)
            | AdoRequest::SetAvailability(_, _, Availability::Enabled) => false,
        }
    }

    /// Whether only a running job, or an agent container that does not end, causes the next request.
    pub(crate) fn charge(&self) -> Charge {
        match self {
            Self::Watch { target, .. } if target.busy || !target.online => Charge::Free,
            Self::Idle(_)
            | Self::Search {
                purpose: Purpose::Recheck(_),
                ..
            } => Charge::Free,
            Self::Watch { .. } | Self::Search { .. } | Self::Disable(_) | Self::Delete(_) => Charge::Budget,
        }
    }

    /// Whether the response to this open request is still of use after SIGTERM.
    pub(crate) fn usefulness(&self, request: &AdoRequest) -> Use {
        match request {
            AdoRequest::Delete(..) => Use::Awaited,
            AdoRequest::AgentByName(..)
            | AdoRequest::Agents(..)
            | AdoRequest::Agent(..)
            | AdoRequest::Tenant
            | AdoRequest::PoolByName(_) => match self.target() {
                None => Use::Awaited,
                Some(_) => Use::Superseded,
            },
            AdoRequest::MayManage(_) | AdoRequest::SetAvailability(..) => Use::Superseded,
        }
    }

    /// The purpose of the search that is under way.
    pub(crate) fn take_purpose(&mut self) -> Purpose {
        match self {
            Self::Search { purpose, .. } => std::mem::replace(purpose, Purpose::First),
            Self::Disable(_) | Self::Delete(_) | Self::Watch { .. } | Self::Idle(_) => Purpose::First,
        }
    }

    /// The agent that was found.
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Disable(target) | Self::Delete(target) | Self::Watch { target, .. } => Some(target),
            Self::Search { .. } | Self::Idle(_) => None,
        }
    }

    pub(crate) fn target_mut(&mut self) -> Option<&mut Target> {
        match self {
            Self::Disable(target) | Self::Delete(target) | Self::Watch { target, .. } => Some(target),
            Self::Search { .. } | Self::Idle(_) => None,
        }
    }

    /// The outcome, once nothing is left to do.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Idle(Idle { outcome, .. })
            | Self::Search {
                purpose: Purpose::Recheck(outcome),
                ..
            } => Some(outcome),
            Self::Search { .. } | Self::Disable(_) | Self::Delete(_) | Self::Watch { .. } => None,
        }
    }

    /// The outcome before the last lookup, if that lookup is not finished.
    pub(crate) fn unverified(&self) -> Option<Outcome> {
        match self {
            Self::Search {
                purpose: Purpose::Verify(outcome),
                ..
            } => Some(Outcome {
                reason: outcome.reason,
                sentence: sentences::unverified(&outcome.sentence),
                is_verified: false,
            }),
            Self::Search { .. } | Self::Disable(_) | Self::Delete(_) | Self::Watch { .. } | Self::Idle(_) => None,
        }
    }
}

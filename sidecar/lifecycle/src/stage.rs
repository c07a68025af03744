//! The stages of a removal, each with its own data.

use crate::calls::{Charge, Use};
use crate::context::Context;
use crate::rest::{Look, Rest};
use crate::search::{FETCHES, LAST_FETCHES, Search, Step};
use crate::target::Target;
use crate::{Outcome, Settings, Time, sentences};
use azure_protocol::{AdoRequest, Availability, PoolId};
use contract::OutcomeReason;
use std::time::Duration;

/// How old the proof of ownership may be when we act on it.
pub(crate) const PROOF: Duration = Duration::from_secs(30);
/// Why the agent is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Nothing is known of it, or it may be another one by now.
    First,
    /// Nothing was left to do before SIGTERM, but the list has agents that were not looked at yet.
    LookingOn(Outcome),
    /// The last look, after SIGTERM: the agent may have registered again.
    Verify(Outcome),
}

/// Where a removal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The agent is searched.
    Search { step: Step, purpose: Purpose },
    /// It is taken out of service.
    Disable(Target),
    /// It is removed.
    Delete(Target),
    /// It is looked at again, at that time.
    Watch { target: Target, at: Time },
    /// Nothing is left to do, except to look on.
    Rest(Rest),
}

/// What became of the request to remove the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    NotSent,
    Sent,
    /// It was on its way when SIGTERM came, so the agent may have registered again behind it.
    Overtaken,
}

impl Deletion {
    /// SIGTERM came before the agent was gone.
    pub(crate) fn overtake(&mut self) {
        if *self == Self::Sent {
            *self = Self::Overtaken;
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
            Self::Watch { at, .. } | Self::Rest(Rest { again: at, .. }) => (*at).max(earliest),
            Self::Search { .. } | Self::Disable(_) | Self::Delete(_) => earliest,
        };
        let Some(pool) = pool else {
            return Some((at, AdoRequest::PoolByName(context.settings.pool.clone())));
        };
        let request = match self {
            Self::Search { step, purpose } => {
                let most = match purpose {
                    Purpose::First | Purpose::LookingOn(_) => FETCHES,
                    Purpose::Verify(_) => LAST_FETCHES,
                };
                search.request(step, pool, context, most)?
            }
            Self::Rest(rest) => {
                let step = match rest.look {
                    Look::Name => Step::ByName,
                    Look::List => Step::List,
                };
                search.request(&step, pool, context, FETCHES)?
            }
            Self::Disable(target) | Self::Delete(target) if at.since(target.proven) > PROOF => {
                AdoRequest::Agent(pool, target.id)
            }
            Self::Disable(target) => AdoRequest::SetAvailability(pool, target.id, Availability::Disabled),
            Self::Delete(target) => AdoRequest::Delete(pool, target.id),
            Self::Watch { target, .. } => AdoRequest::Agent(pool, target.id),
        };
        Some((at, request))
    }

    /// Whether a response to this request says something about where we stand: one that was sent before the pod began to
    /// terminate may not.
    pub(crate) fn expects(&self, request: &AdoRequest) -> bool {
        match request {
            AdoRequest::AgentByName(..) | AdoRequest::Agents(..) => match self {
                Self::Search { .. } | Self::Rest(_) => true,
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
                Self::Rest(_) => false,
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
            Self::Rest(_)
            | Self::Search {
                purpose: Purpose::LookingOn(_),
                ..
            } => Charge::Free,
            Self::Watch { .. } | Self::Search { .. } | Self::Disable(_) | Self::Delete(_) => Charge::Budget,
        }
    }

    /// Whether SIGTERM leaves the response to this open request of use.
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
            Self::Disable(_) | Self::Delete(_) | Self::Watch { .. } | Self::Rest(_) => Purpose::First,
        }
    }

    /// The agent that was found.
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Disable(target) | Self::Delete(target) | Self::Watch { target, .. } => Some(target),
            Self::Search { .. } | Self::Rest(_) => None,
        }
    }

    /// How it ended, once nothing is left to do.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Rest(Rest { outcome, .. })
            | Self::Search {
                purpose: Purpose::LookingOn(outcome),
                ..
            } => Some(outcome),
            Self::Search { .. } | Self::Disable(_) | Self::Delete(_) | Self::Watch { .. } => None,
        }
    }

    /// How it ended before the last look, if that look is not finished.
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
            Self::Search { .. } | Self::Disable(_) | Self::Delete(_) | Self::Watch { .. } | Self::Rest(_) => None,
        }
    }
}

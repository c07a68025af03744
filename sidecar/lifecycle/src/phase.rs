//! Where the sidecar stands; see the diagram in the crate's documentation.

use crate::calls::{Calls, Charge, Open};
use crate::context::Context;
use crate::deadline::{Deadline, TIMEOUT};
use crate::preflight::Preflight;
use crate::removal::Removal;
use crate::sentences::{self, Problem};
use crate::serving::{Registration, Serving};
use crate::{Outcome, Refusal, Time};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse};
use contract::{Drain, OutcomeReason};
use std::time::Duration;

/// How long a response may take during the first checks: a failure has to be said within five seconds.
const CHECK_TIMEOUT: Duration = Duration::from_millis(4500);

/// Where the sidecar stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The pod's settings can never work: nothing is asked for.
    Refused(Refusal),
    /// The first token, the first delivery and the checks; the agent may not start yet.
    Starting(Preflight),
    /// The agent may run; the token is kept fresh.
    Serving(Serving),
    /// The pod terminates: the agent is removed.
    Draining(Box<Removal>),
    /// The pod terminates, and there is nothing to remove: the agent was never allowed to start, or it is to stay.
    NothingToRemove(Outcome),
    /// The process exits; nothing comes after this.
    Ended(Outcome),
}

impl Phase {
    /// The pod begins to terminate, and its agent was allowed to start.
    pub(crate) fn draining(registration: Registration, context: &Context) -> Self {
        if context.settings.placeholder {
            Self::NothingToRemove(Outcome::verified(
                OutcomeReason::Kept,
                sentences::kept(&context.settings),
            ))
        } else {
            Self::Draining(Box::new(Removal::new(registration, context)))
        }
    }

    /// The pod begins to terminate, and its agent was never allowed to start; `why` where it is known.
    pub(crate) fn never_started(why: &str) -> Self {
        Self::NothingToRemove(Outcome::verified(
            OutcomeReason::NeverSeen,
            sentences::never_started(why),
        ))
    }

    /// What the agent container's hook is to read now.
    pub(crate) fn drain(&self, context: &Context) -> Drain {
        match self {
            Self::Starting(_) | Self::Serving(_) => Drain::Serving,
            Self::Refused(_) if context.snapshot.draining_since.is_none() => Drain::Serving,
            Self::Draining(removal) if removal.stage.outcome().is_none() => Drain::Draining {
                beat: context.now.0.as_secs(),
            },
            Self::Refused(_) | Self::Draining(_) | Self::NothingToRemove(_) | Self::Ended(_) => Drain::Drained,
        }
    }

    /// By when the process has to have exited; `None` before SIGTERM.
    pub(crate) fn deadline(&self) -> Option<&Deadline> {
        match self {
            Self::Draining(removal) => removal.deadline(),
            Self::Refused(_) | Self::Starting(_) | Self::Serving(_) | Self::NothingToRemove(_) | Self::Ended(_) => None,
        }
    }

    /// Whether tokens are asked for.
    pub(crate) fn needs_token(&self) -> bool {
        match self {
            Self::Starting(_) | Self::Serving(_) | Self::Draining(_) | Self::NothingToRemove(_) => true,
            Self::Refused(_) | Self::Ended(_) => false,
        }
    }

    /// Whether the tenant has to be found out, where none is configured.
    pub(crate) fn needs_tenant(&self) -> bool {
        match self {
            Self::Starting(_) | Self::Serving(_) => true,
            Self::Draining(removal) => removal.stage.outcome().is_none(),
            Self::Refused(_) | Self::NothingToRemove(_) | Self::Ended(_) => false,
        }
    }

    /// The next request, and when, if it is sent no earlier than `earliest`; `spare` is what the budget has left.
    pub(crate) fn request(&self, context: &Context, spare: u32, earliest: Time) -> Option<(Time, AdoRequest)> {
        match self {
            Self::Starting(preflight) => {
                let request = match context.snapshot.pool {
                    None => AdoRequest::PoolByName(context.settings.pool.clone()),
                    Some(pool) => preflight.request(pool, &context.settings)?,
                };
                Some((earliest, request))
            }
            Self::Serving(serving) => {
                let (at, request) = serving.request(context, spare)?;
                Some((at.max(earliest), request))
            }
            Self::Draining(removal) => removal.request(context, earliest),
            Self::Refused(_) | Self::NothingToRemove(_) | Self::Ended(_) => None,
        }
    }

    /// How long the response to a request of this time may take; `None`: it is too late for one.
    pub(crate) fn timeout(&self, sent: Time, context: &Context) -> Option<Duration> {
        match self {
            Self::Starting(_) if context.snapshot.ado_failures == 0 => Some(CHECK_TIMEOUT),
            Self::Draining(removal) => removal
                .deadline()
                .map_or(Some(TIMEOUT), |deadline| deadline.timeout(sent)),
            Self::Refused(_) | Self::Starting(_) | Self::Serving(_) | Self::NothingToRemove(_) | Self::Ended(_) => {
                Some(TIMEOUT)
            }
        }
    }

    /// Whether the next request counts against the budget.
    pub(crate) fn charge(&self) -> Charge {
        match self {
            Self::Draining(removal) => removal.stage.charge(),
            Self::Refused(_) | Self::Starting(_) | Self::Serving(_) | Self::NothingToRemove(_) | Self::Ended(_) => {
                Charge::Budget
            }
        }
    }

    /// Takes the response to a request. `Err`: something is wrong, and the next request has to wait.
    pub(crate) fn receive(
        &mut self,
        open: &Open,
        result: Result<AdoResponse, AdoError>,
        calls: &mut Calls,
        context: &mut Context,
    ) -> Result<(), Problem> {
        let request = &open.request;
        match (request, result) {
            (AdoRequest::Tenant, Ok(AdoResponse::Tenant(Some(tenant)))) => {
                context.snapshot.tenant = Some(tenant);
                Ok(())
            }
            (AdoRequest::Tenant, Ok(AdoResponse::Tenant(None))) => Err(sentences::no_tenant(&context.settings).into()),
            (AdoRequest::PoolByName(_), Ok(AdoResponse::Pool(Some(pool)))) => {
                context.snapshot.pool = Some(pool);
                Ok(())
            }
            (AdoRequest::PoolByName(_), Ok(AdoResponse::Pool(None))) => Err(Problem {
                kind: Some(AdoErrorKind::NotFound),
                trouble: sentences::pool_missing(&context.settings),
            }),
            (AdoRequest::Tenant | AdoRequest::PoolByName(_), Ok(_)) => {
                Err(context.problem(request, sentences::unexpected_response()))
            }
            (AdoRequest::Tenant | AdoRequest::PoolByName(_), Err(error)) => Err(context.problem(request, error)),
            (_, result) => match self {
                Self::Starting(preflight) => preflight.receive(request, result, context),
                Self::Serving(serving) => serving.receive(request, result, calls, context),
                Self::Draining(removal) => removal
                    .receive(open, result, context)
                    .map_err(|error| context.problem(request, error)),
                Self::Refused(_) | Self::NothingToRemove(_) | Self::Ended(_) => Ok(()),
            },
        }
    }
}

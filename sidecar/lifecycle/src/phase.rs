//! Where the sidecar stands; see the diagram in the crate's documentation.

use crate::calls::{Calls, Charge, Open};
use crate::context::Context;
use crate::deadline::{Deadline, TIMEOUT};
use crate::preflight::Preflight;
use crate::removal::Removal;
use crate::sentences::{self, Problem};
use crate::serving::{Serving, Sighting};
use crate::{Outcome, Time};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse};
use contract::{Drain, OutcomeReason};
use std::time::Duration;

/// How long a response may take during the first checks: a failure has to be reported within five seconds.
const CHECK_TIMEOUT: Duration = Duration::from_millis(4500);

/// Where the sidecar stands.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// The first token, the first delivery and the checks; the agent may not start yet.
    Starting(Preflight),
    /// The agent may run; the token is kept fresh.
    Serving(Serving),
    /// The agent is removed: the pod terminates, or with the gateway the agent has had its one job.
    Removing(Box<Removal>),
    /// The pod terminates, and there is nothing to remove: the agent was never allowed to start, or it is to stay.
    NothingToRemove(Outcome),
    /// The process exits; nothing comes after this.
    Ended(Outcome),
}

impl Phase {
    /// The pod begins to terminate, and its agent was allowed to start.
    pub(crate) fn removing(sighting: Sighting, context: &mut Context) -> Self {
        if context.settings.placeholder && context.is_terminating() {
            Self::NothingToRemove(Outcome::verified(
                OutcomeReason::Kept,
                sentences::kept(&context.settings),
            ))
        } else {
            Self::Removing(Box::new(Removal::new(sighting, context)))
        }
    }

    /// The pod begins to terminate, and its agent was never allowed to start; `why` where it is known.
    pub(crate) fn never_started(why: &str) -> Self {
        Self::NothingToRemove(Outcome::never_started(why))
    }

    /// What the agent container's hook should read now.
    pub(crate) fn drain(&self, context: &Context) -> Drain {
        match self {
            Self::Starting(_) | Self::Serving(_) => Drain::Serving,
            Self::Removing(_) if !context.is_terminating() => Drain::Serving,
            Self::Removing(removal) if removal.stage.outcome().is_none() => Drain::Draining {
                heartbeat: context.now.0.as_secs(),
            },
            Self::Removing(_) | Self::NothingToRemove(_) | Self::Ended(_) => Drain::Drained,
        }
    }

    /// By when the process has to have exited; `None` before SIGTERM.
    pub(crate) fn deadline(&self) -> Option<&Deadline> {
        match self {
            Self::Removing(removal) => removal.deadline(),
            Self::Starting(_) | Self::Serving(_) | Self::NothingToRemove(_) | Self::Ended(_) => None,
        }
    }

    /// Whether tokens are requested.
    pub(crate) fn needs_token(&self) -> bool {
        match self {
            Self::Starting(_) | Self::Serving(_) | Self::Removing(_) | Self::NothingToRemove(_) => true,
            Self::Ended(_) => false,
        }
    }

    /// Whether the tenant has to be discovered, where none is configured.
    pub(crate) fn needs_tenant(&self) -> bool {
        match self {
            Self::Starting(_) | Self::Serving(_) => true,
            Self::Removing(removal) => removal.stage.outcome().is_none(),
            Self::NothingToRemove(_) | Self::Ended(_) => false,
        }
    }

    /// The next request, and when, if it is sent no earlier than `earliest`; `budget_left` is how many requests the budget has left.
    pub(crate) fn request(&self, context: &Context, budget_left: u32, earliest: Time) -> Option<(Time, AdoRequest)> {
        match self {
            Self::Starting(preflight) => {
                let request = match context.snapshot.pool {
                    None => AdoRequest::PoolByName(context.settings.pool.clone()),
                    Some(pool) => preflight.request(pool, &context.settings)?,
                };
                Some((earliest, request))
            }
            Self::Serving(serving) => {
                let (at, request) = serving.request(context, budget_left)?;
                Some((at.max(earliest), request))
            }
            Self::Removing(removal) => removal.request(context, earliest),
            Self::NothingToRemove(_) | Self::Ended(_) => None,
        }
    }

    /// How long the response to a request of this time may take; `None`: it is too late for one.
    pub(crate) fn timeout(&self, sent: Time, context: &Context) -> Option<Duration> {
        match self {
            Self::Starting(_) if context.snapshot.ado_failures == 0 => Some(CHECK_TIMEOUT),
            Self::Removing(removal) => removal
                .deadline()
                .map_or(Some(TIMEOUT), |deadline| deadline.timeout(sent)),
            Self::Starting(_) | Self::Serving(_) | Self::NothingToRemove(_) | Self::Ended(_) => Some(TIMEOUT),
        }
    }

    /// Whether the next request counts against the budget.
    pub(crate) fn charge(&self) -> Charge {
        match self {
            Self::Removing(removal) => removal.stage.charge(),
            Self::Starting(_) | Self::Serving(_) | Self::NothingToRemove(_) | Self::Ended(_) => Charge::Budget,
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
                Self::Removing(removal) => removal
                    .receive(open, result, context)
                    .map_err(|error| context.problem(request, error)),
                Self::NothingToRemove(_) | Self::Ended(_) => Ok(()),
            },
        }
    }
}

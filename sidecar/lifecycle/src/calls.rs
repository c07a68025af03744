//! The one open request to Azure DevOps, the last failure, and the pause before the next request.

use crate::backoff::{self, MAX_RETRY_AFTER};
use crate::context::Context;
use crate::deadline::IN_FLIGHT;
use crate::sentences::Problem;
use crate::{Snapshot, Time, TokenId};
use azure_protocol::{AdoErrorKind, AdoRequest};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

/// How many requests a pod may send from start to end, apart from those that a running job causes. Hundreds of pods share
/// the rate limit of one identity, so a request that is merely useful is only sent within this budget.
const BUDGET: u32 = 10;

/// Whether a request counts against the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    Budget,
    /// Only a running job, or an agent container that does not end, causes it.
    Free,
}

/// Whether the response to an open request is still of use when SIGTERM comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Awaited,
    Superseded,
}

/// A request that was sent and has no response yet.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    number: u64,
    pub(crate) request: AdoRequest,
    pub(crate) token: Option<TokenId>,
    pub(crate) sent: Time,
    /// When to stop waiting for the response; only after SIGTERM.
    give_up: Option<Time>,
}

/// What we know of our requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    open: Option<Open>,
    last_number: u64,
    /// How many were charged to the budget.
    charged: u32,
    /// What kind of request failed the last time: only its success resets the backoff, not that of another kind in between.
    failing: Option<Discriminant<AdoRequest>>,
    last_problem: Option<Problem>,
}

impl Calls {
    /// Opens a request; returns its number.
    pub(crate) fn send(&mut self, request: AdoRequest, token: Option<TokenId>, charge: Charge, now: Time) -> u64 {
        self.last_number += 1;
        self.charged = self.charged.saturating_add(u32::from(charge == Charge::Budget));
        self.open = Some(Open {
            number: self.last_number,
            request,
            token,
            sent: now,
            give_up: None,
        });
        self.last_number
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many requests the budget has left.
    pub(crate) fn budget_left(&self) -> u32 {
        BUDGET.saturating_sub(self.charged)
    }

    /// What is wrong with Azure DevOps.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.last_problem.as_ref()
    }

    /// Whether Azure DevOps did not accept the token the last time.
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(&self.last_problem, Some(problem) if problem.kind == Some(AdoErrorKind::Unauthorized))
    }

    /// Takes the open request if the response is to it; a response to a request that was given up is ignored.
    pub(crate) fn close(&mut self, number: u64) -> Option<Open> {
        self.open.take_if(|open| open.number == number)
    }

    /// What a lookup would show is known by now, or no longer needed: it is given up.
    pub(crate) fn give_up_lookup(&mut self) {
        self.open
            .take_if(|open| matches!(open.request, AdoRequest::Agent(..) | AdoRequest::AgentByName(..)));
    }

    /// SIGTERM: gives up the open request, unless its response is needed and may still come in time.
    pub(crate) fn cut_short(&mut self, now: Time, usefulness: impl FnOnce(&AdoRequest) -> Use) {
        self.open.take_if(|open| {
            let is_awaited = usefulness(&open.request) == Use::Awaited && now.since(open.sent) < IN_FLIGHT;
            open.give_up = Some(now.plus(IN_FLIGHT));
            !is_awaited
        });
    }

    /// When the open request is given up.
    pub(crate) fn give_up_at(&self) -> Option<Time> {
        self.open.as_ref().and_then(|open| open.give_up)
    }

    pub(crate) fn give_up_overdue(&mut self, now: Time) {
        self.open.take_if(|open| open.give_up.is_some_and(|at| at <= now));
    }

    /// It succeeded; the server may ask for a pause nevertheless.
    pub(crate) fn succeeded(&mut self, request: &AdoRequest, retry_after: Option<Duration>, context: &mut Context) {
        if self.failing.is_none_or(|failing| failing == discriminant(request)) {
            self.reset_backoff(&mut context.snapshot);
        }
        if let Some(pause) = retry_after.filter(|pause| !pause.is_zero()) {
            let until = context.now.plus(context.jitter.above(pause.min(MAX_RETRY_AFTER), 10));
            let not_before = &mut context.snapshot.ado_not_before;
            *not_before = Some(not_before.map_or(until, |pause| pause.max(until)));
        }
    }

    /// It failed, or its response was not usable: pause before the next one.
    pub(crate) fn failed(
        &mut self,
        request: &AdoRequest,
        problem: Problem,
        retry_after: Option<Duration>,
        context: &mut Context,
    ) {
        self.failing = Some(discriminant(request));
        self.last_problem = Some(problem);
        let failures = &mut context.snapshot.ado_failures;
        *failures = failures.saturating_add(1);
        let own = backoff::fast(*failures);
        let pause = match retry_after {
            Some(pause) => context.jitter.above(pause.clamp(own, MAX_RETRY_AFTER), 10),
            None => context.jitter.around(own, 20),
        };
        context.snapshot.ado_not_before = Some(context.now.plus(pause));
    }

    /// The failure is not a state to report: the pause stays.
    pub(crate) fn take_problem(&mut self) -> Option<Problem> {
        self.last_problem.take()
    }

    /// Resets failures and pause: the next request is sent at once.
    pub(crate) fn reset_backoff(&mut self, snapshot: &mut Snapshot) {
        self.failing = None;
        self.last_problem = None;
        snapshot.ado_failures = 0;
        snapshot.ado_not_before = None;
    }
}

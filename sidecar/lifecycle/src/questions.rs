//! The one open question to Azure DevOps, and the pause before the next one.

use crate::backoff::{self, Jitter, LONGEST_TOLD};
use crate::{Snapshot, Time, TokenId};
use azure_protocol::AdoRequest;
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

/// How many requests the life of a pod may cost, apart from those that a running job makes us ask. Hundreds of pods share
/// the rate limit of one identity, so a question that is merely useful is only asked within this budget.
pub(crate) const BUDGET: u32 = 10;

/// A question that was asked and not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    number: u64,
    pub(crate) question: AdoRequest,
    pub(crate) token: Option<TokenId>,
    pub(crate) asked: Time,
    /// When to stop waiting for the answer; only used once the process is told to end.
    pub(crate) give_up: Option<Time>,
}

/// What we know of our questions.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) open: Option<Open>,
    numbers: u64,
    /// How many were asked, apart from looks at a busy agent.
    pub(crate) asked: u32,
    /// What kind failed the last time: only its success ends the back-off, not that of another kind in between.
    failing: Option<Discriminant<AdoRequest>>,
}

impl Questions {
    /// Opens a question; returns its number.
    pub(crate) fn ask(&mut self, question: AdoRequest, token: Option<TokenId>, counts: bool, now: Time) -> u64 {
        self.numbers += 1;
        self.asked = self.asked.saturating_add(u32::from(counts));
        self.open = Some(Open {
            number: self.numbers,
            question,
            token,
            asked: now,
            give_up: None,
        });
        self.numbers
    }

    /// Takes the open question if the answer is to it; an answer to a question that was given up is nothing.
    pub(crate) fn close(&mut self, number: u64) -> Option<Open> {
        self.open.take_if(|open| open.number == number)
    }

    /// It was answered as hoped; `told` is the pause that the server asks for nevertheless.
    pub(crate) fn succeeded(
        &mut self,
        question: &AdoRequest,
        told: Option<Duration>,
        kept: &mut Snapshot,
        jitter: &mut Jitter,
        now: Time,
    ) {
        if self.failing.is_none_or(|failing| failing == discriminant(question)) {
            self.failing = None;
            kept.ado_failures = 0;
            kept.ado_not_before = None;
        }
        if let Some(told) = told.filter(|told| !told.is_zero()) {
            let until = now.plus(jitter.above(told.min(LONGEST_TOLD), 10));
            kept.ado_not_before = Some(kept.ado_not_before.map_or(until, |pause| pause.max(until)));
        }
    }

    /// It was not answered, or not as hoped: pause before the next one.
    pub(crate) fn failed(
        &mut self,
        question: &AdoRequest,
        told: Option<Duration>,
        kept: &mut Snapshot,
        jitter: &mut Jitter,
        now: Time,
    ) {
        self.failing = Some(discriminant(question));
        kept.ado_failures = kept.ado_failures.saturating_add(1);
        let own = backoff::fast(kept.ado_failures);
        let pause = match told {
            Some(told) => jitter.above(told.clamp(own, LONGEST_TOLD), 10),
            None => jitter.around(own, 20),
        };
        kept.ado_not_before = Some(now.plus(pause));
    }

    /// Whether the pause was caused by this kind of question.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Forgets failures and pause: the next question is asked at once.
    pub(crate) fn forgive(&mut self, kept: &mut Snapshot) {
        self.failing = None;
        kept.ado_failures = 0;
        kept.ado_not_before = None;
    }
}

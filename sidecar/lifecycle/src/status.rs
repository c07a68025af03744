//! What probe output, termination message and log say now.

use crate::Status;
use crate::lifecycle::{Lifecycle, Phase};
use crate::preflight::Preflight;
use crate::removal::Removal;
use crate::sentences::{self, Trouble};
use contract::Reason;

impl Lifecycle {
    /// What the probe answers and the termination message says now.
    pub fn status(&self) -> Status {
        let (reason, sentence) = match &self.phase {
            Phase::Refused(refusal) => (refusal.reason, refusal.sentence.clone()),
            Phase::Starting(preflight) => match self.first_trouble() {
                Some(trouble) => (trouble.reason, trouble.sentence),
                None => (Reason::Starting, self.what_is_awaited(*preflight)),
            },
            Phase::Serving(serving) => match self.first_trouble() {
                Some(trouble) => (trouble.reason, trouble.sentence),
                None if self.file.was_written && serving.saw_nothing() => {
                    (Reason::NotSeen, sentences::not_seen(&self.settings))
                }
                None if self.file.was_written => (Reason::Ready, sentences::ready(&self.settings)),
                // A restarted sidecar: the file of the run before is still there.
                None => (Reason::Starting, self.what_is_awaited(Preflight::Passed)),
            },
            Phase::Leaving(removal) => (Reason::Draining, self.how_it_leaves(removal)),
            Phase::Ended(outcome) => (outcome.reason, outcome.sentence.clone()),
        };
        Status {
            reason,
            sentence,
            agent_may_start: self.kept.admitted && !matches!(self.phase, Phase::Refused(_)),
        }
    }

    /// What is wrong, in the order in which it has to be mended.
    fn first_trouble(&self) -> Option<Trouble> {
        let ado = || self.trouble.as_ref().map(|(_, trouble)| trouble.clone());
        let file = || self.file.trouble.as_deref().map(sentences::file_failed);
        if self.token.usable(self.now).is_none() {
            // Without a token the organization can only be asked for its tenant.
            let unknown_tenant = ado().filter(|_| self.tenant().is_none());
            return unknown_tenant.or_else(|| self.token_trouble()).or_else(file);
        }
        ado().or_else(file).or_else(|| self.token_trouble())
    }

    /// What is wrong with the token: refused, or expired while nobody answers.
    pub(crate) fn token_trouble(&self) -> Option<Trouble> {
        let usable = self.token.usable(self.now).is_some();
        if let (Some(refusal), Some(tenant)) = (&self.token.refusal, self.tenant()) {
            return Some(sentences::token_refused(&self.settings, tenant, refusal, usable));
        }
        (!usable && self.token.newest().is_some()).then(|| Trouble {
            reason: Reason::EntraUnreachable,
            sentence: sentences::token_expired(),
        })
    }

    fn what_is_awaited(&self, preflight: Preflight) -> String {
        match self.tenant() {
            None => sentences::asks_for_tenant(&self.settings),
            Some(tenant) if self.token.usable(self.now).is_none() => sentences::asks_for_token(&self.settings, tenant),
            Some(_) => match preflight {
                Preflight::Role | Preflight::Name => sentences::checks(&self.settings),
                Preflight::Passed => sentences::writes_file(),
            },
        }
    }

    fn how_it_leaves(&self, removal: &Removal) -> String {
        let what = match (removal.target(), removal.outcome()) {
            (Some(target), _) if target.busy => sentences::waits_for_job(&target.name, &self.settings),
            (Some(target), _) => sentences::removing(&target.name, &self.settings),
            (None, Some(outcome)) => outcome.sentence.clone(),
            (None, None) => sentences::searching(&self.settings),
        };
        match self.first_trouble() {
            Some(trouble) => format!("{what} {}", trouble.sentence),
            None => what,
        }
    }
}

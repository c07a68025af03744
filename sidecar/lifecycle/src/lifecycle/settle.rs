//! What is due, and in which order it is done.

use super::Lifecycle;
use crate::phase::Phase;
use crate::preflight::Preflight;
use crate::schedule::next_request;
use crate::serving::Serving;
use crate::{Command, Outcome, Time};
use azure_protocol::AdoRequest;

impl Lifecycle {
    /// Does everything that is due. What is due follows from the state alone, whatever event brought it about; each step
    /// either changes the state so that it is no longer due, or does nothing.
    ///
    /// The order matters. A request that was given up makes way for the next one. The agent is admitted before anything is
    /// asked, so that a lookup of it is scheduled and not another check. Token and delivery come before Azure DevOps, since
    /// they do not depend on it. The end comes before a request that would have no time, and before the drain file and the
    /// status, which say what the removal has become. Whatever a command presupposes is persisted before it; what is left is
    /// persisted last.
    pub(super) fn settle(&mut self) {
        if self.has_ended() {
            return;
        }
        self.calls.give_up_overdue(self.context.now);
        self.admit();
        self.exchange();
        self.deliver();
        self.serve_gateway();
        self.finish();
        self.ask();
        self.write_drain_file();
        self.report();
        self.open_gate();
        self.context.persist();
    }

    /// Lets the agent start once everything was checked and what it waits for is delivered.
    fn admit(&mut self) {
        if matches!(self.phase, Phase::Starting(Preflight::Passed)) && self.delivery.is_delivered() {
            self.context.snapshot.admitted = true;
            self.calls.reset_backoff(&mut self.context.snapshot);
            self.phase = Phase::Serving(Serving::new(&mut self.context));
        }
    }

    pub(super) fn exchange_due(&self) -> Option<(Time, &'static str)> {
        let is_possible = self.phase.needs_token() && self.context.tenant().is_some();
        self.token.due(&self.context.snapshot).filter(|_| is_possible)
    }

    fn exchange(&mut self) {
        let is_due = self.exchange_due().is_some_and(|due| due.0 <= self.context.now);
        if let (true, Some(tenant)) = (is_due, self.context.tenant()) {
            let tenant = tenant.to_owned();
            self.token.request(self.context.now);
            self.context.push(Command::RequestToken { tenant });
        }
    }

    fn deliver(&mut self) {
        let newest = self.token.newest().map(|token| token.id);
        if let Some(command) = self.delivery.begin(newest, self.context.now) {
            self.context.push(command);
        }
    }

    /// Ends the process when nothing is left to do, or no time.
    fn finish(&mut self) {
        let Phase::Removing(removal) = &self.phase else { return };
        let Some(deadline) = removal.deadline() else { return };
        let outcome = match removal.stage.outcome() {
            Some(outcome) => outcome.clone(),
            None if deadline.has_passed(self.context.now) => self.view().outcome_at_the_deadline(removal),
            None => return,
        };
        self.end(outcome);
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        self.context.snapshot.ended = true;
        self.phase = Phase::Ended(outcome.clone());
        self.context.push(Command::Exit(outcome));
    }

    fn ask(&mut self) {
        let now = self.context.now;
        let planned = next_request(&self.phase, &self.calls, &self.token, &self.context);
        let Some(planned) = planned.filter(|planned| planned.at <= now) else {
            return;
        };
        let charge = self.phase.charge();
        if let (Phase::Serving(_), AdoRequest::AgentByName(..) | AdoRequest::Delete(..)) =
            (&self.phase, &planned.request)
        {
            self.context.admission_sent();
        }
        if let Phase::Removing(removal) = &mut self.phase {
            removal.sent(&planned.request, &mut self.context);
        }
        let number = self.calls.send(planned.request.clone(), planned.token, charge, now);
        self.context.push(Command::CallAdo {
            number,
            token: planned.token,
            request: planned.request,
            timeout: planned.timeout,
        });
    }

    fn report(&mut self) {
        if self.has_ended() {
            return;
        }
        let status = self.status();
        if self.reported.as_ref() != Some(&status) {
            self.reported = Some(status.clone());
            self.context.push(Command::Report(status));
        }
    }
}

//! Responses of Azure DevOps to the requests that a registration needs.

use super::{Holder, Operation, Unanswered, YOUNG_SECONDS};
use crate::context::Context;
use crate::gateway::Admission;
use crate::registration::{Registration, Remover};
use crate::sentences::{self, Problem};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId};

impl Context {
    /// Takes the response to such a request.
    pub(crate) fn receive_admission(
        &mut self,
        request: &AdoRequest,
        result: Result<AdoResponse, AdoError>,
    ) -> Result<(), Problem> {
        match (request, result) {
            (AdoRequest::AgentByName(_, name), Ok(AdoResponse::Agents(agents))) => {
                self.looked_up(name, &agents);
                Ok(())
            }
            (AdoRequest::Delete(_, id), Ok(AdoResponse::Done)) => {
                self.removed_before(*id);
                Ok(())
            }
            (AdoRequest::Delete(_, id), Err(error)) if error.kind == AdoErrorKind::NotFound => {
                let is_ours = self.registered().is_some_and(|known| known.id == *id);
                if let Some(admissions) = self.admissions() {
                    admissions.is_doubtful = is_ours;
                    admissions.seen = None;
                }
                Ok(())
            }
            (AdoRequest::Delete(..), Err(error)) if error.kind == AdoErrorKind::JobRunning => {
                self.refuse_registration(&sentences::still_has_a_job());
                Ok(())
            }
            (_, Ok(_)) => Err(self.problem(request, sentences::unexpected_response())),
            (_, Err(error)) => Err(self.problem(request, error)),
        }
    }

    fn looked_up(&mut self, name: &str, agents: &[Agent]) {
        let ours = agents.iter().find(|agent| self.is_ours(agent)).cloned();
        let is_about_ours = self.is_of_ours(name);
        match (&ours, &self.snapshot.registration) {
            (Some(agent), Some(Registration::Begun { .. })) => self.pin(agent),
            (None, Some(Registration::Begun { .. })) if is_about_ours => {
                let is_doubtful = agents.iter().any(|agent| self.is_doubtful(agent));
                let now = self.now;
                if let Some(admissions) = self.admissions() {
                    admissions.unanswered = if is_doubtful {
                        Unanswered::Doubtful(now)
                    } else {
                        Unanswered::NotMade
                    };
                }
            }
            (None, Some(Registration::Known(_))) if is_about_ours => self.registration_gone(Remover::Sidecar),
            (Some(_) | None, _) => {}
        }
        let others: Vec<&Agent> = agents
            .iter()
            .filter(|agent| agent.is_named(name) && ours.as_ref().is_none_or(|ours| ours.id != agent.id))
            .collect();
        let holder = match others.as_slice() {
            [] => Holder::Nobody,
            [agent] if self.is_leftover(agent) => Holder::Leftover(agent.id),
            [..] => Holder::Another,
        };
        let now = self.now;
        if let Some(admissions) = self.admissions() {
            admissions.is_doubtful = false;
            admissions.record(name, holder, now);
        }
    }

    /// Whether another agent may be replaced: it has the expected name of this pod's agent, it is offline, and it does not belong to
    /// a pod that has just registered it and is about to listen.
    fn is_leftover(&self, agent: &Agent) -> bool {
        let is_young = match (agent.created, self.server_now()) {
            (Some(created), Some(now)) => now.0.saturating_sub(created.0) < YOUNG_SECONDS,
            (None, _) | (_, None) => true,
        };
        let is_from_before = agent.created.is_some()
            && self.snapshot.started.is_some()
            && !agent.was_created_after(self.snapshot.started);
        !agent.online && agent.is_named(&self.settings.agent_name) && (is_from_before || !is_young)
    }

    /// The agent that had to go before a registration is gone.
    fn removed_before(&mut self, id: AgentId) {
        let now = self.now;
        if let Some(known) = self.registered().filter(|known| known.id == id) {
            let name = known.name.clone();
            self.registration_gone(Remover::Sidecar);
            if let Some(admissions) = self.admissions() {
                admissions.record(&name, Holder::Nobody, now);
            }
            return;
        }
        if let Some(admissions) = self.admissions()
            && let Some(seen) = admissions.seen.take_if(|seen| seen.holder == Holder::Leftover(id))
        {
            admissions.record(&seen.name, Holder::Nobody, now);
        }
    }

    /// Refuses the next registration.
    fn refuse_registration(&mut self, sentence: &str) {
        let Some(admissions) = self.admissions() else { return };
        admissions.seen = None;
        let next = admissions
            .waiting
            .iter()
            .position(|question| question.operation == Operation::Register);
        if let Some(question) = next.and_then(|next| admissions.waiting.remove(next)) {
            self.answer(question.number, Admission::Refused(sentence.to_owned()));
        }
    }
}

//! What the actions do to the pool, and what the gateway tells of it.

use super::{Keeper, Member, NAME, Pod, SEEN, Script, World, uid};
use crate::steps::{EPOCH, POOL, failure, marker};
use azure_protocol::{
    AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability, ServerTime, Shortlist,
};
use lifecycle::{Event, Found, GatewayEvent, Jobs, RegistrationFailure};

/// What becomes of the answer to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Arrives,
    IsLost,
}

impl World {
    pub(super) fn question(&mut self, pod: Pod) -> u64 {
        let member = self.member(pod);
        member.questions += 1;
        member.questions
    }

    pub(super) fn post(&mut self, pod: Pod, answer: Answer) {
        self.member(pod).may_post = false;
        if self.members[pod as usize].is_used {
            self.violations.push(format!("{pod:?} registers after its one job"));
        }
        // Every agent here has the same name.
        if !self.agents.is_empty() {
            return self.saw(pod, GatewayEvent::RegistrationFailed(RegistrationFailure::Refused));
        }
        let created = self.now;
        let id = self.register(Keeper::Pod(pod), created);
        if answer == Answer::Arrives {
            self.member(pod).script = Script::Registered(id);
            self.member(pod).is_unanswered = false;
            let created = Some(ServerTime(EPOCH + i64::try_from(created).expect("a short run")));
            self.saw(
                pod,
                GatewayEvent::Registered {
                    id: AgentId(id),
                    created,
                    name: NAME.to_owned(),
                },
            );
        } else {
            self.member(pod).is_unanswered = true;
            self.saw(pod, GatewayEvent::RegistrationFailed(RegistrationFailure::Unanswered));
        }
    }

    pub(super) fn listen(&mut self, pod: Pod) {
        let Script::Registered(id) = self.members[pod as usize].script else {
            return;
        };
        self.agents.entry(id).and_modify(|agent| agent.online = true);
        self.member(pod).script = Script::Listening(id);
        let agent = AgentId(id);
        self.saw(pod, GatewayEvent::SessionOpened { agent });
        self.saw(pod, GatewayEvent::PollOpened { agent });
    }

    pub(super) fn die(&mut self, pod: Pod) {
        let Script::Listening(id) = self.members[pod as usize].script else {
            return;
        };
        let now = self.now;
        self.agents.entry(id).and_modify(|agent| {
            agent.online = false;
            agent.offline_at = now;
        });
        self.member(pod).script = Script::Idle;
        self.saw(pod, GatewayEvent::PollClosed { agent: AgentId(id) });
    }

    /// With the ticket: only the agent that the gate names.
    pub(super) fn remove(&mut self, pod: Pod) {
        let own = self.members[pod as usize].gate.as_ref().and_then(|gate| gate.own);
        let Some(own) = own.filter(|own| self.agents.get(&own.0).is_some_and(|agent| !agent.has_job)) else {
            return;
        };
        if self.agents[&own.0].keeper != Keeper::Pod(pod) {
            self.violations
                .push(format!("{pod:?} may remove {own:?} with the ticket"));
        }
        self.agents.remove(&own.0);
        self.saw(pod, GatewayEvent::Unregistered { id: own });
        if let Script::Listening(id) = self.members[pod as usize].script {
            let (agent, found) = (AgentId(id), Found::Nothing);
            self.member(pod).script = Script::Idle;
            self.saw(pod, GatewayEvent::PollAnswered { agent, found });
        }
    }

    pub(super) fn get_job(&mut self, pod: Pod) {
        let Script::Listening(id) = self.members[pod as usize].script else {
            return;
        };
        self.agents.entry(id).and_modify(|agent| agent.has_job = true);
        if self.jobs == Jobs::One && self.members[pod as usize].is_used {
            self.violations.push(format!("{pod:?} gets another job"));
        }
        self.member(pod).is_used = self.jobs == Jobs::One;
        self.saw(pod, GatewayEvent::JobRenewed { agent: AgentId(id) });
    }

    pub(super) fn end_job(&mut self, pod: Pod) {
        let Script::Listening(id) = self.members[pod as usize].script else {
            return;
        };
        self.agents.entry(id).and_modify(|agent| agent.has_job = false);
        self.saw(pod, GatewayEvent::JobEnded { agent: AgentId(id) });
    }

    /// The request of this pod's sidecar takes effect and is answered.
    pub(super) fn answer(&mut self, pod: Pod) {
        let Some((number, request)) = self.member(pod).open.take() else {
            return;
        };
        let result = self.effect(pod, &request);
        let date = Some(ServerTime(EPOCH + i64::try_from(self.now).expect("a short run")));
        self.tell(
            pod,
            Event::AdoResponded {
                number,
                result,
                retry_after: None,
                date,
            },
        );
    }

    pub(super) fn effect(&mut self, pod: Pod, request: &AdoRequest) -> Result<AdoResponse, AdoError> {
        match request {
            AdoRequest::Tenant => Ok(AdoResponse::Tenant(Some("tenant".to_owned()))),
            AdoRequest::PoolByName(_) => Ok(AdoResponse::Pool(Some(POOL))),
            AdoRequest::MayManage(_) => Ok(AdoResponse::MayManage(true)),
            AdoRequest::AgentByName(..) => {
                let has_others = self.agents.values().any(|agent| agent.marker == Some(pod.other()));
                let member = self.member(pod);
                member.is_in_doubt = member.is_unanswered && has_others;
                let ids: Vec<i64> = self.agents.keys().copied().collect();
                Ok(AdoResponse::Agents(
                    ids.iter().filter_map(|id| self.view(*id)).collect(),
                ))
            }
            AdoRequest::Agents(_, criteria) => Ok(AdoResponse::Shortlist(Shortlist::new(criteria.clone()))),
            AdoRequest::Agent(_, id) => match self.view(id.0) {
                Some(agent) => Ok(AdoResponse::Agents(vec![agent])),
                None => Err(failure(AdoErrorKind::NotFound)),
            },
            AdoRequest::SetAvailability(_, id, availability) => self.set_enabled(pod, id.0, *availability),
            AdoRequest::Delete(_, id) => self.delete(pod, id.0),
        }
    }

    pub(super) fn view(&self, id: i64) -> Option<Agent> {
        let agent = self.agents.get(&id)?;
        Some(Agent {
            id: AgentId(id),
            name: NAME.to_owned(),
            created: Some(ServerTime(EPOCH + i64::try_from(agent.created).expect("a short run"))),
            enabled: agent.enabled,
            online: agent.online,
            assigned: Some(agent.has_job),
            owner: agent.marker.map(|pod| marker(uid(pod)).to_string()),
        })
    }

    pub(super) fn set_enabled(
        &mut self,
        pod: Pod,
        id: i64,
        availability: Availability,
    ) -> Result<AdoResponse, AdoError> {
        let agent = self
            .agents
            .get_mut(&id)
            .ok_or_else(|| failure(AdoErrorKind::NotFound))?;
        let enables = availability == Availability::Enabled;
        if agent.keeper != Keeper::Pod(pod) || enables && agent.by_person {
            self.violations
                .push(format!("{pod:?} sets {id} to {availability:?}: {agent:?}"));
        }
        agent.enabled = enables;
        Ok(AdoResponse::Done)
    }

    /// An agent of its own, or while it registers a leftover that was offline when it was looked up just before.
    pub(super) fn delete(&mut self, pod: Pod, id: i64) -> Result<AdoResponse, AdoError> {
        let agent = self.agents.get(&id).ok_or_else(|| failure(AdoErrorKind::NotFound))?;
        if agent.has_job {
            return Err(failure(AdoErrorKind::JobRunning));
        }
        let Member { registers, sent, .. } = self.members[pod as usize];
        let is_leftover = agent.keeper == Keeper::Person && sent.saturating_sub(agent.offline_at) <= SEEN;
        if agent.keeper != Keeper::Pod(pod) && !(is_leftover && registers) {
            self.violations.push(format!("{pod:?} removes {id}: {agent:?}"));
        }
        self.agents.remove(&id);
        Ok(AdoResponse::Done)
    }
}

//! What happens, and the end of everything.

use super::effects::Answer;
use super::{ACTION, Action, Keeper, NAME, Pod, Script, WHILE, World};
use azure_protocol::AgentId;
use lifecycle::{Event, GatewayEvent};

impl World {
    pub(crate) fn act(&mut self, action: Action) {
        self.pass(ACTION);
        match action {
            Action::Asks(pod) => {
                let number = self.question(pod);
                self.member(pod).asked = Some(number);
                self.saw(
                    pod,
                    GatewayEvent::RegistrationAsked {
                        number,
                        name: NAME.to_owned(),
                    },
                );
            }
            Action::Begins(pod) => {
                let number = self.question(pod);
                self.member(pod).begins = Some(number);
                self.saw(
                    pod,
                    GatewayEvent::RegistrationBegins {
                        number,
                        name: NAME.to_owned(),
                    },
                );
            }
            Action::Posts(pod) => self.post(pod, Answer::Arrives),
            Action::PostsInVain(pod) => self.post(pod, Answer::IsLost),
            Action::Listens(pod) => self.listen(pod),
            Action::Dies(pod) => self.die(pod),
            Action::Removes(pod) => self.remove(pod),
            Action::Answers(pod) => self.answer(pod),
            Action::GetsJob(pod) => self.get_job(pod),
            Action::EndsJob(pod) => self.end_job(pod),
            Action::BeginsToTerminate(pod) => self.tell(pod, Event::PreStop),
            Action::GetsSigterm(pod) => {
                self.member(pod).is_terminated = true;
                self.tell(pod, Event::Terminate);
            }
            Action::Crashes(pod) => {
                let member = self.member(pod);
                member.asked = None;
                member.begins = None;
                member.is_unanswered |= member.may_post;
                member.may_post = false;
                self.start(pod);
                if let Script::Listening(id) = self.member(pod).script {
                    self.saw(pod, GatewayEvent::PollOpened { agent: AgentId(id) });
                }
            }
            Action::PersonDisables => {
                for agent in self.agents.values_mut().filter(|agent| agent.enabled) {
                    agent.enabled = false;
                    agent.by_person = true;
                }
            }
            Action::PersonRemoves => self.agents.retain(|_, agent| agent.has_job),
            Action::PersonListens => {
                for agent in self.agents.values_mut().filter(|agent| agent.keeper == Keeper::Person) {
                    agent.online = true;
                }
            }
            Action::ChangesMarker(pod) => {
                for agent in self
                    .agents
                    .values_mut()
                    .filter(|agent| agent.keeper == Keeper::Pod(pod))
                {
                    agent.marker = Some(pod.other());
                }
            }
            Action::Sweeps => {
                let gone: Vec<Keeper> = [Pod::A, Pod::B]
                    .into_iter()
                    .filter(|pod| self.members[*pod as usize].machine.is_none())
                    .map(Keeper::Pod)
                    .collect();
                self.agents
                    .retain(|_, agent| agent.has_job || agent.online || !gone.contains(&agent.keeper));
            }
            Action::Waits => self.pass(WHILE),
        }
        for pod in [Pod::A, Pod::B] {
            let kept = self.kept_by(Keeper::Pod(pod));
            if kept.len() > 1 {
                self.violations.push(format!("{pod:?} has {kept:?}"));
            }
        }
    }

    /// Both pods are deleted, their jobs end or lose their lock, and every request is answered: nothing of theirs stays.
    pub(crate) fn end(&mut self) {
        for pod in [Pod::A, Pod::B] {
            if let Script::Listening(_) = self.members[pod as usize].script {
                self.end_job(pod);
            }
        }
        for agent in self.agents.values_mut() {
            agent.has_job = false;
        }
        for pod in [Pod::A, Pod::B] {
            self.tell(pod, Event::PreStop);
        }
        for _ in 0..8 {
            for pod in [Pod::A, Pod::B] {
                if self.members[pod as usize].may_post {
                    self.post(pod, Answer::Arrives);
                }
                self.answer(pod);
            }
            self.pass(40);
        }
        for pod in [Pod::A, Pod::B] {
            if self.members[pod as usize].machine.is_some() {
                self.tell(pod, Event::Terminate);
            }
        }
        for _ in 0..4 {
            for pod in [Pod::A, Pod::B] {
                self.answer(pod);
            }
            self.pass(1);
        }
        for pod in [Pod::A, Pod::B] {
            let member = &self.members[pod as usize];
            if member.outcome.is_none() {
                self.violations.push(format!("{pod:?} does not end"));
            }
        }
    }
}

//! What can happen, and when.

use super::{Keeper, Script, World};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pod {
    /// The pod that everything is about.
    A,
    /// Another pod with the same agent name: a successor, or a replica.
    B,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// `config.sh` looks its name up.
    Asks(Pod),
    /// A registration begins, with or without a lookup before.
    Begins(Pod),
    /// Azure DevOps registers the agent.
    Posts(Pod),
    /// It does, and the answer is lost.
    PostsInVain(Pod),
    /// The listener begins.
    Listens(Pod),
    /// Its processes are killed.
    Dies(Pod),
    /// `config.sh remove`.
    Removes(Pod),
    /// The sidecar's request takes effect and is answered.
    Answers(Pod),
    GetsJob(Pod),
    EndsJob(Pod),
    BeginsToTerminate(Pod),
    GetsSigterm(Pod),
    /// The sidecar crashes and starts again.
    Crashes(Pod),
    /// A person takes every agent out of service.
    PersonDisables,
    /// A person removes every agent that has no job.
    PersonRemoves,
    /// A person's own agent of this name comes back.
    PersonListens,
    /// Somebody gives the pod's agent the marker of the other one.
    ChangesMarker(Pod),
    /// What runs outside removes offline agents of pods that are gone.
    Sweeps,
    Waits,
}

impl Pod {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl World {
    /// The actions that make sense now.
    pub(crate) fn possible(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for pod in [Pod::A, Pod::B] {
            let member = &self.members[pod as usize];
            let mut may = |is_possible: bool, action: Action| {
                if is_possible {
                    actions.push(action);
                }
            };
            let is_running = member.machine.is_some();
            let is_busy = |id: i64| self.agents.get(&id).is_some_and(|agent| agent.has_job);
            may(
                is_running && member.asked.is_none() && member.script == Script::Idle,
                Action::Asks(pod),
            );
            may(
                is_running && member.begins.is_none() && !member.may_post,
                Action::Begins(pod),
            );
            may(is_running && member.may_post, Action::Posts(pod));
            may(is_running && member.may_post, Action::PostsInVain(pod));
            may(is_running && member.open.is_some(), Action::Answers(pod));
            may(is_running && !member.is_terminated, Action::Crashes(pod));
            match member.script {
                Script::Idle => {}
                Script::Registered(id) => may(is_running && self.agents.contains_key(&id), Action::Listens(pod)),
                Script::Listening(id) => {
                    may(true, Action::Dies(pod));
                    may(is_running && !is_busy(id), Action::Removes(pod));
                    let enabled = self.agents.get(&id).is_some_and(|agent| agent.enabled);
                    may(
                        is_running && enabled && !is_busy(id) && pod == Pod::A,
                        Action::GetsJob(pod),
                    );
                    may(is_running && is_busy(id), Action::EndsJob(pod));
                }
            }
            let is_terminating = member
                .snapshot
                .as_ref()
                .is_some_and(|snapshot| snapshot.draining_since.is_some());
            may(is_running && !is_terminating, Action::BeginsToTerminate(pod));
            may(
                is_running && is_terminating && !member.is_terminated,
                Action::GetsSigterm(pod),
            );
        }
        // No request takes as long.
        if self.members.iter().all(|member| member.open.is_none()) {
            actions.push(Action::Waits);
        }
        if self.agents.values().any(|agent| agent.enabled) {
            actions.push(Action::PersonDisables);
        }
        if self.agents.values().any(|agent| !agent.has_job) {
            actions.push(Action::PersonRemoves);
            actions.push(Action::Sweeps);
        }
        if self
            .agents
            .values()
            .any(|agent| agent.marker == Some(Pod::A) && agent.keeper == Keeper::Pod(Pod::A))
        {
            actions.push(Action::ChangesMarker(Pod::A));
        }
        if self
            .agents
            .values()
            .any(|agent| agent.keeper == Keeper::Person && !agent.online)
        {
            actions.push(Action::PersonListens);
        }
        actions
    }
}

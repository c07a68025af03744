//! Finding the agent of this pod: by name, by the id that was seen first, else from a list by the marker.

use crate::ownership::{Owner, is_pinned, may_have_been_ours, owner};
use crate::removal::{Removal, Stage, Surroundings};
use crate::rest::SOON;
use crate::sentences;
use crate::{Outcome, Settings, Snapshot};
use azure_protocol::{Agent, AgentId, Criteria, Shortlist};
use contract::Reason;
use std::collections::VecDeque;

/// How many agents of a list are fetched one by one.
const FETCHES: usize = 12;

impl Removal {
    pub(crate) fn named(&mut self, agents: Vec<Agent>, surroundings: &mut Surroundings<'_>) {
        self.listed = Some(surroundings.now);
        let pinned = surroundings.kept.pinned.map(|pinned| pinned.0);
        let mut ours = None;
        for agent in agents {
            if !agent.is_named(&surroundings.settings.agent_name) {
                continue;
            }
            if !self.seen.contains(&agent.id) {
                self.seen.push(agent.id);
            }
            if owner(&agent, surroundings.settings, surroundings.kept.started).is_us() {
                ours = Some(agent);
            } else {
                self.stranger = Some(agent);
            }
        }
        if ours.is_none() && matches!(self.stage, Stage::Rest(_)) {
            return self.rest_on(surroundings);
        }
        if ours.is_none() && self.verifying.is_some() {
            return self.end_verified(surroundings);
        }
        match (ours, pinned) {
            (Some(agent), Some(id)) if agent.id != id => self.stage = Stage::Pinned { id, named: Some(agent) },
            (Some(agent), _) => self.found(agent, surroundings),
            // Who has the id that we pinned is not ours any more: a successor took it over.
            (None, Some(id)) if self.seen.contains(&id) => self.not_found(true, surroundings),
            (None, Some(id)) => self.stage = Stage::Pinned { id, named: None },
            (None, None) => self.stage = Stage::Listing,
        }
    }

    /// Which agents of a list are fetched one by one.
    pub(crate) fn criteria(&self, settings: &Settings, kept: &Snapshot) -> Criteria {
        // The last look has two seconds.
        let is_last = self.terminated.is_some() && self.verifying.is_some();
        Criteria {
            agent_name: settings.agent_name.clone(),
            pod_name: settings.marker.pod.clone(),
            started: kept.started,
            seen: self.seen.clone(),
            most: if is_last { 1 } else { FETCHES },
        }
    }

    pub(crate) fn listed(&mut self, shortlist: &Shortlist, surroundings: &mut Surroundings<'_>) {
        self.listed = Some(surroundings.now);
        let candidates: VecDeque<AgentId> = shortlist.agents().map(|agent| agent.id).collect();
        let all = shortlist.is_whole();
        if let Stage::Rest(rest) = &self.stage {
            if candidates.is_empty() {
                return self.rest_on(surroundings);
            }
            self.verifying = Some(rest.outcome.clone());
        } else if candidates.is_empty() {
            return self.not_found(true, surroundings);
        }
        self.stage = Stage::Fetching { candidates, all };
    }

    /// One agent was asked for by its id.
    pub(crate) fn looked(&mut self, id: AgentId, agent: Option<Agent>, surroundings: &mut Surroundings<'_>) {
        let ours = agent
            .as_ref()
            .is_some_and(|agent| owner(agent, surroundings.settings, surroundings.kept.started).is_us());
        match (std::mem::replace(&mut self.stage, Stage::Listing), agent) {
            (Stage::Pinned { named, .. }, Some(agent)) if ours => {
                if named.is_some() {
                    let sentence = sentences::several(surroundings.settings, id.0);
                    surroundings.warnings.push((Reason::LeftUnproven, sentence));
                }
                self.found(agent, surroundings);
            }
            (Stage::Pinned { named: Some(named), .. }, pinned) => {
                if let Some(pinned) = pinned.filter(|pinned| is_pinned(pinned, surroundings.kept)) {
                    let sentence = sentences::changed(&pinned, surroundings.settings, true);
                    surroundings.warnings.push((Reason::LeftUnproven, sentence));
                }
                self.found(named, surroundings);
            }
            // It may have registered anew since, under a name that the image invented.
            (Stage::Pinned { named: None, .. }, None)
                if self.terminated.is_none() && !self.delete_sent && self.sees_the_pool(surroundings.now) =>
            {
                self.stage = Stage::Listing;
            }
            (Stage::Pinned { named: None, .. }, None) => self.missing(surroundings),
            (Stage::Pinned { named: None, .. }, Some(agent)) => {
                self.stranger = Some(agent);
                self.not_found(true, surroundings);
            }
            (Stage::Fetching { mut candidates, all }, agent) => {
                candidates.retain(|candidate| *candidate != id);
                match &agent {
                    Some(_) => self.listed = Some(surroundings.now),
                    // Nothing was learned of those that are left, either.
                    None if !self.sees_the_pool(surroundings.now) => return self.search(),
                    None => {}
                }
                self.seen.push(id);
                match agent {
                    Some(agent) if ours => return self.found(agent, surroundings),
                    Some(agent) => self.note_stranger(agent, surroundings),
                    None => {}
                }
                if candidates.is_empty() {
                    self.not_found(all, surroundings);
                } else {
                    self.stage = Stage::Fetching { candidates, all };
                }
            }
            (_, Some(agent)) if ours => self.found(agent, surroundings),
            (_, Some(agent)) => {
                self.stranger = Some(agent);
                self.not_found(true, surroundings);
            }
            (stage, None) => {
                self.stage = stage;
                self.missing(surroundings);
            }
        }
    }

    /// An agent of the list is not ours: worth a word in the outcome where it was ours, else where it has our name.
    fn note_stranger(&mut self, agent: Agent, surroundings: &Surroundings<'_>) {
        let was_ours = |agent: &Agent| is_pinned(agent, surroundings.kept);
        let is_noted = self.stranger.as_ref().is_some_and(was_ours);
        if was_ours(&agent) || agent.is_named(&surroundings.settings.agent_name) && !is_noted {
            self.stranger = Some(agent);
        }
    }

    /// The search ended without an agent of ours; `all`: every agent that could be ours was looked at.
    fn not_found(&mut self, all: bool, surroundings: &mut Surroundings<'_>) {
        if self.verifying.is_some() {
            return self.end_verified(surroundings);
        }
        let settings = surroundings.settings;
        let (reason, sentence) = match (&self.stranger, all) {
            (Some(stranger), _) if may_have_been_ours(stranger, settings, surroundings.kept) => {
                let was_ours = is_pinned(stranger, surroundings.kept);
                (Reason::LeftUnproven, sentences::changed(stranger, settings, was_ours))
            }
            (Some(stranger), _) => (Reason::NotOurs, sentences::not_ours(stranger, settings)),
            (None, false) => (Reason::LeftUnproven, sentences::unproven(settings)),
            (None, true) if surroundings.kept.pinned.is_some() => {
                surroundings.kept.disabled = None;
                (Reason::AlreadyGone, sentences::already_gone(settings))
            }
            (None, true) if self.was_missed => (Reason::LeftUnseen, sentences::left_unseen(settings)),
            (None, true) => (Reason::NeverSeen, sentences::never_seen(settings)),
        };
        self.rest(Outcome { reason, sentence }, SOON, surroundings);
    }
}

/// Remembers the agent that was proven ours, and says so where it was by name and age only.
pub(crate) fn pin(agent: &Agent, surroundings: &mut Surroundings<'_>) {
    let new = surroundings.kept.pinned.is_none_or(|pinned| pinned.0 != agent.id);
    if !new {
        return;
    }
    if owner(agent, surroundings.settings, surroundings.kept.started) == Owner::Adoptable {
        surroundings.warnings.push((Reason::Adopted, sentences::adopted(agent)));
    }
    surroundings.kept.pinned = Some((agent.id, agent.created));
}

//! What is asked for, from what was read. Values only: the same is decided in a dry run and on every look.

#[cfg(test)]
mod tests;

use super::az::{CREDENTIAL_LIMIT, FederatedCredential, ManagedIdentity, Place};
use super::change::{Change, Pool};
use super::principal::Principal;
use super::reason::ProvisionReason;
use crate::keep::{MADE_HERE, PLACEHOLDER_CAPABILITY};
use crate::problem::Finding;
use azure_protocol::{
    AddServicePrincipal, AgentDescription, CreatePool, License, PoolId, PoolRole, PoolSettings, RoleAssignment,
    ServicePrincipal, TaskAgent,
};
use std::collections::BTreeMap;

/// `osDescription` of the agents that are only rows begins with it.
pub(crate) const PLACEHOLDER_OS: &str = "placeholder";

/// What is to be done about something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as it should be, or nothing that this program changes.
    Settled(Finding),
    /// This is to be asked; the sentence says for what.
    Ask(Change, String),
    /// No request of this program makes it so.
    Stuck(Finding),
}

pub(crate) fn stuck(
    subject: impl Into<String>,
    reason: ProvisionReason,
    sentence: impl Into<String>,
    fix: impl Into<String>,
) -> Verdict {
    Verdict::Stuck(bad(subject, reason, sentence, fix))
}

pub(crate) fn bad(
    subject: impl Into<String>,
    reason: ProvisionReason,
    sentence: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding::bad(subject, sentence, reason.fix(fix))
}

fn warned(subject: String, reason: ProvisionReason, sentence: String, fix: &str) -> Verdict {
    Verdict::Settled(Finding::warning(subject, sentence, reason.fix(fix)))
}

/// A managed identity: made if it is missing, waited for until it has its IDs.
pub(crate) fn identity(principal: &Principal, place: &Place, seen: Option<&ManagedIdentity>) -> Verdict {
    let name = &principal.name;
    match seen.map(|identity| &identity.ids) {
        Some(ids) if ids.client_id.is_some() && ids.object_id.is_some() => {
            let of = |id: &Option<String>| id.clone().unwrap_or_default();
            let sentence = format!("client ID {}, object ID {}", of(&ids.client_id), of(&ids.object_id));
            Verdict::Settled(Finding::good(format!("managed identity {name}"), sentence))
        }
        Some(_) | None => Verdict::Ask(
            Change::Az(place.create_identity(name)),
            format!("managed identity {name}"),
        ),
    }
}

/// A federated credential: made if none trusts the same tokens.
pub(crate) fn credential(
    principal: &Principal,
    place: &Place,
    wanted: &FederatedCredential,
    seen: &[FederatedCredential],
) -> Verdict {
    let subject = format!("federated credential of {} for {}", principal.name, principal.account);
    if let Some(there) = seen.iter().find(|there| there.trusts_the_same(wanted)) {
        return Verdict::Settled(Finding::good(
            subject,
            format!("{} trusts {} of {}", there.name, there.subject, there.issuer),
        ));
    }
    if let Some(there) = seen.iter().find(|there| there.name.eq_ignore_ascii_case(&wanted.name)) {
        return stuck(
            subject,
            ProvisionReason::CredentialNameTaken,
            format!(
                "{} exists with subject {}, issuer {} and audiences {}, and not with what this cluster's tokens have.",
                there.name,
                there.subject,
                there.issuer,
                there.audiences.join(", ")
            ),
            format!(
                "Delete it, then run this again: {}",
                place.delete_credential(&principal.name, &there.name)
            ),
        );
    }
    if seen.len() >= CREDENTIAL_LIMIT {
        return stuck(
            subject,
            ProvisionReason::CredentialsFull,
            format!(
                "{} has {} federated credentials already, and more cannot be.",
                principal.name,
                seen.len()
            ),
            "Delete those of clusters that are gone, or take a second identity.",
        );
    }
    let near = seen.iter().find(|there| there.nearly_trusts_the_same(wanted));
    let beside = near.map_or_else(String::new, |near| {
        format!(
            ", beside {}, which differs in letter case, audience or a slash and trusts nobody here",
            near.name
        )
    });
    Verdict::Ask(
        Change::Az(place.create_credential(&principal.name, wanted)),
        format!("{subject}{beside}"),
    )
}

/// A user: added if it is missing or has too small a license. `object_id` is unknown only in a dry run.
pub(crate) fn user(principal: &Principal, object_id: Option<&str>, seen: Option<&ServicePrincipal>) -> Verdict {
    let subject = format!("user {}", principal.name);
    let add = |why: &str| {
        let object_id = object_id.unwrap_or("OBJECT_ID").to_owned();
        let name = principal.name.clone();
        Verdict::Ask(
            Change::AddUser(AddServicePrincipal { object_id, name }),
            format!("{subject}{why}"),
        )
    };
    match seen.map(|user| (user, &user.license)) {
        None => add(", with the license Basic"),
        Some((_, License::TooLittle(license))) => add(&format!(", with the license Basic instead of {license}")),
        Some((user, License::Enough(license))) => {
            let sentence = format!("identity ID {}, license {license}", user.id);
            Verdict::Settled(Finding::good(subject, sentence))
        }
    }
}

/// The pool: made if it is missing; one that is there stays as it is.
pub(crate) fn pool(name: &str, seen: Option<&PoolSettings>) -> Verdict {
    let subject = format!("pool {name}");
    let Some(pool) = seen else {
        let create = CreatePool { name: name.to_owned() };
        return Verdict::Ask(Change::CreatePool(create), subject);
    };
    let id = pool.id.0;
    match (pool.auto_update, pool.auto_provision) {
        (true, _) => warned(
            subject,
            ProvisionReason::PoolUpdatesAgents,
            format!("ID {id}; it tells agents to replace themselves with newer versions, in each new container again."),
            "Switch \"Allow agents in this pool to automatically update\" off: Organization settings > Agent pools > the pool > \
             Settings.",
        ),
        (false, true) => warned(
            subject,
            ProvisionReason::PoolForAllProjects,
            format!("ID {id}; every new project gets it."),
            "Switch \"Auto-provision this agent pool in all projects\" off, unless you want that: Organization settings > Agent \
             pools > the pool > Settings.",
        ),
        (false, false) => Verdict::Settled(Finding::good(subject, format!("ID {id}"))),
    }
}

/// A role: given if the identity has none, or less.
pub(crate) fn role(principal: &Principal, pool: Pool, identity: Option<&str>, seen: &[RoleAssignment]) -> Verdict {
    let role = principal.who.role();
    let subject = format!("role {} of {}", role.as_str(), principal.name);
    let has = identity.and_then(|identity| seen.iter().find(|assignment| assignment.is_of(identity)));
    let administrator = PoolRole::Administrator.as_str();
    match has {
        Some(has) if has.role.eq_ignore_ascii_case(role.as_str()) => {
            Verdict::Settled(Finding::good(subject, format!("on {}", shown(pool))))
        }
        Some(has) if has.role.eq_ignore_ascii_case(administrator) => warned(
            subject,
            ProvisionReason::RoleTooLarge,
            format!("It has the role {administrator} on {}.", shown(pool)),
            "Give it the smaller role by hand, unless something else needs the larger one: Organization settings > Agent pools > \
             the pool > Security.",
        ),
        Some(_) | None => Verdict::Ask(
            Change::AssignRole {
                pool,
                identity: identity.unwrap_or("IDENTITY_ID").to_owned(),
                role,
            },
            format!("{subject} on {}", shown(pool)),
        ),
    }
}

fn shown(pool: Pool) -> String {
    match pool {
        Pool::Is(PoolId(id)) => format!("pool {id}"),
        Pool::WouldBe => "the new pool".to_owned(),
    }
}

/// What the placeholder is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// Its name: `parent` of KEDA's trigger.
    pub(crate) name: String,
    /// What it offers beyond the usual, for jobs' demands.
    pub(crate) capabilities: BTreeMap<String, String>,
}

impl Placeholder {
    /// The agent that is only a row; a version that no demand is beyond.
    fn description(&self, version: &str) -> AgentDescription {
        let usual = [
            ("Agent.Name", self.name.as_str()),
            ("Agent.Version", version),
            ("Agent.ComputerName", &self.name),
            ("Agent.OS", "Linux"),
            ("Agent.OSArchitecture", "X64"),
        ];
        let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
        AgentDescription {
            name: self.name.clone(),
            version: version.to_owned(),
            os: PLACEHOLDER_OS.to_owned(),
            system_capabilities: usual.into_iter().chain(self.capabilities.clone()).collect(),
            user_capabilities: [(PLACEHOLDER_CAPABILITY.to_owned(), MADE_HERE.to_owned())].into(),
        }
    }
}

/// Whether the agent is only a row that was made here: by its mark, or, where that is not known, by what it says of its system.
pub(crate) fn is_placeholder(agent: &TaskAgent) -> bool {
    let mark = agent.user_capabilities.get(PLACEHOLDER_CAPABILITY);
    mark.is_some_and(|mark| mark == MADE_HERE) || agent.os.as_deref().is_some_and(|os| os.starts_with(PLACEHOLDER_OS))
}

/// The placeholder: added if it is missing, extended if it is ours and lacks capabilities.
pub(crate) fn placeholder(wanted: &Placeholder, pool: Pool, seen: Option<&TaskAgent>, newest: Option<&str>) -> Verdict {
    let name = &wanted.name;
    let subject = format!("placeholder {name}");
    let (Some(agent), Pool::Is(id)) = (seen, pool) else {
        let Some(version) = newest else {
            return stuck(
                subject,
                ProvisionReason::NoAgentVersion,
                "Azure DevOps does not say which agent is the newest, and a placeholder of an older one would not match every job.",
                "Run this again; if it stays so, add the placeholder with the version of your agents by hand.",
            );
        };
        return Verdict::Ask(
            Change::AddAgent(pool, wanted.description(version)),
            format!("{subject} in {}", shown(pool)),
        );
    };
    if agent.online {
        return stuck(
            subject,
            ProvisionReason::PlaceholderNameTaken,
            format!("An agent of this name is online in pool {}.", id.0),
            "Give the placeholder another name (--placeholder), and KEDA's trigger the same one as parent.",
        );
    }
    let has = |name: &str, value: &str| agent.system_capabilities.get(name).is_some_and(|has| has == value);
    let mut missing = wanted
        .capabilities
        .iter()
        .filter(|(name, value)| !has(name, value))
        .peekable();
    let Some((missing_name, _)) = missing.peek().copied() else {
        return Verdict::Settled(Finding::good(
            subject,
            format!("agent {} of pool {}, offline", agent.id.0, id.0),
        ));
    };
    if !is_placeholder(agent) {
        return warned(
            subject,
            ProvisionReason::PlaceholderForeign,
            format!(
                "Agent {} has this name and was not made by this program; it lacks the capability {missing_name}.",
                agent.id.0
            ),
            "Add the capability by hand, or delete the agent and run this again.",
        );
    }
    let mut description = wanted.description(agent.version.as_deref().or(newest).unwrap_or("0.0.0"));
    for (name, value) in &agent.system_capabilities {
        description
            .system_capabilities
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    description.user_capabilities.extend(agent.user_capabilities.clone());
    let names: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    Verdict::Ask(
        Change::ReplaceAgent(id, agent.id, description),
        format!("{subject}, with {}", names.join(", ")),
    )
}

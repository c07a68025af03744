//! What is removed, from what was read: nothing that is still used, and nothing that may not be ours without a word for it.

#[cfg(test)]
mod tests;

use crate::problem::Finding;
use crate::provision::az::{FederatedCredential, ManagedIdentity, Origin, Place};
use crate::provision::change::Change;
use crate::provision::plan::{Verdict, is_placeholder};
use crate::provision::principal::Principal;
use crate::provision::reason::ProvisionReason;
use azure_protocol::{
    DeletePool, PoolSettings, RemoveRole, RemoveServicePrincipal, RoleAssignment, ServicePrincipal, TaskAgent,
};

/// Names that the person typed after `--confirm`, for what nobody can tell who made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confirmed(pub(crate) Vec<String>);

impl Confirmed {
    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|confirmed| confirmed == word)
    }
}

fn gone(subject: String) -> Verdict {
    Verdict::Settled(Finding::good(subject, "not there"))
}

/// It stays, since something uses it.
fn used(subject: String, sentence: String, fix: &str) -> Verdict {
    left(subject, ProvisionReason::StillUsed, sentence, fix.to_owned())
}

/// It stays, since nobody can tell whether this program made it.
fn unconfirmed(subject: String, word: &str) -> Verdict {
    left(
        subject,
        ProvisionReason::NotConfirmed,
        "It stays: whether this program made it cannot be told.".to_owned(),
        format!("If it is to go, add --confirm {word}."),
    )
}

fn left(subject: String, reason: ProvisionReason, sentence: String, fix: String) -> Verdict {
    Verdict::Settled(Finding::warning(subject, sentence, reason.fix(fix)))
}

/// The placeholder: removed if it is only a row.
pub(crate) fn placeholder(name: &str, pool: &PoolSettings, seen: Option<&TaskAgent>, confirmed: &Confirmed) -> Verdict {
    let subject = format!("placeholder {name}");
    let Some(agent) = seen else { return gone(subject) };
    if agent.online || agent.assigned.is_some() {
        let sentence = format!("Agent {} is online or has a job: it is a real agent.", agent.id.0);
        return used(subject, sentence, "End it first, or leave it.");
    }
    let word = format!("agent/{name}");
    if !is_placeholder(agent) && !confirmed.has(&word) {
        return unconfirmed(subject, &word);
    }
    Verdict::Ask(Change::DeleteAgent(pool.id, agent.id), subject)
}

/// A role: taken away if no agents are left, and the identity is ours.
pub(crate) fn role(
    principal: &Principal,
    pool: &PoolSettings,
    user: Option<&ServicePrincipal>,
    roles: &[RoleAssignment],
    agents: &[TaskAgent],
    origin: Origin,
    confirmed: &Confirmed,
) -> Verdict {
    let subject = format!("role of {} on pool {}", principal.name, pool.name);
    let assignment = user.and_then(|user| roles.iter().find(|role| role.is_of(&user.id)));
    let (Some(user), Some(_)) = (user, assignment) else {
        return gone(subject);
    };
    if let Some(stays) = used_by(agents, &subject) {
        return stays;
    }
    let word = format!("role/{}", principal.name);
    if origin == Origin::Unknown && !confirmed.has(&word) {
        return unconfirmed(subject, &word);
    }
    let remove = RemoveRole {
        pool: pool.id,
        identity: user.id.clone(),
    };
    Verdict::Ask(Change::RemoveRole(remove), subject)
}

/// The pool: deleted if it is empty and that was confirmed, since nothing tells who made it.
pub(crate) fn pool(name: &str, seen: Option<(&PoolSettings, &[TaskAgent])>, confirmed: &Confirmed) -> Verdict {
    let subject = format!("pool {name}");
    let Some((pool, agents)) = seen else {
        return gone(subject);
    };
    if let Some(stays) = used_by(agents, &subject) {
        return stays;
    }
    let word = format!("pool/{name}");
    if !confirmed.has(&word) {
        return unconfirmed(subject, &word);
    }
    Verdict::Ask(Change::DeletePool(DeletePool { pool: pool.id }), subject)
}

/// Whose the agents are does not matter: a pool with agents is used.
fn used_by(agents: &[TaskAgent], subject: &str) -> Option<Verdict> {
    let mut names: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
    let count = names.len();
    names.truncate(5);
    let more = if count > names.len() { ", …" } else { "" };
    (count > 0).then(|| {
        used(
            subject.to_owned(),
            format!("It stays: {count} agents are in the pool ({}{more}).", names.join(", ")),
            "Scale the agents down first; what is left then, ado-agent sweep removes.",
        )
    })
}

/// A user: removed if it has no role on any other pool, and the identity is ours.
pub(crate) fn user(
    principal: &Principal,
    seen: Option<&ServicePrincipal>,
    pools_with_roles: &[String],
    origin: Origin,
    confirmed: &Confirmed,
) -> Verdict {
    let subject = format!("user {}", principal.name);
    let Some(user) = seen else { return gone(subject) };
    if !pools_with_roles.is_empty() {
        let sentence = format!("It stays: it has a role on {}.", pools_with_roles.join(", "));
        return used(subject, sentence, "Take its roles away first (phase role, --pool).");
    }
    let word = format!("user/{}", principal.name);
    if origin == Origin::Unknown && !confirmed.has(&word) {
        return unconfirmed(subject, &word);
    }
    let remove = RemoveServicePrincipal { id: user.id.clone() };
    Verdict::Ask(Change::RemoveUser(remove), subject)
}

/// A federated credential: deleted if its name says that this program made it.
pub(crate) fn credential(
    principal: &Principal,
    place: &Place,
    wanted: &FederatedCredential,
    seen: &[FederatedCredential],
    confirmed: &Confirmed,
) -> Verdict {
    let subject = format!("federated credential of {} for {}", principal.name, principal.account);
    let Some(there) = seen.iter().find(|there| there.trusts_the_same(wanted)) else {
        return gone(subject);
    };
    let word = format!("credential/{}", there.name);
    if there.name != wanted.name && !confirmed.has(&word) {
        return unconfirmed(subject, &word);
    }
    Verdict::Ask(
        Change::Az(place.delete_credential(&principal.name, &there.name)),
        subject,
    )
}

/// A managed identity: deleted if it has no federated credentials, is no user any more, and carries our tag.
pub(crate) fn identity(
    principal: &Principal,
    place: &Place,
    seen: Option<&ManagedIdentity>,
    credentials: &[FederatedCredential],
    user: Option<&ServicePrincipal>,
    confirmed: &Confirmed,
) -> Verdict {
    let subject = format!("managed identity {}", principal.name);
    let Some(identity) = seen else { return gone(subject) };
    if let Some(credential) = credentials.first() {
        let sentence = format!(
            "It stays: it has {} federated credentials, {} for {} among them.",
            credentials.len(),
            credential.name,
            credential.subject
        );
        return used(
            subject,
            sentence,
            "Remove them where they are used (phase credential, with that cluster's --issuer).",
        );
    }
    if user.is_some() {
        let sentence = "It stays: it is a user of the organization still.".to_owned();
        return used(subject, sentence, "Remove the user first (phase user).");
    }
    let word = format!("identity/{}", principal.name);
    if identity.origin == Origin::Unknown && !confirmed.has(&word) {
        return unconfirmed(subject, &word);
    }
    Verdict::Ask(Change::Az(place.delete_identity(&principal.name)), subject)
}

//! The placeholder: an agent that is never online, so that Azure DevOps takes jobs for a pool whose agents come with the jobs.
//! Its capabilities are those of the newest agent, since a job's demands are compared with them.

use crate::fleet::PoolReading;
use crate::session::Session;
use azure_protocol::{AddAgent, AgentDescription, AgentId, GetAgent, ReplaceAgent, ServerTime, TaskAgent, same_name};
use std::collections::BTreeMap;
use sweep::Mode;

/// User capability of a placeholder that was made here; others are left alone.
pub const PLACEHOLDER_CAPABILITY: &str = "ADO_AGENT_PLACEHOLDER";
/// Value of [`PLACEHOLDER_CAPABILITY`], also where `provision` made it: keep then looks after it.
pub const MADE_HERE: &str = "ado-agent keep";
/// The agent's own capability with its name.
const AGENT_NAME: &str = "Agent.Name";
/// What belongs to one pod or machine and not to the image.
const PERSONAL: &[&str] = &["HOSTNAME", "Agent.ComputerName", "Agent.HomeDirectory"];
/// How many newest agents are copied at most: not each of thousands of pods.
const BETWEEN: i64 = 3_600;

/// What was copied last.
#[derive(Debug, Default)]
pub(super) struct Memory {
    copied: Option<(AgentId, ServerTime)>,
    said: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// All is well.
    Nothing,
    /// There is none.
    Add(AgentDescription),
    /// It says something else than the newest agent.
    Replace(AgentId, AgentDescription),
    /// Nothing can be done, and why.
    Leave(String),
}

/// What the placeholder of this name says, after the newest agent.
fn description(name: &str, newest: &TaskAgent) -> AgentDescription {
    let mut system: BTreeMap<String, String> = newest.system_capabilities.clone();
    system.retain(|key, _| !key.starts_with("ADO_AGENT_") && !PERSONAL.contains(&key.as_str()));
    system.insert(AGENT_NAME.to_owned(), name.to_owned());
    let mut user = newest.user_capabilities.clone();
    user.insert(PLACEHOLDER_CAPABILITY.to_owned(), MADE_HERE.to_owned());
    AgentDescription {
        name: name.to_owned(),
        version: newest.version.clone().unwrap_or_default(),
        os: newest.os.clone().unwrap_or_default(),
        system_capabilities: system,
        user_capabilities: user,
    }
}

/// Decides what to do; both agents with their capabilities.
fn plan(name: &str, existing: Option<&TaskAgent>, newest: Option<&TaskAgent>) -> Plan {
    let Some(newest) = newest else {
        return match existing {
            Some(_) => Plan::Nothing,
            None => Plan::Leave(format!(
                "the pool has no agent of ours yet after which placeholder \"{name}\" could be made; start one agent pod"
            )),
        };
    };
    let wanted = description(name, newest);
    let Some(existing) = existing else {
        return Plan::Add(wanted);
    };
    let is_ours = existing
        .user_capabilities
        .get(PLACEHOLDER_CAPABILITY)
        .map(String::as_str)
        == Some(MADE_HERE);
    if !is_ours {
        return Plan::Leave(format!(
            "agent \"{name}\" was not made by ado-agent keep and is left as it is; choose another name, or remove it"
        ));
    }
    if existing.online {
        return Plan::Leave(format!("placeholder \"{name}\" is online: a real agent has its name"));
    }
    let same = existing.system_capabilities == wanted.system_capabilities
        && existing.user_capabilities == wanted.user_capabilities
        && existing.version.as_deref() == Some(wanted.version.as_str());
    if same {
        Plan::Nothing
    } else {
        Plan::Replace(existing.id, wanted)
    }
}

/// Keeps the placeholder of a pool in being.
pub(super) async fn keep(
    session: &Session,
    reading: &PoolReading,
    name: &str,
    mode: Mode,
    memory: &mut Memory,
) -> anyhow::Result<()> {
    let (pool, pool_name) = (reading.pool.id, reading.pool.name.as_str());
    let existing = reading.agents.iter().find(|agent| same_name(&agent.agent.name, name));
    let newest = reading
        .agents
        .iter()
        .filter(|agent| agent.owner().is_some() && !same_name(&agent.agent.name, name))
        .max_by_key(|agent| (agent.agent.created, agent.agent.id));
    let recent = |(id, at): (AgentId, ServerTime)| {
        newest.is_none_or(|newest| newest.agent.id == id) || reading.date.0.saturating_sub(at.0) < BETWEEN
    };
    if existing.is_some() && memory.copied.is_some_and(recent) {
        return Ok(());
    }
    let whole = async |agent: Option<AgentId>| match agent {
        Some(agent) => session
            .ask(pool_name, &GetAgent { pool, agent })
            .await
            .map(|asked| Some(asked.value)),
        None => Ok(None),
    };
    let existing = whole(existing.map(|agent| agent.agent.id)).await?;
    let newest = whole(newest.map(|agent| agent.agent.id)).await?;
    let done = match plan(name, existing.as_ref(), newest.as_ref()) {
        Plan::Nothing => None,
        Plan::Leave(why) => Some(why),
        Plan::Add(_) | Plan::Replace(..) if mode == Mode::DryRun => {
            Some(format!("placeholder \"{name}\" would be made (dry run)"))
        }
        Plan::Add(description) => {
            session.ask(pool_name, &AddAgent { pool, description }).await?;
            Some(format!("placeholder \"{name}\" was added"))
        }
        Plan::Replace(agent, description) => {
            session
                .ask(
                    pool_name,
                    &ReplaceAgent {
                        pool,
                        agent,
                        description,
                    },
                )
                .await?;
            Some(format!("placeholder \"{name}\" has the newest agent's capabilities"))
        }
    };
    memory.copied = newest.map(|agent| (agent.id, reading.date));
    if let Some(done) = done.filter(|done| memory.said.as_ref() != Some(done)) {
        tracing::info!(pool = pool_name, "{done}");
        memory.said = Some(done);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline_agent::offline_agent;

    fn agent(id: i64, name: &str, system: &[(&str, &str)], user: &[(&str, &str)]) -> TaskAgent {
        let texts = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        TaskAgent {
            version: Some("4.1.0".to_owned()),
            os: Some("Linux".to_owned()),
            system_capabilities: texts(system),
            user_capabilities: texts(user),
            ..offline_agent(id, name)
        }
    }

    #[test]
    fn a_placeholder_is_made_after_the_newest_agent_without_what_is_its_own() {
        let newest = agent(
            9,
            "pod-1",
            &[
                ("Agent.Name", "pod-1"),
                ("ADO_AGENT_OWNER", "ado-agent/v1/c/n/p/u"),
                ("HOSTNAME", "pod-1"),
                ("java", "17"),
            ],
            &[("team", "a")],
        );
        let Plan::Add(made) = plan("placeholder", None, Some(&newest)) else {
            panic!("there is none");
        };
        let keys: Vec<&str> = made.system_capabilities.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["Agent.Name", "java"],
            "a marker would make the sweep take it for a pod's"
        );
        assert_eq!(made.system_capabilities["Agent.Name"], "placeholder");
        let existing = TaskAgent {
            system_capabilities: made.system_capabilities,
            user_capabilities: made.user_capabilities,
            ..agent(1, "placeholder", &[], &[])
        };
        assert_eq!(plan("placeholder", Some(&existing), Some(&newest)), Plan::Nothing);
        assert_eq!(plan("placeholder", Some(&existing), None), Plan::Nothing);
        let newer = agent(10, "pod-2", &[("java", "21")], &[("team", "a")]);
        assert!(matches!(
            plan("placeholder", Some(&existing), Some(&newer)),
            Plan::Replace(AgentId(1), _)
        ));
        let online = TaskAgent {
            online: true,
            ..existing
        };
        assert!(matches!(
            plan("placeholder", Some(&online), Some(&newer)),
            Plan::Leave(_)
        ));
    }

    #[test]
    fn somebody_elses_placeholder_is_left_alone() {
        let newest = agent(9, "pod-1", &[], &[]);
        let theirs = agent(1, "placeholder", &[], &[]);
        assert!(matches!(
            plan("placeholder", Some(&theirs), Some(&newest)),
            Plan::Leave(_)
        ));
        assert!(matches!(plan("placeholder", None, None), Plan::Leave(_)));
    }
}

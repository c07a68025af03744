//! The checks before the agent may start: reads only, never a trial write.
//!
//! The pool is looked up by name first, which also proves that the organization is reachable and accepts the token.

use crate::context::Context;
use crate::ownership::pod_of_our_namespace;
use crate::sentences::{self, Problem, Trouble};
use crate::{Settings, Severity};
use azure_protocol::{AdoError, AdoRequest, AdoResponse, Agent, PoolId};
use contract::Reason;

/// The step that comes once the pool is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preflight {
    /// May the identity manage the pool?
    Role,
    /// Is the agent's name free, ours, or at least not in use?
    Name,
    /// Everything was checked; the token file may still have to be written.
    Passed,
}

impl Preflight {
    pub(crate) fn request(self, pool: PoolId, settings: &Settings) -> Option<AdoRequest> {
        match self {
            Self::Role => Some(AdoRequest::MayManage(pool)),
            Self::Name => Some(AdoRequest::AgentByName(pool, settings.agent_name.clone())),
            Self::Passed => None,
        }
    }

    /// Takes the response to a check.
    pub(crate) fn receive(
        &mut self,
        request: &AdoRequest,
        result: Result<AdoResponse, AdoError>,
        context: &mut Context,
    ) -> Result<(), Problem> {
        match (request, result) {
            (AdoRequest::MayManage(_), Ok(AdoResponse::MayManage(true))) => {
                *self = Self::Name;
                Ok(())
            }
            (AdoRequest::MayManage(_), Ok(AdoResponse::MayManage(false))) => {
                Err(sentences::role_missing(&context.settings).into())
            }
            (AdoRequest::AgentByName(..), Ok(AdoResponse::Agents(agents))) => {
                check_name(&agents, context)?;
                *self = Self::Passed;
                Ok(())
            }
            (_, Ok(_)) => Err(context.problem(request, sentences::unexpected_response())),
            (_, Err(error)) => Err(context.problem(request, error)),
        }
    }
}

/// An online agent of this name that is not ours blocks the start, unless it belongs to a pod of our namespace: of two pods with
/// one name the newer takes it over, or a rolling update would deadlock. An offline one does not block either: it is the
/// leftover of an earlier pod. Start scripts configure with `--replace`.
///
/// With the gateway an agent that is online is never replaced: the pod's own would be refused, so it does not start.
fn check_name(agents: &[Agent], context: &mut Context) -> Result<(), Trouble> {
    let foreign = agents
        .iter()
        .filter(|agent| agent.is_named(&context.settings.agent_name))
        .find(|agent| !context.is_ours(agent));
    match foreign {
        None => context.name_is_free(),
        Some(agent) if context.gateway.is_some() => {
            if agent.online {
                return Err(sentences::name_taken(&context.settings));
            }
            let sentence = sentences::name_of_a_left_over(&context.settings);
            context.note(Severity::Info, Reason::NameTaken, sentence);
        }
        Some(agent) if !agent.online => {
            let sentence = sentences::name_of_an_offline_agent(&context.settings);
            context.note(Severity::Info, Reason::NameTaken, sentence);
        }
        Some(agent) => {
            let Some(pod) = pod_of_our_namespace(agent, &context.settings) else {
                return Err(sentences::name_taken(&context.settings));
            };
            let sentence = sentences::name_of_another_pod(&pod, &context.settings);
            context.note(Severity::Warning, Reason::NameTaken, sentence);
        }
    }
    Ok(())
}

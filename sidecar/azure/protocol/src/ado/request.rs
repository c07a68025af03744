//! What is asked of Azure DevOps, one REST request each, and what it answers.

use super::{Agent, AgentId, Availability, Criteria, PoolId, Shortlist};

/// A request to Azure DevOps (REST API 7.1, area `distributedtask`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoRequest {
    /// Which tenant does the organization trust? (An unauthenticated request.)
    Tenant,
    /// Which pool has this name?
    PoolByName(String),
    /// May the identity manage the pool?
    MayManage(PoolId),
    /// Which agent has this name? (With capabilities and assigned request.)
    AgentByName(PoolId, String),
    /// Which agents of the pool meet the criteria best? (Without capabilities.)
    Agents(PoolId, Criteria),
    /// One agent. (With capabilities and assigned request.)
    Agent(PoolId, AgentId),
    /// Enable or disable the agent.
    SetAvailability(PoolId, AgentId, Availability),
    /// Remove the agent from the pool.
    Delete(PoolId, AgentId),
}

/// What Azure DevOps answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoResponse {
    /// To [`AdoRequest::Tenant`]; `None`: the response did not say.
    Tenant(Option<String>),
    /// To [`AdoRequest::PoolByName`]; `None`: the pool does not exist, or the identity may not see it.
    Pool(Option<PoolId>),
    /// To [`AdoRequest::MayManage`].
    MayManage(bool),
    /// To [`AdoRequest::AgentByName`] and [`AdoRequest::Agent`].
    Agents(Vec<Agent>),
    /// To [`AdoRequest::Agents`].
    Shortlist(Shortlist),
    /// To [`AdoRequest::SetAvailability`] and [`AdoRequest::Delete`].
    Done,
}

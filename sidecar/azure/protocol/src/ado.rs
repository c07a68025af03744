//! Azure DevOps: requests, responses, errors.

mod agent;
mod error;
mod explain;
mod failure;
mod operation;
mod reading;
mod request;
mod route;
mod shortlist;

pub use agent::{Agent, AgentId, Availability, PoolId, same_name};
pub use error::{AdoError, AdoErrorKind};
pub use explain::AdoContext;
pub use operation::{
    AddAgent, AddServicePrincipal, AgentDescription, AgentPool, AssignRole, CreatePool, DeleteAgent, DeletePool,
    Endpoint, FindAgent, FindPool, GetAgent, Include, JobRequest, License, ListAgents, ListJobRequests, ListPools,
    ListRoles, NewestAgent, OPERATION_LIMIT, Operation, OperationReader, PoolRole, PoolSettings, RemoveRole,
    RemoveServicePrincipal, ReplaceAgent, Right, RoleAssignment, Service, ServicePrincipal, ServicePrincipalPage,
    ServicePrincipals, Subject, TaskAgent,
};
pub use reading::AdoReader;
pub use request::{AdoRequest, AdoResponse};
pub use route::{Route, route};
pub use shortlist::{Criteria, Shortlist};

//! What is asked of Entra and Azure DevOps, what they answer, and what that means for a person.
//!
//! Values only: no IO, no clock, no randomness. The client (which speaks HTTP), the sidecar's state machine (which decides)
//! and whoever else asks Azure share these types. The client reports the *kind* of an error; the product that uses it
//! chooses the reason, the sentence and the pace of retries, and the first two are here, so that they are the same
//! everywhere.
//!
//! ```
//! use azure_protocol::{AdoContext, AdoError, AdoErrorKind, AdoRequest};
//!
//! let context = AdoContext {
//!     url: "https://dev.azure.com/contoso",
//!     pool: "linux",
//!     client_id: "6f1c…",
//!     tenant: None,
//! };
//! let error = AdoError {
//!     kind: AdoErrorKind::Forbidden,
//!     detail: "403 AccessDeniedException".to_owned(),
//!     tenant: None,
//! };
//! let explanation = context.explain(&AdoRequest::PoolByName("linux".to_owned()), &error);
//! assert_eq!(explanation.reason.as_str(), "role-missing");
//! ```

mod ado;
mod entra;
mod explanation;
mod http;
mod time;

pub use ado::{
    AddAgent, AddServicePrincipal, AdoContext, AdoError, AdoErrorKind, AdoReader, AdoRequest, AdoResponse, Agent,
    AgentDescription, AgentId, AgentPool, AssignRole, Availability, CreatePool, Criteria, DeleteAgent, DeletePool,
    Endpoint, FindAgent, FindPool, GetAgent, Include, JobRequest, License, ListAgents, ListJobRequests, ListPools,
    ListRoles, NewestAgent, OPERATION_LIMIT, Operation, OperationReader, PoolId, PoolRole, PoolSettings, RemoveRole,
    RemoveServicePrincipal, ReplaceAgent, Right, RoleAssignment, Route, Service, ServicePrincipal,
    ServicePrincipalPage, ServicePrincipals, Shortlist, Subject, TaskAgent, route, same_name,
};
pub use entra::{
    AccessToken, BINDING_AUDIENCE, Claims, EntraContext, EntraError, EntraErrorKind, Refusal, TokenReader, TokenServer,
};
pub use explanation::Explanation;
pub use http::{Flow, Keep, Malformed, Response, Sieve};
pub use time::ServerTime;

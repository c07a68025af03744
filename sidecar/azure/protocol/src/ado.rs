//! Azure DevOps: requests, responses, errors.

mod agent;
mod error;
mod explain;
mod request;
mod shortlist;

pub use agent::{Agent, AgentId, Availability, PoolId, same_name};
pub use error::{AdoError, AdoErrorKind};
pub use explain::AdoContext;
pub use request::{AdoRequest, AdoResponse};
pub use shortlist::{Criteria, Shortlist};

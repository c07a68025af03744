//! Azure DevOps: requests, responses, errors.

mod agent;
mod error;
mod explain;
mod failure;
mod reading;
mod request;
mod route;
mod shortlist;

pub use agent::{Agent, AgentId, Availability, PoolId, same_name};
pub use error::{AdoError, AdoErrorKind};
pub use explain::AdoContext;
pub use reading::AdoReader;
pub use request::{AdoRequest, AdoResponse};
pub use route::{Route, route};
pub use shortlist::{Criteria, Shortlist};

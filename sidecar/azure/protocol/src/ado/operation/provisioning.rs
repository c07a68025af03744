//! What an administrator does once: users of the organization, pools, roles on them.
//!
//! Routes and shapes: Azure DevOps REST API 7.1 (`memberEntitlementManagement`, `distributedTask`), Microsoft's Terraform provider
//! (`securityroles/client.go`), and for the search of members a public script that reads `items` of `memberentitlements`.

mod pools;
mod roles;
#[cfg(test)]
mod tests;
mod users;

pub use pools::{CreatePool, DeletePool, FindPool, NewestAgent, PoolSettings};
pub use roles::{AssignRole, ListRoles, PoolRole, RemoveRole, RoleAssignment};
pub use users::{
    AddServicePrincipal, License, RemoveServicePrincipal, ServicePrincipal, ServicePrincipalPage, ServicePrincipals,
};

use super::{Endpoint, Service};
use crate::ado::Route;
use http::Method;
use serde_json::Value;

/// Versions of resources that are under preview.
const PREVIEW: (&str, &str) = ("api-version", "7.1-preview.1");

fn endpoint(
    service: Service,
    method: Method,
    segments: &[&str],
    query: &[(&'static str, &str)],
    body: Option<Value>,
) -> Endpoint {
    Endpoint {
        service,
        route: Route {
            method,
            segments: segments.iter().map(|segment| (*segment).to_owned()).collect(),
            query: query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            body,
        },
    }
}

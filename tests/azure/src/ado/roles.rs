//! Roles on an organization's pools: definitions and assignments.

use super::Ado;
use super::agents::text;
use super::call::{Call, list};
use super::errors::Refusal;
use super::rights::{ADMINISTER, Role, VIEW};
use super::state::Organization;
use crate::clock::Timestamp;
use crate::http::Reply;
use serde_json::{Value, json};

/// The scope of an organization's pools, in lower case as paths are compared.
const SCOPE: &str = "distributedtask.agentpoolrole";

impl Ado {
    /// `GET …/roledefinitions`.
    pub(super) fn role_definitions(&self, scope: &str) -> Result<Reply, Refusal> {
        known(scope)?;
        Ok(list(&Role::ALL.into_iter().map(definition).collect::<Vec<_>>()))
    }

    /// `GET|PUT|PATCH …/roleassignments/resources/{pool}` and `PUT …/{pool}/{identity}`.
    ///
    /// An identity that Azure DevOps does not know is no error: the answer is a list without it (microsoft's
    /// terraform-provider-azuredevops, `utils/sdk/securityroles/client.go`). The answer of a PUT holds what was set and
    /// nothing else, as public walk-throughs print it; `PATCH` with a list of identities takes their roles away.
    pub(super) fn role_assignments(&self, call: &Call<'_>, scope: &str, resource: &[&str]) -> Result<Reply, Refusal> {
        known(scope)?;
        let nowhere = || Refusal::no_such_route(&call.request.method, &call.request.path);
        let pool: i64 = resource
            .first()
            .and_then(|pool| pool.parse().ok())
            .ok_or_else(nowhere)?;
        let mut state = self.lock();
        let (needed, now) = (if call.request.method == "GET" { VIEW } else { ADMINISTER }, call.now);
        call.pool(&state, pool, needed)?;
        let organization = call.organization_mut(&mut state);
        match (call.request.method.as_str(), resource) {
            ("GET", [_]) => Ok(assignments(organization, pool, |_| true)),
            ("PUT", [_]) => {
                let wanted = call.request.json().unwrap_or_default();
                let wanted = wanted
                    .as_array()
                    .ok_or_else(|| Refusal::bad_argument("The request body must be an array of role assignments."))?;
                let mut set = Vec::new();
                for assignment in wanted {
                    let member = text(assignment, "userId").unwrap_or_default();
                    set.extend(assign(organization, pool, &member, assignment, now)?);
                }
                Ok(assignments(organization, pool, |id| set.iter().any(|set| set == id)))
            }
            ("PUT", [_, member]) => {
                let set = assign(organization, pool, member, &call.body()?, now)?;
                Ok(assignments(organization, pool, |id| set.as_deref() == Some(id)))
            }
            ("PATCH", [_]) => {
                let removed: Vec<String> = serde_json::from_slice(&call.request.body)
                    .map_err(|_| Refusal::bad_argument("The request body must be an array of identity ids."))?;
                if let Some(pool) = organization.pool_mut(pool) {
                    pool.roles
                        .retain(|id, _| !removed.iter().any(|removed| removed.eq_ignore_ascii_case(id)));
                }
                Ok(Reply::empty(204))
            }
            _ => Err(nowhere()),
        }
    }
}

fn known(scope: &str) -> Result<(), Refusal> {
    if scope == SCOPE {
        return Ok(());
    }
    Err(Refusal::bad_argument(format!(
        "The security role scope '{scope}' is not known."
    )))
}

/// Gives a role. Returns the member's id, or nothing where it is not known, or not yet.
fn assign(
    organization: &mut Organization,
    pool: i64,
    member: &str,
    wanted: &Value,
    now: Timestamp,
) -> Result<Option<String>, Refusal> {
    let name = text(wanted, "roleName").unwrap_or_default();
    let role = Role::parse(&name).ok_or_else(|| Refusal::bad_argument(format!("The role '{name}' is not known.")))?;
    let member = organization
        .member(member)
        .filter(|member| member.known_to_roles <= now);
    let Some(id) = member.map(|member| member.id.clone()) else {
        return Ok(None);
    };
    let pool = organization
        .pool_mut(pool)
        .ok_or_else(|| Refusal::pool_not_found(pool))?;
    pool.roles.insert(id.clone(), role);
    Ok(Some(id))
}

/// The assignments of those members that are asked for.
fn assignments(organization: &Organization, pool: i64, wanted: impl Fn(&str) -> bool) -> Reply {
    let roles = organization.pool(pool).into_iter().flat_map(|pool| &pool.roles);
    let assignment = |(id, role): (&String, &Role)| {
        let name = organization.member(id).map(|member| member.name.clone());
        json!({
            "access": "assigned",
            "accessDisplayName": "Assigned",
            "identity": { "id": id, "displayName": name, "uniqueName": name },
            "role": definition(*role),
        })
    };
    let wanted = roles.filter(|(id, _)| wanted(id));
    list(&wanted.map(assignment).collect::<Vec<_>>())
}

fn definition(role: Role) -> Value {
    json!({
        "name": role.name(),
        "displayName": role.name(),
        "identifier": format!("{SCOPE}.{}", role.name()),
        "description": role.description(),
        "scope": SCOPE,
        "allowPermissions": role.permissions(),
        "denyPermissions": 0,
    })
}

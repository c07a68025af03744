//! What an administrator does once: add an identity to the organisation, give it a role on a pool.

use super::Ado;
use super::agents::text;
use super::call::{Call, list};
use super::errors::Refusal;
use super::state::{Licence, MANAGE, Member, Organisation, Role, VIEW};
use crate::guid;
use crate::http::Reply;
use serde_json::{Value, json};

/// The scope of an organisation's pools, in lower case as paths are compared.
const SCOPE: &str = "distributedtask.agentpoolrole";

impl Ado {
    /// `POST serviceprincipalentitlements`: makes a service principal a user. A 200 may say `isSuccess: false`.
    pub(super) fn add_entitlement(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let member = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let mut state = self.lock();
        let organisation = call.organisation_mut(&mut state);
        call.administrator(organisation)?;
        let licence = match member("/accessLevel/accountLicenseType").to_ascii_lowercase().as_str() {
            "express" => Licence::Basic,
            "stakeholder" => Licence::Stakeholder,
            other => {
                return Err(Refusal::bad_argument(format!(
                    "accountLicenseType '{other}' is not known."
                )));
            }
        };
        let kind = member("/servicePrincipal/subjectKind");
        if member("/servicePrincipal/origin") != "aad" || !kind.eq_ignore_ascii_case("servicePrincipal") {
            return Err(Refusal::bad_argument(
                "servicePrincipal needs origin aad and subjectKind servicePrincipal.",
            ));
        }
        let object_id = member("/servicePrincipal/originId");
        let principal = self.inner.entra.principal(object_id);
        let Some(principal) = principal.filter(|found| found.tenant == organisation.tenant) else {
            let problem = format!("VS403283: Could not add user '{object_id}' at this time.");
            return Ok(Self::entitlement_refused(&problem));
        };
        let found = organisation
            .members
            .iter_mut()
            .find(|found| found.object_id == principal.object_id);
        let id = match found {
            Some(found) => {
                found.licence = licence;
                found.id.clone()
            }
            None => {
                let id = guid::random();
                organisation.members.push(Member {
                    id: id.clone(),
                    object_id: principal.object_id.clone(),
                    name: principal.name.clone(),
                    licence,
                    administrator: false,
                });
                id
            }
        };
        let entitlement = json!({
            "id": id,
            "accessLevel": { "accountLicenseType": member("/accessLevel/accountLicenseType"), "status": "active" },
            "servicePrincipal": {
                "subjectKind": "servicePrincipal", "origin": "aad", "originId": principal.object_id,
                "applicationId": principal.client_id, "displayName": principal.name,
            },
            "projectEntitlements": [],
        });
        Ok(Reply::json(
            200,
            &json!({
                "operationResult": {
                    "isSuccess": true, "errors": [], "servicePrincipalId": id, "result": entitlement,
                },
                "servicePrincipalEntitlement": entitlement,
                "isSuccess": true,
            }),
        ))
    }

    /// A 200 that says no.
    pub(super) fn entitlement_refused(problem: &str) -> Reply {
        Reply::json(
            200,
            &json!({
                "operationResult": {
                    "isSuccess": false, "errors": [{ "key": 5000, "value": problem }], "result": null,
                },
                "servicePrincipalEntitlement": null,
                "isSuccess": false,
            }),
        )
    }

    /// `GET …/roledefinitions`.
    pub(super) fn role_definitions(&self, scope: &str) -> Result<Reply, Refusal> {
        known(scope)?;
        Ok(list(&Role::ALL.into_iter().map(definition).collect::<Vec<_>>()))
    }

    /// `GET|PUT …/roleassignments/resources/{pool}[/{identity}]`.
    pub(super) fn role_assignments(&self, call: &Call<'_>, scope: &str, resource: &[&str]) -> Result<Reply, Refusal> {
        known(scope)?;
        let nowhere = || Refusal::no_such_route(&call.request.method, &call.request.path);
        let pool: i64 = resource
            .first()
            .and_then(|pool| pool.parse().ok())
            .ok_or_else(nowhere)?;
        let mut state = self.lock();
        match (call.request.method.as_str(), resource) {
            ("GET", [_]) => {
                call.pool(&state, pool, VIEW)?;
                Ok(assignments(call.organisation(&state), pool))
            }
            ("PUT", [_]) => {
                let wanted = call.request.json().unwrap_or_default();
                let wanted = wanted
                    .as_array()
                    .ok_or_else(|| Refusal::bad_argument("The request body must be an array of role assignments."))?;
                call.pool(&state, pool, MANAGE)?;
                let organisation = call.organisation_mut(&mut state);
                for assignment in wanted {
                    let member = text(assignment, "userId").unwrap_or_default();
                    assign(organisation, pool, &member, assignment)?;
                }
                Ok(assignments(organisation, pool))
            }
            ("PUT", [_, member]) => {
                let wanted = call.body()?;
                call.pool(&state, pool, MANAGE)?;
                let organisation = call.organisation_mut(&mut state);
                assign(organisation, pool, member, &wanted)?;
                Ok(assignments(organisation, pool))
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

fn assign(organisation: &mut Organisation, pool: i64, member: &str, wanted: &Value) -> Result<(), Refusal> {
    let name = text(wanted, "roleName").unwrap_or_default();
    let role = Role::parse(&name).ok_or_else(|| Refusal::bad_argument(format!("The role '{name}' is not known.")))?;
    let unknown = || Refusal::bad_argument(format!("The identity '{member}' is not known in this organisation."));
    let id = organisation.member(member).ok_or_else(unknown)?.id.clone();
    let pool = organisation
        .pool_mut(pool)
        .ok_or_else(|| Refusal::pool_not_found(pool))?;
    pool.roles.insert(id, role);
    Ok(())
}

fn assignments(organisation: &Organisation, pool: i64) -> Reply {
    let roles = organisation.pool(pool).into_iter().flat_map(|pool| &pool.roles);
    let assignment = |(id, role): (&String, &Role)| {
        let name = organisation.member(id).map(|member| member.name.clone());
        json!({
            "access": "assigned",
            "accessDisplayName": "Assigned",
            "identity": { "id": id, "displayName": name, "uniqueName": name },
            "role": definition(*role),
        })
    };
    list(&roles.map(assignment).collect::<Vec<_>>())
}

fn definition(role: Role) -> Value {
    json!({
        "name": role.name(),
        "displayName": role.name(),
        "identifier": format!("{SCOPE}.{}", role.name()),
        "scope": SCOPE,
        "allowPermissions": role.permissions(),
        "denyPermissions": 0,
    })
}

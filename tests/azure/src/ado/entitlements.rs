//! User entitlements: who is a user of the organization, and with which license.

use super::Ado;
use super::agents::text;
use super::call::Call;
use super::errors::Refusal;
use super::rights::License;
use super::state::Member;
use crate::entra::{Identity, Kind};
use crate::guid;
use crate::http::Reply;
use serde_json::{Value, json};
use std::time::Duration;

/// How many members a page has.
const PAGE: usize = 100;

impl Ado {
    /// `GET memberentitlements?$filter=&$orderBy=&continuationToken=`: users, a page at a time, for administrators.
    pub(super) fn member_entitlements(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let state = self.lock();
        let organization = call.organization(&state);
        call.administrator(organization)?;
        let parameter = |name: &str| call.request.parameter(name).filter(|value| !value.is_empty());
        let applications = match parameter("$filter") {
            None => false,
            Some("userType eq 'application'") => true,
            Some(other) => {
                return Err(Refusal::bad_argument(format!(
                    "The emulator does not know $filter={other}."
                )));
            }
        };
        let first: usize = match parameter("continuationToken") {
            None => 0,
            Some(token) => token
                .parse()
                .map_err(|_| Refusal::bad_argument("The continuation token is not valid."))?,
        };
        let mut members: Vec<(&Member, Option<Identity>)> = organization
            .members
            .iter()
            .map(|member| (member, self.inner.entra.principal(&member.object_id)))
            .filter(|(_, principal)| !applications || principal.as_ref().is_some_and(|found| found.kind != Kind::User))
            .collect();
        if parameter("$orderBy").is_some_and(|order| order.eq_ignore_ascii_case("name Ascending")) {
            members.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        }
        let page = members.iter().skip(first).take(PAGE);
        let items: Vec<Value> = page
            .map(|(member, principal)| searched(member, principal.as_ref()))
            .collect();
        let next = (members.len() > first + PAGE).then(|| (first + PAGE).to_string());
        Ok(Reply::json(
            200,
            &json!({ "items": items, "continuationToken": next, "totalCount": members.len() }),
        ))
    }

    /// `POST serviceprincipalentitlements`: makes a service principal a user. A 200 may say `isSuccess: false`.
    pub(super) fn add_entitlement(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let member = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let mut state = self.lock();
        let spread = Duration::from_secs(state.behavior.entitlement_spread_seconds);
        let organization = call.organization_mut(&mut state);
        call.administrator(organization)?;
        let license = license(&body["accessLevel"])?;
        let kind = member("/servicePrincipal/subjectKind");
        if member("/servicePrincipal/origin") != "aad" || !kind.eq_ignore_ascii_case("servicePrincipal") {
            return Err(Refusal::bad_argument(
                "servicePrincipal needs origin aad and subjectKind servicePrincipal.",
            ));
        }
        let object_id = member("/servicePrincipal/originId");
        let principal = self.inner.entra.principal(object_id);
        let Some(principal) = principal.filter(|found| found.tenant == organization.tenant) else {
            let problem = format!("VS403283: Could not add user '{object_id}' at this time.");
            return Ok(Self::entitlement_refused(&problem));
        };
        let mut members = organization.members.iter_mut();
        let entitlement = match members.find(|found| found.object_id == principal.object_id) {
            Some(found) => {
                found.license = license;
                json(found, Some(&principal))
            }
            None => {
                let member = Member {
                    id: guid::random(),
                    object_id: principal.object_id.clone(),
                    name: principal.name.clone(),
                    license,
                    administrator: false,
                    known_to_roles: call.now.plus(spread),
                };
                let entitlement = json(&member, Some(&principal));
                organization.members.push(member);
                entitlement
            }
        };
        Ok(Reply::json(
            200,
            &json!({
                "operationResult": result(&entitlement),
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

    /// `GET|PATCH|DELETE serviceprincipalentitlements/{id}`, for administrators.
    pub(super) fn entitlement(&self, call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
        let mut state = self.lock();
        let organization = call.organization_mut(&mut state);
        call.administrator(organization)?;
        let mut members = organization.members.iter_mut();
        let found = members
            .find(|member| member.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| Refusal::entitlement_not_found(id))?;
        let principal = self.inner.entra.principal(&found.object_id);
        match call.request.method.as_str() {
            "GET" => Ok(Reply::json(200, &json(found, principal.as_ref()))),
            // A JSON Patch whose operations replace `/accessLevel`.
            "PATCH" => {
                let operations = call.request.json().unwrap_or_default();
                let operations = operations.as_array().cloned().unwrap_or_default();
                for operation in &operations {
                    if text(operation, "path").as_deref() != Some("/accessLevel") {
                        return Err(Refusal::bad_argument("The emulator replaces /accessLevel only."));
                    }
                    found.license = license(&operation["value"])?;
                }
                let entitlement = json(found, principal.as_ref());
                Ok(Reply::json(
                    200,
                    &json!({
                        "operationResults": [result(&entitlement)],
                        "servicePrincipalEntitlement": entitlement,
                        "isSuccess": true,
                    }),
                ))
            }
            "DELETE" => {
                let id = found.id.clone();
                organization.members.retain(|member| member.id != id);
                for pool in &mut organization.pools {
                    pool.roles.remove(&id);
                }
                Ok(Reply::empty(204))
            }
            method => Err(Refusal::no_such_route(method, &call.request.path)),
        }
    }
}

fn license(access_level: &Value) -> Result<License, Refusal> {
    let name = text(access_level, "accountLicenseType").unwrap_or_default();
    License::parse(&name).ok_or_else(|| Refusal::bad_argument(format!("accountLicenseType '{name}' is not known.")))
}

fn json(member: &Member, principal: Option<&Identity>) -> Value {
    json!({
        "id": member.id,
        "accessLevel": {
            "accountLicenseType": member.license.name(), "licensingSource": "account", "status": "active",
            "statusMessage": "", "assignmentSource": "unknown",
        },
        "servicePrincipal": {
            "subjectKind": "servicePrincipal", "origin": "aad", "originId": member.object_id,
            "applicationId": principal.map(|found| &found.client_id), "displayName": member.name,
        },
        "projectEntitlements": [],
        "groupAssignments": [],
    })
}

/// An entitlement as the search shows it: what is under `servicePrincipal` elsewhere is under `member`.
fn searched(member: &Member, principal: Option<&Identity>) -> Value {
    let mut entitlement = json(member, principal);
    if let Some(entitlement) = entitlement.as_object_mut()
        && let Some(subject) = entitlement.remove("servicePrincipal")
    {
        entitlement.insert("member".to_owned(), subject);
    }
    entitlement
}

fn result(entitlement: &Value) -> Value {
    json!({ "isSuccess": true, "errors": [], "servicePrincipalId": entitlement["id"], "result": entitlement })
}

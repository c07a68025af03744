//! Pools over REST, and what the caller may do with them.

use super::Ado;
use super::agents::text;
use super::auth::Caller;
use super::call::{Call, list};
use super::errors::Refusal;
use super::rights::{MANAGE, Role, USE, VIEW};
use super::state::{Organization, PoolState};
use crate::http::Reply;
use serde_json::{Value, json};

impl Ado {
    /// `GET pools?poolName=&poolId=&poolIds=&poolType=&actionFilter=`: pools that the caller may see, or do this with.
    pub(super) fn pools(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let state = self.lock();
        let organization = call.organization(&state);
        let parameter = |name: &str| call.request.parameter(name).filter(|value| !value.is_empty());
        let needed = match parameter("actionFilter").map(str::to_ascii_lowercase).as_deref() {
            None | Some("none" | "0") => VIEW,
            Some("manage" | "2") => VIEW | MANAGE,
            Some("use" | "16") => VIEW | USE,
            Some(other) => return Err(Refusal::bad_argument(format!("actionFilter '{other}' is not known."))),
        };
        if let Some(kind) = parameter("poolType")
            && !kind.eq_ignore_ascii_case("automation")
        {
            return Ok(list(&[]));
        }
        let pools = organization.pools.iter().filter(|pool| {
            call.permissions(organization, pool) & needed == needed
                && parameter("poolName").is_none_or(|name| pool.name.eq_ignore_ascii_case(name))
                && parameter("poolId").is_none_or(|id| pool.id.to_string() == id)
                && parameter("poolIds").is_none_or(|ids| ids.split(',').any(|id| id.trim() == pool.id.to_string()))
        });
        Ok(list(&pools.map(json).collect::<Vec<_>>()))
    }

    pub(super) fn get_pool(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let state = self.lock();
        Ok(Reply::json(200, &json(call.pool(&state, pool, VIEW)?)))
    }

    /// `POST pools`: for administrators of the organization; the creator gets the role Administrator.
    pub(super) fn create_pool(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let mut state = self.lock();
        let creator = call
            .administrator(call.organization(&state))
            .map_err(|_| Refusal::pools_denied(&call.caller.name()))?;
        let organization = call.organization_mut(&mut state);
        let name = text(&body, "name").filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Refusal::bad_argument("The pool needs a name."))?;
        if organization
            .pools
            .iter()
            .any(|pool| pool.name.eq_ignore_ascii_case(&name))
        {
            return Err(Refusal::pool_exists(&name));
        }
        let pool = organization.add_pool(&name, call.now);
        pool.creator = (creator.clone(), call.caller.name());
        pool.roles.insert(creator, Role::Administrator);
        pool.set(&body);
        Ok(Reply::json(200, &json(pool)))
    }

    pub(super) fn change_pool(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let mut state = self.lock();
        let pool = call.pool_mut(&mut state, pool, MANAGE)?;
        if let Some(name) = text(&body, "name") {
            pool.name = name;
        }
        pool.set(&body);
        Ok(Reply::json(200, &json(pool)))
    }

    /// 204 (MicrosoftDocs/vsts-rest-api-specs#419).
    pub(super) fn delete_pool(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let mut state = self.lock();
        call.pool(&state, pool, MANAGE)?;
        call.organization_mut(&mut state).pools.retain(|found| found.id != pool);
        Ok(Reply::empty(204))
    }

    /// `GET pools/{id}/permissions/{bits}`: whether the caller has all of these permissions, as a bare boolean
    /// (azure-devops-node-api `hasPoolPermissions`).
    pub(super) fn has_permissions(&self, call: &Call<'_>, pool: i64, bits: i64) -> Result<Reply, Refusal> {
        let state = self.lock();
        let organization = call.organization(&state);
        let found = organization.pool(pool).ok_or_else(|| Refusal::pool_not_found(pool))?;
        let wanted = u32::try_from(bits).map_err(|_| Refusal::bad_argument("Permissions are a bit mask."))?;
        let granted = call.permissions(organization, found) & wanted == wanted;
        Ok(Reply::json(200, &Value::Bool(granted)))
    }
}

impl PoolState {
    fn set(&mut self, body: &Value) {
        let flag = |member: &str| body.get(member).and_then(Value::as_bool);
        self.auto_provision = flag("autoProvision").unwrap_or(self.auto_provision);
        self.auto_update = flag("autoUpdate").unwrap_or(self.auto_update);
    }
}

impl Call<'_> {
    /// The caller's member id, if it administers the organization.
    pub(super) fn administrator(&self, organization: &Organization) -> Result<String, Refusal> {
        let denied = || Refusal::organization_denied(&self.caller.name());
        let Caller::Member { id, .. } = &self.caller else {
            return Err(denied());
        };
        let member = organization.member(id).filter(|member| member.administrator);
        Ok(member.ok_or_else(denied)?.id.clone())
    }
}

fn json(pool: &PoolState) -> Value {
    let owner = json!({ "id": pool.creator.0, "displayName": pool.creator.1, "uniqueName": pool.creator.1 });
    json!({
        "id": pool.id,
        "name": pool.name,
        "size": pool.agents.len(),
        "createdOn": pool.created.iso(),
        "autoProvision": pool.auto_provision,
        "autoUpdate": pool.auto_update,
        "autoSize": true,
        "targetSize": null,
        "agentCloudId": null,
        "isHosted": false,
        "isLegacy": false,
        "poolType": "automation",
        "options": "none",
        "scope": "00000000-0000-0000-0000-000000000000",
        "createdBy": owner,
        "owner": owner,
        "properties": {},
    })
}

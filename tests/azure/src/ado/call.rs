//! A request as the single routes see it: who asks, where, and what they may do.

use super::auth::Caller;
use super::errors::Refusal;
use super::hosts::Target;
use super::rights::{ADMINISTER, LISTEN, MANAGE, VIEW};
use super::state::{Organization, PoolState, State};
use crate::clock::Timestamp;
use crate::http::{Reply, Request};
use serde_json::{Value, json};

/// A request of somebody to an organization.
pub(super) struct Call<'a> {
    pub(super) request: &'a Request,
    pub(super) organization: &'a str,
    /// The organization's URL as the client addresses it.
    pub(super) base: &'a str,
    /// Whose host was asked, and where the other services are.
    pub(super) target: &'a Target,
    pub(super) caller: Caller,
    pub(super) now: Timestamp,
}

impl Call<'_> {
    /// What the caller may do with a pool.
    pub(super) fn permissions(&self, organization: &Organization, pool: &PoolState) -> u32 {
        match &self.caller {
            Caller::Member { id, .. } => organization.permissions(pool, id),
            Caller::Agent(token) if token.pool == pool.id => VIEW | LISTEN,
            Caller::Agent(_) | Caller::Job { .. } => 0,
        }
    }

    /// The caller's organization.
    pub(super) fn organization<'s>(&self, state: &'s State) -> &'s Organization {
        state
            .organization(self.organization)
            .expect("nobody is let into an organization that does not exist")
    }

    pub(super) fn organization_mut<'s>(&self, state: &'s mut State) -> &'s mut Organization {
        state
            .organization_mut(self.organization)
            .expect("nobody is let into an organization that does not exist")
    }

    /// A pool, if the caller may do this with it. Who may not even look is told that there is none.
    pub(super) fn pool<'s>(&self, state: &'s State, id: i64, needed: u32) -> Result<&'s PoolState, Refusal> {
        let organization = self.organization(state);
        let pool = organization.pool(id).ok_or_else(|| Refusal::pool_not_found(id))?;
        let permissions = self.permissions(organization, pool);
        if permissions & VIEW == 0 {
            return Err(Refusal::pool_not_found(id));
        }
        if permissions & needed != needed {
            let missing = match needed {
                MANAGE => "Manage",
                ADMINISTER => "Administer",
                _ => "Listen",
            };
            return Err(Refusal::access_denied(&self.caller.name(), missing, &pool.name));
        }
        Ok(pool)
    }

    pub(super) fn pool_mut<'s>(
        &self,
        state: &'s mut State,
        id: i64,
        needed: u32,
    ) -> Result<&'s mut PoolState, Refusal> {
        self.pool(state, id, needed)?;
        let pool = self.organization_mut(state).pool_mut(id);
        pool.ok_or_else(|| Refusal::pool_not_found(id))
    }

    /// The body as a JSON object.
    pub(super) fn body(&self) -> Result<Value, Refusal> {
        self.request
            .json()
            .filter(Value::is_object)
            .ok_or_else(|| Refusal::bad_argument("The request body must be a JSON object."))
    }
}

/// A list as every client expects it.
pub(super) fn list(items: &[Value]) -> Reply {
    Reply::json(200, &json!({ "count": items.len(), "value": items }))
}

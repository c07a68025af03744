//! Which request comes next, and when.

use crate::calls::Calls;
use crate::context::Context;
use crate::phase::Phase;
use crate::token::Token;
use crate::{Time, TokenId};
use azure_protocol::AdoRequest;
use std::time::Duration;

/// A request that should be sent.
pub(crate) struct Planned {
    pub(crate) at: Time,
    pub(crate) request: AdoRequest,
    /// With this token; the request for the tenant needs none.
    pub(crate) token: Option<TokenId>,
    pub(crate) timeout: Duration,
}

/// The request that comes next; `None` while one is open or none can be sent.
pub(crate) fn next_request(phase: &Phase, calls: &Calls, token: &Token, context: &Context) -> Option<Planned> {
    if calls.is_open() {
        return None;
    }
    let earliest = context.now.max(context.snapshot.ado_not_before.unwrap_or_default());
    let (due, request, token) = if context.tenant().is_some() {
        let token = token.usable(context.now)?;
        let (due, request) = phase.request(context, calls.budget_left(), earliest)?;
        (due, request, Some(token))
    } else if phase.needs_tenant() {
        (earliest, AdoRequest::Tenant, None)
    } else {
        return None;
    };
    let at = match phase.deadline() {
        Some(deadline) => deadline.cut(due, context.now),
        None => due,
    };
    Some(Planned {
        at,
        request,
        token,
        timeout: phase.timeout(at, context)?,
    })
}

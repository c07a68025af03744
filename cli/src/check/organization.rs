//! Organization, pool and role, asked with the token that Entra gave: what the sidecar checks before an agent may start.

use super::looked::not_given;
use crate::problem::{Finding, shared};
use azure_protocol::{AdoContext, AdoError, AdoRequest, Explanation};
use contract::AdoReason;

/// What Azure DevOps answered, as far as it was asked.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// There is no organization URL.
    NoUrl,
    /// The URL cannot be used; why.
    BadUrl(String),
    /// The tenant could not be learned.
    NoTenant(AdoError),
    /// The organization did not say which tenant it trusts.
    TenantUnsaid,
    /// There was no token to go on with.
    NoToken,
    /// A request failed.
    Failed(AdoRequest, AdoError),
    /// The pool is not there, or not for this identity.
    NoPool,
    /// Whether the identity may manage the pool.
    MayManage(bool),
}

const ORGANIZATION: &str = "organization";
const POOL: &str = "pool and role";

/// What that means.
pub(crate) fn findings(asked: &Asked, context: &AdoContext<'_>) -> Vec<Finding> {
    let url = context.url;
    let explained = |subject: &str, explanation: Explanation<AdoReason>| {
        let fix = fix(explanation.reason, context);
        Finding::bad(subject, explanation.sentence, shared(explanation.reason, fix))
    };
    let trusted = || Finding::good(ORGANIZATION, format!("{url} accepts the token."));
    match asked {
        Asked::NoUrl => vec![not_given(
            ORGANIZATION,
            "Not asked: nothing names an organization.",
            "Pass --url https://dev.azure.com/ORGANIZATION (or AZP_URL), and --pool.",
        )],
        Asked::BadUrl(why) => vec![Finding::bad(
            ORGANIZATION,
            why.clone(),
            shared(
                contract::Reason::BadUrl,
                "Correct --url (or AZP_URL): https://dev.azure.com/ORGANIZATION.",
            ),
        )],
        Asked::NoTenant(error) => vec![explained(ORGANIZATION, context.explain(&AdoRequest::Tenant, error))],
        Asked::TenantUnsaid => vec![Finding::bad(
            ORGANIZATION,
            format!("{url} answers, but does not say which tenant it trusts."),
            shared(
                AdoReason::OrganizationMissing,
                fix(AdoReason::OrganizationMissing, context),
            ),
        )],
        Asked::NoToken => vec![not_given(
            ORGANIZATION,
            "Not asked further: there is no token to ask with.",
            "Mend what Entra says above first.",
        )],
        Asked::Failed(request, error) => vec![explained(ORGANIZATION, context.explain(request, error))],
        Asked::NoPool => vec![trusted(), explained(POOL, context.pool_missing())],
        Asked::MayManage(false) => vec![trusted(), explained(POOL, context.role_missing())],
        Asked::MayManage(true) => vec![
            trusted(),
            Finding::good(
                POOL,
                format!(
                    "The identity may manage pool \"{}\": agents can register and be removed.",
                    context.pool
                ),
            ),
        ],
    }
}

fn fix(reason: AdoReason, context: &AdoContext<'_>) -> String {
    let AdoContext {
        url, pool, client_id, ..
    } = context;
    let users = format!("{url}/_settings/users");
    match reason {
        AdoReason::AdoUnreachable => "Check DNS, proxy (HTTPS_PROXY) and trusted certificates (--ca-file) of this machine; the pods have their own.".to_owned(),
        AdoReason::AdoUnavailable | AdoReason::AdoThrottled => "Wait a minute and run this again.".to_owned(),
        AdoReason::AdoRefused => "The sentence has Azure DevOps' answer.".to_owned(),
        AdoReason::TokenRefused => format!("Is {url} connected to the identity's tenant ({url}/_settings/organizationAad)? Is client ID {client_id} a user of it ({users})?"),
        AdoReason::IdentityUnknown => format!("Add client ID {client_id} at {users}, with access level Basic; a new user takes minutes (--wait 10m)."),
        AdoReason::TenantMismatch => "Remove the tenant ID (the organization is then asked), or create the identity in the tenant that the organization trusts.".to_owned(),
        AdoReason::OrganizationMissing => "Correct the organization in --url (or AZP_URL).".to_owned(),
        AdoReason::PoolMissing => format!("Create pool \"{pool}\" or correct the name (--pool, or AZP_POOL), and give the identity the role Administrator on it: {url}/_settings/agentpools."),
        AdoReason::RoleMissing => format!("Make client ID {client_id} Administrator of pool \"{pool}\": {url}/_settings/agentpools, the pool, Security. A new role takes minutes (--wait 10m)."),
        AdoReason::NameTaken | AdoReason::JobStillAssigned => "Look at the pool's agents.".to_owned(),
    }
}

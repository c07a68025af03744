//! What an error of Azure DevOps means for a person: what happened, where, and what to do.

use super::operation::{Operation, Right, Subject};
use super::{AdoError, AdoErrorKind, AdoRequest, Availability};
use crate::Explanation;
use contract::AdoReason;

/// Where and with which identity Azure DevOps was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdoContext<'a> {
    /// Organization URL.
    pub url: &'a str,
    /// Name of the pool.
    pub pool: &'a str,
    /// Client ID of the identity.
    pub client_id: &'a str,
    /// The tenant that issued the token, where one was asked for.
    pub tenant: Option<&'a str>,
}

impl AdoContext<'_> {
    /// Explains why the request failed.
    pub fn explain(&self, request: &AdoRequest, error: &AdoError) -> Explanation<AdoReason> {
        let subject = match request {
            AdoRequest::Tenant | AdoRequest::PoolByName(_) => Subject::Organization,
            AdoRequest::MayManage(_)
            | AdoRequest::AgentByName(..)
            | AdoRequest::Agents(..)
            | AdoRequest::Agent(..)
            | AdoRequest::SetAvailability(..)
            | AdoRequest::Delete(..) => Subject::Pool,
        };
        self.explain_action(&self.action(request), subject, Right::PoolAdministrator, error)
    }

    /// Explains why an operation failed.
    pub fn explain_operation<O: Operation>(&self, operation: &O, error: &AdoError) -> Explanation<AdoReason> {
        self.explain_action(&operation.action(), operation.subject(), operation.right(), error)
    }

    fn explain_action(&self, action: &str, subject: Subject, right: Right, error: &AdoError) -> Explanation<AdoReason> {
        let Self {
            url, pool, client_id, ..
        } = self;
        if let Some(mismatch) = self.tenant_mismatch(error) {
            return mismatch;
        }
        let (reason, what) = match error.kind {
            AdoErrorKind::Unreachable => (
                AdoReason::AdoUnreachable,
                format!(
                    "{url} could not be reached to {action}; check DNS, proxy, network policy and trusted certificates."
                ),
            ),
            AdoErrorKind::UnexpectedResponse => (
                AdoReason::AdoUnreachable,
                format!("What responded at {url} is not Azure DevOps; check the URL and the proxy in between."),
            ),
            AdoErrorKind::Unavailable => (
                AdoReason::AdoUnavailable,
                format!("{url} returned a server error when asked to {action}; this usually passes by itself."),
            ),
            AdoErrorKind::Throttled => (
                AdoReason::AdoThrottled,
                format!("{url} is throttling requests (rate limit) when asked to {action}; this passes by itself."),
            ),
            AdoErrorKind::Unauthorized => (
                AdoReason::TokenRefused,
                format!(
                    "{url} does not accept the token of client ID {client_id}; check that the identity is a user of the \
                     organization and that the organization is connected to its tenant."
                ),
            ),
            AdoErrorKind::IdentityUnknown => (
                AdoReason::IdentityUnknown,
                format!(
                    "The identity (client ID {client_id}) is not a user of {url}; add it in Organization settings > Users, \
                     with access level Basic."
                ),
            ),
            AdoErrorKind::NotFound => match subject {
                Subject::Organization => (
                    AdoReason::OrganizationMissing,
                    format!("There is no organization at {url}; check the URL (AZP_URL)."),
                ),
                Subject::Pool => {
                    let Explanation { reason, sentence } = self.pool_missing();
                    (reason, sentence)
                }
            },
            AdoErrorKind::Forbidden => {
                let remedy = match right {
                    Right::Reader => format!("give it the role Reader on pool \"{pool}\" at {url}"),
                    Right::PoolAdministrator => format!("give it the role Administrator on pool \"{pool}\" at {url}"),
                    Right::AllPoolsAdministrator => format!(
                        "give it the role Administrator of all agent pools at {url} (Organization settings > Agent pools > \
                         Security)"
                    ),
                    Right::CollectionAdministrator => {
                        format!("make it a member of the group Project Collection Administrators at {url}")
                    }
                };
                (
                    AdoReason::RoleMissing,
                    format!("The identity (client ID {client_id}) lacks the permission to {action}; {remedy}."),
                )
            }
            AdoErrorKind::JobRunning => (
                AdoReason::JobStillAssigned,
                format!(
                    "Azure DevOps still has a job assigned to the agent in pool \"{pool}\" and refuses to {action}."
                ),
            ),
            AdoErrorKind::Refused => (AdoReason::AdoRefused, format!("{url} refuses to {action}.")),
        };
        Explanation::new(reason, &what, &error.detail)
    }

    /// Explains that there is no pool of this name, or none that the identity may see.
    pub fn pool_missing(&self) -> Explanation<AdoReason> {
        let Self {
            url, pool, client_id, ..
        } = self;
        let what = format!(
            "Pool \"{pool}\" does not exist at {url}, or the identity (client ID {client_id}) may not see it; check the name \
             (AZP_POOL) and give the identity the role Administrator on the pool."
        );
        Explanation::new(AdoReason::PoolMissing, &what, "")
    }

    /// Explains that the identity may see the pool, but not manage it.
    pub fn role_missing(&self) -> Explanation<AdoReason> {
        let Self {
            url, pool, client_id, ..
        } = self;
        let what = format!(
            "The identity (client ID {client_id}) may see pool \"{pool}\" at {url}, but not manage it; give it the role \
             Administrator on this pool (Organization settings > Agent pools > Security)."
        );
        Explanation::new(AdoReason::RoleMissing, &what, "")
    }

    fn tenant_mismatch(&self, error: &AdoError) -> Option<Explanation<AdoReason>> {
        let (trusted, asked) = (error.tenant.as_deref()?, self.tenant?);
        if error.kind != AdoErrorKind::Unauthorized || trusted.eq_ignore_ascii_case(asked) {
            return None;
        }
        let what = format!(
            "{} trusts tenant {trusted}, but the token is of tenant {asked}; correct the tenant ID or remove it (the \
             organization is then asked).",
            self.url
        );
        Some(Explanation::new(AdoReason::TenantMismatch, &what, &error.detail))
    }

    /// What was asked for, after "to".
    fn action(&self, request: &AdoRequest) -> String {
        let pool = self.pool;
        match request {
            AdoRequest::Tenant => "say which Entra tenant it trusts".to_owned(),
            AdoRequest::PoolByName(name) => format!("find pool \"{name}\""),
            AdoRequest::MayManage(_) => format!("say whether the identity may manage pool \"{pool}\""),
            AdoRequest::AgentByName(_, name) => format!("find agent \"{name}\" in pool \"{pool}\""),
            AdoRequest::Agents(..) => format!("list the agents of pool \"{pool}\""),
            AdoRequest::Agent(_, id) => format!("show agent {} of pool \"{pool}\"", id.0),
            AdoRequest::SetAvailability(_, id, Availability::Enabled) => {
                format!("enable agent {} of pool \"{pool}\"", id.0)
            }
            AdoRequest::SetAvailability(_, id, Availability::Disabled) => {
                format!("disable agent {} of pool \"{pool}\"", id.0)
            }
            AdoRequest::Delete(_, id) => format!("remove agent {} from pool \"{pool}\"", id.0),
        }
    }
}

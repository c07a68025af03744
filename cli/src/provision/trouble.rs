//! Why a request had no good end, for the person who runs this program: an administrator, with a token of their own.

use super::az::Line;
use super::az::run::AzError;
use super::plan::bad;
use super::reason::ProvisionReason;
use crate::problem::Finding;
use azure::OperationReply;
use azure_protocol::{AdoErrorKind, Operation, Right, Subject};
use std::time::Duration;

/// Why a request had no good end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It passes by itself.
    Later {
        /// Why, for machines.
        reason: ProvisionReason,
        /// What happened.
        sentence: String,
        /// When the service wants to be asked again.
        after: Option<Duration>,
    },
    /// It does not.
    Final(Box<Finding>),
}

impl Trouble {
    /// As a finding, where nobody waits for it to pass.
    pub(crate) fn finding(self) -> Finding {
        match self {
            Self::Final(finding) => *finding,
            Self::Later { reason, sentence, .. } => bad(
                "Azure DevOps",
                reason,
                sentence,
                "Run the same command again in some minutes: it goes on where it stopped.",
            ),
        }
    }
}

impl From<Finding> for Trouble {
    fn from(finding: Finding) -> Self {
        Self::Final(Box::new(finding))
    }
}

/// What an operation says, or what is wrong.
pub(crate) fn answered<O: Operation>(
    operation: &O,
    url: &str,
    reply: OperationReply<O::Output>,
) -> Result<O::Output, Trouble> {
    let error = match reply.result {
        Ok(output) => return Ok(output),
        Err(error) => error,
    };
    let action = operation.action();
    let detail = &error.detail;
    let trouble = |reason, sentence: String, fix: String| Trouble::from(bad(action.clone(), reason, sentence, fix));
    let later = |reason| Trouble::Later {
        reason,
        sentence: format!("{url} does not answer the request to {action} now ({detail})"),
        after: reply.retry_after,
    };
    let again = "Run the same command again: it goes on where it stopped.";
    Err(match error.kind {
        AdoErrorKind::Throttled => later(ProvisionReason::AdoThrottled),
        AdoErrorKind::Unavailable => later(ProvisionReason::AdoUnavailable),
        AdoErrorKind::Unreachable => trouble(
            ProvisionReason::AdoUnreachable,
            format!("{url} could not be reached ({detail})."),
            format!("Check the URL, DNS, proxy and certificates (--ca-file). {again}"),
        ),
        AdoErrorKind::UnexpectedResponse => trouble(
            ProvisionReason::AdoUnreachable,
            format!("What responded at {url} is not Azure DevOps, or it responded in an unknown shape ({detail})."),
            format!("Check the URL and the proxy in between. {again}"),
        ),
        AdoErrorKind::Unauthorized | AdoErrorKind::IdentityUnknown => trouble(
            ProvisionReason::TokenRefused,
            match &error.tenant {
                Some(tenant) => format!("{url} trusts tenant {tenant} and does not accept the token ({detail})."),
                None => format!("{url} does not accept the token ({detail})."),
            },
            "Sign in as an administrator of the organization, in its tenant: az login --tenant TENANT; then run this again.".to_owned(),
        ),
        AdoErrorKind::Forbidden => trouble(
            ProvisionReason::RightMissing,
            format!("You may not {action} at {url} ({detail})."),
            match operation.right() {
                Right::Reader | Right::PoolAdministrator => {
                    "You need the role Administrator on the pool: Organization settings > Agent pools > the pool > Security."
                }
                Right::AllPoolsAdministrator => {
                    "You need the role Administrator of all pools: Organization settings > Agent pools > Security."
                }
                Right::CollectionAdministrator => {
                    "You need to be a Project Collection Administrator: Organization settings > Permissions."
                }
            }
            .to_owned(),
        ),
        AdoErrorKind::NotFound => match operation.subject() {
            Subject::Organization => trouble(
                ProvisionReason::OrganizationMissing,
                format!("There is no organization at {url} ({detail})."),
                "Check --url.".to_owned(),
            ),
            Subject::Pool => trouble(
                ProvisionReason::PoolMissing,
                format!("It is not there, or you may not see it ({detail})."),
                again.to_owned(),
            ),
        },
        AdoErrorKind::Refused if detail.contains("TaskAgentPoolExistsException") => trouble(
            ProvisionReason::PoolNameTaken,
            format!("A pool of this name exists, and you may not see it ({detail})."),
            "Ask its administrator for the role Administrator on it, or choose another name (--pool).".to_owned(),
        ),
        AdoErrorKind::JobRunning | AdoErrorKind::Refused => trouble(
            ProvisionReason::AdoRefused,
            format!("{url} refuses to {action} ({detail})."),
            again.to_owned(),
        ),
    })
}

/// What `az` says, or what is wrong; `Ok(None)`: what was asked for does not exist.
pub(crate) fn az_answered<T>(line: &Line, said: Result<T, AzError>) -> Result<Option<T>, Trouble> {
    match said {
        Ok(value) => Ok(Some(value)),
        Err(AzError::NotFound(_)) => Ok(None),
        Err(AzError::Missing) => Err(bad(
            "Azure CLI",
            ProvisionReason::AzMissing,
            "There is no az on this machine's PATH.",
            format!("Install it (https://aka.ms/azure-cli), or run this where it is: {line}"),
        )
        .into()),
        Err(error @ AzError::Failed(_)) => Err(bad(
            "Azure CLI",
            ProvisionReason::AzFailed,
            format!("{error} ({line})"),
            "Sign in (az login), choose the subscription (az account set), and run the same command again.",
        )
        .into()),
    }
}

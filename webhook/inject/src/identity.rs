//! Which identity the sidecar uses: pod annotations, then the ServiceAccount, then the operator's defaults.

use crate::azwi::Azwi;
use crate::forms::{self, TextForm};
use crate::origin::Origin;
use crate::overrides::Overrides;
use crate::text::{foreign, quote};
use crate::{Denial, ServiceAccount, Settings};
use contract::DenyReason;

/// The identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity<'a> {
    /// Our own projected token, traded for this client.
    Own {
        client_id: (&'a str, Origin),
        /// `None`: the sidecar learns it from the organization.
        tenant_id: Option<(&'a str, Origin)>,
        /// What could not be found out.
        warning: Option<String>,
    },
    /// Everything comes from azwi (identity binding).
    Azwi,
}

impl Identity<'_> {
    /// Where client ID and tenant ID were found.
    pub(crate) fn origins(&self) -> (Origin, Origin) {
        match self {
            Self::Own {
                client_id, tenant_id, ..
            } => {
                let tenant = tenant_id.as_ref().map(|(_, origin)| *origin);
                (client_id.1, tenant.unwrap_or(Origin::Organization))
            }
            Self::Azwi => (Origin::Azwi, Origin::Azwi),
        }
    }
}

/// The identity that the pod names itself; `None` where its ServiceAccount has to be read.
pub(crate) fn of_pod<'a>(overrides: &Overrides<'a>, azwi: &Azwi<'_>) -> Option<Identity<'a>> {
    if azwi.is_binding() {
        return Some(Identity::Azwi);
    }
    Some(Identity::Own {
        client_id: (overrides.client_id?, Origin::Annotation),
        tenant_id: Some((overrides.tenant_id?, Origin::Annotation)),
        warning: None,
    })
}

/// The identity, with what the pod's ServiceAccount says.
pub(crate) fn of_account<'a>(
    overrides: &Overrides<'a>,
    name: &str,
    account: &'a ServiceAccount,
    settings: &'a Settings,
) -> Result<Identity<'a>, Denial> {
    let mut warning = None;
    let (account_client, account_tenant) = match account {
        ServiceAccount::Found { client_id, tenant_id } => (client_id.as_deref(), tenant_id.as_deref()),
        // With a client ID of the pod's own the account could only have named the tenant.
        ServiceAccount::Missing if overrides.client_id.is_some() => (None, None),
        ServiceAccount::Unreadable(why) if overrides.client_id.is_some() => {
            if overrides.tenant_id.is_none() {
                warning = Some(format!(
                    "ServiceAccount {} could not be read, so its tenant ID is not known: {}",
                    quote(name),
                    foreign(why)
                ));
            }
            (None, None)
        }
        ServiceAccount::Missing => return Err(missing(name)),
        ServiceAccount::Unreadable(why) => return Err(unreadable(name, why)),
    };
    let from_account = |value: Option<&'a str>, key: &str, form: &TextForm| match value {
        None | Some("") => Ok(None),
        Some(value) if (form.is_valid)(value) => Ok(Some((value, Origin::ServiceAccount))),
        Some(value) => Err(Denial::new(
            DenyReason::BadIdentity,
            format!(
                "ServiceAccount {}: annotation {key} is {}; expected {}",
                quote(name),
                quote(value),
                form.expected
            ),
        )),
    };
    let annotation = |value: Option<&'a str>| value.map(|value| (value, Origin::Annotation));
    let operator = |value: &'a Option<String>| value.as_deref().map(|value| (value, Origin::Operator));
    let client_id = match annotation(overrides.client_id) {
        Some(found) => Some(found),
        None => from_account(account_client, contract::AZWI_CLIENT_ID_ANNOTATION, &forms::CLIENT_ID)?
            .or_else(|| operator(&settings.client_id)),
    };
    let tenant_id = match annotation(overrides.tenant_id) {
        Some(found) => Some(found),
        None => from_account(account_tenant, contract::AZWI_TENANT_ID_ANNOTATION, &forms::TENANT_ID)?
            .or_else(|| operator(&settings.tenant_id)),
    };
    Ok(Identity::Own {
        client_id: client_id.ok_or_else(|| no_identity(name))?,
        tenant_id,
        warning,
    })
}

fn missing(name: &str) -> Denial {
    Denial::new(
        DenyReason::AccountMissing,
        format!(
            "ServiceAccount {} does not exist in the pod's namespace; create it with annotation {}, or set annotation {} on the pod",
            quote(name),
            contract::AZWI_CLIENT_ID_ANNOTATION,
            contract::CLIENT_ID_ANNOTATION
        ),
    )
}

fn unreadable(name: &str, why: &str) -> Denial {
    Denial::new(
        DenyReason::AccountUnreadable,
        format!(
            "ServiceAccount {} could not be read, so the client ID is not known: {}; try again, or set annotation {} on the pod",
            quote(name),
            foreign(why),
            contract::CLIENT_ID_ANNOTATION
        ),
    )
}

fn no_identity(name: &str) -> Denial {
    Denial::new(
        DenyReason::NoIdentity,
        format!(
            "no client ID: set annotation {} on ServiceAccount {} or {} on the pod; it is {}",
            contract::AZWI_CLIENT_ID_ANNOTATION,
            quote(name),
            contract::CLIENT_ID_ANNOTATION,
            forms::CLIENT_ID.expected
        ),
    )
}

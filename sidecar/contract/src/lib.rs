//! Every name that the webhook, the sidecar, the manifests and the tests share, spelled once.
//!
//! The webhook writes these names into a pod, the sidecar reads them there, a person types some of them. Nothing else in
//! the repository spells a key, a variable, a volume or a path: `docs/reference.md` is rendered from this crate, and a
//! test checks that it is up to date.
//!
//! In addition to the names there is what both programs have to do the same way: parse an organization URL and a list of hosts,
//! redact a refused URL, print a chain of errors, count days.
//!
//! **Invariant:** no dependencies, no IO. **Invariant:** a name or a [`Reason`] that was released is never renamed.

mod calendar;
mod drain;
mod error_chain;
mod gateway;
mod hosts;
mod marker;
mod names;
mod organization_url;
mod reason;
mod redact;

pub use calendar::days_from_civil;
pub use drain::{Drain, PRE_STOP_SCRIPT};
pub use error_chain::error_chain;
pub use gateway::{
    DEFAULT_GATEWAY_PORT, GATEWAY_ORGANIZATION_SEGMENT, LOOPBACK, TICKET, gateway_authority, gateway_url,
};
pub use hosts::{HostList, HostListError, HttpsUrl, HttpsUrlError, is_host_entry};
pub use marker::{Foreign, Marker};
pub use names::*;
pub use organization_url::{OrganizationUrl, OrganizationUrlError, is_organization_name};
pub use reason::{AdoReason, DenyReason, EntraReason, OutcomeReason, Reason, RefusalReason, SkipReason, StateReason};
pub use redact::redacted;

/// Version of what the webhook puts into a pod, carried in [`CONTRACT_VARIABLE`] and in the [`STATUS_ANNOTATION`].
///
/// It rises when a sidecar of the previous version could not work with a newly patched pod. A sidecar that is given a
/// version it does not know says so and lets no agent start; a running pod keeps the sidecar image that the webhook
/// wrote together with the version, so upgrades and rollbacks of the webhook never touch it.
pub const VERSION: u32 = 1;

/// One row of the reference.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name as it is typed.
    pub name: &'static str,
    /// What it means, as lines of prose for a user.
    pub docs: &'static [&'static str],
}

impl Entry {
    /// The documentation as one paragraph.
    pub fn text(&self) -> String {
        self.docs
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join(" ")
            .trim()
            .to_owned()
    }
}

/// How the agent container gets what it needs to register ([`HANDOFF_ANNOTATION`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handoff {
    /// The image's own start script registers with the token file that the sidecar keeps fresh.
    TokenFile,
    /// The agent talks to Azure DevOps through the sidecar, which holds the token; its container has a [`TICKET`].
    Gateway,
}

impl Handoff {
    /// Every handoff.
    pub const ALL: [Self; 2] = [Self::TokenFile, Self::Gateway];

    /// The value of the annotation and of the variable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenFile => "token-file",
            Self::Gateway => "gateway",
        }
    }

    /// Reads the value of the annotation or of the variable.
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|handoff| handoff.as_str() == value)
    }
}

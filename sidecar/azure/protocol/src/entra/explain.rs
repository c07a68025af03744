//! What an error of Entra means for a person: what happened, where, and what to do.

use super::{EntraError, EntraErrorKind};
use crate::Explanation;
use contract::EntraReason;

/// Where and with which identity Entra was asked for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntraContext<'a> {
    /// Client ID of the identity.
    pub client_id: &'a str,
    /// The tenant that was asked.
    pub tenant: &'a str,
}

impl EntraContext<'_> {
    /// Explains why there is no token.
    pub fn explain(&self, error: &EntraError) -> Explanation<EntraReason> {
        Explanation::new(error.kind.reason(), &self.what(error.kind), &error.detail)
    }

    fn what(&self, kind: EntraErrorKind) -> String {
        let Self { client_id, tenant } = self;
        match kind {
            EntraErrorKind::AssertionMissing => "The pod's service-account token is missing or empty; check that the projected volume of the sidecar is mounted.".to_owned(),
            EntraErrorKind::AssertionExpired => "Entra says that the pod's service-account token is expired or not yet valid; check the clock of the node and that the kubelet rotates the token.".to_owned(),
            EntraErrorKind::AssertionRejected => "Entra does not accept the signature or the shape of the pod's service-account token; check that the cluster's issuer publishes its current keys.".to_owned(),
            EntraErrorKind::AssertionTooLong => "The pod's service-account token lives longer than the 25 hours that Entra accepts; lower its expirationSeconds.".to_owned(),
            EntraErrorKind::CredentialMissing => format!("Entra finds no federated credential of client ID {client_id} for this pod, or not yet (a new one takes minutes); compare its issuer, subject and audience with those of the pod."),
            EntraErrorKind::IssuerUnreachable => "Entra cannot read the cluster's issuer document or keys; the issuer URL has to be reachable from the internet.".to_owned(),
            EntraErrorKind::ApplicationUnknown => format!("Entra does not know client ID {client_id} in tenant {tenant}, or it is disabled; check both IDs."),
            EntraErrorKind::TenantUnknown => format!("Entra does not know tenant {tenant}, or it belongs to another cloud; check the tenant ID and the authority."),
            EntraErrorKind::ResourceUnknown => format!("Entra does not know Azure DevOps in tenant {tenant}; connect the organization to this tenant, or correct the tenant ID."),
            EntraErrorKind::ConditionalAccess => format!("A conditional access policy of tenant {tenant} blocks client ID {client_id}; exclude this workload identity or allow the cluster's addresses."),
            EntraErrorKind::BindingRefused => "The cluster's token proxy refuses this ServiceAccount; bind it to the ClusterRole of its identity binding.".to_owned(),
            EntraErrorKind::Throttled | EntraErrorKind::LoopDetected => "Entra is throttling requests (rate limit); this passes by itself.".to_owned(),
            EntraErrorKind::Unavailable => "Entra returned a server error; this usually passes by itself.".to_owned(),
            EntraErrorKind::Unreachable | EntraErrorKind::UnexpectedResponse => "Entra could not be reached; check DNS, proxy, network policy and trusted certificates.".to_owned(),
            EntraErrorKind::Refused => format!("Entra refuses a token for client ID {client_id} in tenant {tenant}."),
        }
    }
}

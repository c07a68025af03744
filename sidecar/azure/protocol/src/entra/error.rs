//! Why Entra issued no token.

use contract::EntraReason;
use std::time::Duration;

/// Why Entra issued no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraError {
    /// What kind of error.
    pub kind: EntraErrorKind,
    /// What was seen, for a person: AADSTS code, trace and correlation ID, issuer, subject and audience of the assertion.
    /// Never a secret.
    pub detail: String,
    /// How long Entra asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Whether the assertion was replaced while it was being exchanged, so that an immediate retry makes sense.
    pub assertion_changed: bool,
}

/// Kinds of errors of an exchange, by what they mean for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntraErrorKind {
    /// The service-account token is missing, empty or not a token; nothing was sent.
    AssertionMissing,
    /// AADSTS700024: the assertion is expired or not yet valid.
    AssertionExpired,
    /// The assertion's signature or shape is not accepted.
    AssertionRejected,
    /// AADSTS70023: the assertion lives longer than Entra accepts.
    AssertionTooLong,
    /// No federated credential for this issuer, subject and audience, or not yet.
    CredentialMissing,
    /// Entra cannot read the issuer's document or keys.
    IssuerUnreachable,
    /// The application does not exist, is disabled, or is not in this tenant.
    ApplicationUnknown,
    /// The tenant does not exist, or belongs to another cloud.
    TenantUnknown,
    /// Azure DevOps is not a resource of this tenant, or the scope is refused.
    ResourceUnknown,
    /// A conditional access policy blocks the identity.
    ConditionalAccess,
    /// The cluster's token proxy (AKS identity binding) refuses the ServiceAccount.
    BindingRefused,
    /// 429, AADSTS90055.
    Throttled,
    /// AADSTS50196: the same request was made too often. Has to be left alone for minutes, whatever `Retry-After` says.
    LoopDetected,
    /// 5xx, 408, or one of Entra's own failures.
    Unavailable,
    /// No response: name, connection, TLS, timeout.
    Unreachable,
    /// A response that is not Entra's: a proxy, a portal, a redirect, an unknown shape.
    UnexpectedResponse,
    /// Any other error; the detail has its code.
    Refused,
}

impl EntraErrorKind {
    /// The reason that logs and messages carry for it.
    pub fn reason(self) -> EntraReason {
        match self {
            Self::AssertionMissing => EntraReason::AssertionMissing,
            Self::AssertionExpired => EntraReason::AssertionExpired,
            Self::AssertionRejected => EntraReason::AssertionRejected,
            Self::AssertionTooLong => EntraReason::AssertionTooLong,
            Self::CredentialMissing => EntraReason::CredentialMissing,
            Self::IssuerUnreachable => EntraReason::IssuerUnreachable,
            Self::ApplicationUnknown => EntraReason::ApplicationUnknown,
            Self::TenantUnknown => EntraReason::TenantUnknown,
            Self::ResourceUnknown => EntraReason::ResourceUnknown,
            Self::ConditionalAccess => EntraReason::ConditionalAccess,
            Self::BindingRefused => EntraReason::BindingRefused,
            Self::Throttled | Self::LoopDetected => EntraReason::EntraThrottled,
            Self::Unavailable => EntraReason::EntraUnavailable,
            Self::Unreachable | Self::UnexpectedResponse => EntraReason::EntraUnreachable,
            Self::Refused => EntraReason::EntraRefused,
        }
    }
}

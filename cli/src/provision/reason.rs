//! Why a phase fails, or what it warns of.

use crate::check::CheckReason;
use crate::problem::words;
use contract::Reason;

words! {
    /// Why something that `provision` or `deprovision` looks at is not as it should be.
    ProvisionReason {
        /// `az` ended with an error; its own words say why.
        AzFailed = "az-failed" => "azure.md#when-a-phase-fails",
        /// There is no `az` on the PATH.
        AzMissing = "az-missing" => "azure.md#when-a-phase-fails",
        /// A federated credential has the name of the one that is wanted, and other values.
        CredentialNameTaken = "credential-name-taken" => "azure.md#when-a-phase-fails",
        /// Client ID or object ID of an identity are not known.
        IdsUnknown = "ids-unknown" => "azure.md#when-a-phase-fails",
        /// The cluster does not say who issues its tokens.
        IssuerUnknown = "issuer-unknown" => "azure.md#when-a-phase-fails",
        /// Azure DevOps does not say which agent is the newest.
        NoAgentVersion = "no-agent-version" => "azure.md#when-a-phase-fails",
        /// It stays, since nobody can tell whether this program made it.
        NotConfirmed = "not-confirmed" => "azure.md#when-a-phase-fails",
        /// It was asked for, and did not show within the time of `--wait`.
        NotThereYet = "not-there-yet" => "azure.md#when-a-phase-fails",
        /// An agent of the placeholder's name exists that this program did not make, and lacks a capability.
        PlaceholderForeign = "placeholder-foreign" => "azure.md#when-a-phase-fails",
        /// An agent of the placeholder's name is online.
        PlaceholderNameTaken = "placeholder-name-taken" => "azure.md#when-a-phase-fails",
        /// The pool is there and is given to every new project.
        PoolForAllProjects = "pool-for-all-projects" => "azure.md#when-a-phase-fails",
        /// A pool of this name exists that you may not see.
        PoolNameTaken = "pool-name-taken" => "azure.md#when-a-phase-fails",
        /// The pool is there and tells agents to replace themselves.
        PoolUpdatesAgents = "pool-updates-agents" => "azure.md#when-a-phase-fails",
        /// Nobody said where the managed identities live.
        ResourceGroupMissing = "resource-group-missing" => "azure.md#when-a-phase-fails",
        /// You lack a right in Azure DevOps; the sentence says which.
        RightMissing = "right-missing" => "azure.md#when-a-phase-fails",
        /// KEDA's identity has the role Administrator.
        RoleTooLarge = "role-too-large" => "azure.md#when-a-phase-fails",
        /// It stays, since something uses it; the sentence says what.
        StillUsed = "still-used" => "azure.md#when-a-phase-fails",
        /// Azure DevOps does not take the identity as a user; its own words say why.
        UserRefused = "user-refused" => "azure.md#when-a-phase-fails",
        shares {
            AdoRefused of Reason => "azure.md#when-a-phase-fails",
            AdoThrottled of Reason => "azure.md#when-a-phase-fails",
            AdoUnavailable of Reason => "azure.md#when-a-phase-fails",
            AdoUnreachable of Reason => "azure.md#when-a-phase-fails",
            CredentialsFull of CheckReason => "azure.md#when-a-phase-fails",
            IdentityUnknown of Reason => "azure.md#when-a-phase-fails",
            OrganizationMissing of Reason => "azure.md#when-a-phase-fails",
            PoolMissing of Reason => "azure.md#when-a-phase-fails",
            TenantMismatch of Reason => "azure.md#when-a-phase-fails",
            TokenRefused of Reason => "azure.md#when-a-phase-fails",
        }
    }
}

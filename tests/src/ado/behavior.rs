//! Where the real service is known to differ from organization to organization, or where sources contradict each other: one
//! value of each, the default being what a client must survive first.

use serde::{Deserialize, Serialize};

/// How the emulator behaves. As JSON, with the members that differ from the default: `{"plan_version": 7}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behavior {
    /// For how many seconds an identity that was made a user is unknown to role assignments, which answer 200 with
    /// `count: 0` (microsoft/terraform-provider-azuredevops `securityroles/client.go`). Default: 0.
    pub entitlement_spread_seconds: u64,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            entitlement_spread_seconds: 0,
        }
    }
}

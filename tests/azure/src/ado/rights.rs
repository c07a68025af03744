//! Who may do what: licenses, roles and the permissions of pools.

use serde::{Deserialize, Serialize};

/// A member's license (`accountLicenseType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum License {
    /// `express`, called Basic.
    Basic,
    /// `stakeholder`: may look at pools, whatever its role.
    Stakeholder,
    /// `professional`.
    Professional,
    /// `advanced`, called Basic + Test Plans.
    Advanced,
    /// `earlyAdopter`.
    EarlyAdopter,
    /// `none`: as a stakeholder.
    None,
}

impl License {
    const ALL: [Self; 6] = [
        Self::Basic,
        Self::Stakeholder,
        Self::Professional,
        Self::Advanced,
        Self::EarlyAdopter,
        Self::None,
    ];

    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Basic => "express",
            Self::Stakeholder => "stakeholder",
            Self::Professional => "professional",
            Self::Advanced => "advanced",
            Self::EarlyAdopter => "earlyAdopter",
            Self::None => "none",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|license| license.name().eq_ignore_ascii_case(name))
    }
}

/// A role on an organization's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// May look.
    Reader,
    /// May look and listen.
    #[serde(rename = "Service Account")]
    ServiceAccount,
    /// May register and remove agents, use the pool and give roles; may not listen.
    Administrator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Reader, Self::ServiceAccount, Self::Administrator];

    /// Its name as Azure DevOps writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "Reader",
            Self::ServiceAccount => "Service Account",
            Self::Administrator => "Administrator",
        }
    }

    /// Reads a name, in whatever case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|role| role.name().eq_ignore_ascii_case(name))
    }

    /// What people read about it.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Reader => "Reader can only view agent pools.",
            Self::ServiceAccount => {
                "Service Account can view agents, create sessions, and listen for jobs from the agent pool."
            }
            Self::Administrator => "Administrator can administer, manage, view and use agent pools.",
        }
    }

    /// What it allows: View 1, Manage 2, Listen 4, AdministerPermissions 8, Use 16.
    ///
    /// Administrator's 27 is what public walk-throughs print (`allowPermissions`), without Listen as azure-pipelines-agent#931
    /// reports; Service Account's bits are the words of "Set pipeline permissions" in Microsoft's documentation.
    pub fn permissions(self) -> u32 {
        match self {
            Self::Reader => VIEW,
            Self::ServiceAccount => VIEW | LISTEN,
            Self::Administrator => VIEW | MANAGE | ADMINISTER | USE,
        }
    }
}

pub(super) const VIEW: u32 = 1;
pub(super) const MANAGE: u32 = 2;
pub(super) const LISTEN: u32 = 4;
pub(super) const ADMINISTER: u32 = 8;
pub(super) const USE: u32 = 16;

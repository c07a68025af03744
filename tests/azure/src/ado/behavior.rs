//! Where the real service is known to differ from case to case, or where sources contradict each other: one value of each, the
//! default being what a client must survive first.

use serde::{Deserialize, Serialize};

/// How the emulator behaves. As JSON, with the members that differ from the default: `{"plan_version": 7}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behavior {
    /// What `connectionData` says about where things are.
    pub connection_data: ConnectionData,
    /// Whether the answer to a registration has `properties.ServerUrl`, the collection's URL, whose path the agent then takes
    /// for its own (azure-pipelines-agent `ConfigurationManager.cs:309-329`). Default: no.
    pub server_url_property: bool,
    /// Whether replacing an agent (`PUT`) ends its session. `config.sh --help` says so of `--replace`;
    /// azure-devops-docs#12215 and actions/runner#3624 show the conflict after it. Default: no, as the old session then stands
    /// in the way of the new agent for minutes.
    pub replace_ends_session: bool,
    /// Version of a job's plan. From 8 on the worker finishes the job (`JobCompleted`), below it the listener does
    /// (`PlanUtil.cs:22-25`). Default: 8.
    pub plan_version: u32,
    /// What the listener of a deleted agent meets.
    pub deleted_agent: DeletedAgent,
    /// For how many seconds an identity that was made a user is unknown to role assignments, which answer 200 with
    /// `count: 0` (microsoft/terraform-provider-azuredevops `securityroles/client.go`). Default: 0.
    pub entitlement_spread_seconds: u64,
}

/// What `connectionData` says about where things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionData {
    /// As the hosted service: it is owned by a hosted service, with several access mappings, and its service definitions lead
    /// each area to the host of its service.
    Hosted,
    /// As an on-premises server: everything is at the URL that was asked.
    OnPremises,
}

/// What the listener of a deleted agent meets. Both are reported, of which the running listener meets first is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletedAgent {
    /// Its poll gets 404 `TaskAgentNotFoundException`, upon which it ends (azure-pipelines-agent#126).
    NotFound,
    /// Its token is not accepted any more, and the token endpoint answers `invalid_client`, upon which it tries forever
    /// (azure-pipelines-agent#374).
    InvalidClient,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            connection_data: ConnectionData::Hosted,
            server_url_property: false,
            replace_ends_session: false,
            plan_version: 8,
            deleted_agent: DeletedAgent::NotFound,
            entitlement_spread_seconds: 0,
        }
    }
}

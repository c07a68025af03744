//! An agent for tests to start from.

use azure_protocol::{AgentId, TaskAgent};

/// Offline, enabled, without jobs and capabilities.
pub(crate) fn offline_agent(id: i64, name: &str) -> TaskAgent {
    TaskAgent {
        id: AgentId(id),
        name: name.to_owned(),
        version: None,
        os: None,
        enabled: true,
        online: false,
        created: None,
        status_changed: None,
        assigned: None,
        last_completed: None,
        system_capabilities: Default::default(),
        user_capabilities: Default::default(),
    }
}

//! The placeholder that is kept in the pool.

use crate::stage::{NAMESPACE, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_is_made_after_the_newest_agent_and_made_again() {
    let stage = Stage::new().await;
    let agent = stage.pod("agent-0");
    let keep = stage.keep(&["--placeholder=waiting"]).await;
    let made = || stage.world.pool.agent("waiting");
    keep.until("a placeholder", || made().is_some()).await;
    let placeholder = made().unwrap();
    assert!(!placeholder.can_listen && !placeholder.online);
    assert_eq!(placeholder.system_capabilities["Agent.OS"], "Linux");
    assert_eq!(placeholder.system_capabilities["Agent.Name"], "waiting");
    assert!(!placeholder.system_capabilities.contains_key(contract::OWNER_VARIABLE));
    // It stays when the agent goes, whatever time passes.
    stage.until_known(&keep, "agent-0", agent).await;
    stage.api.delete_pod(NAMESPACE, "agent-0");
    stage
        .until_swept(&keep, "the agent is removed", |stage| stage.names() == ["waiting"])
        .await;
    // Somebody removes it, and an agent comes.
    stage.world.pool.remove_agent(placeholder.id);
    stage.pod("agent-1");
    keep.until("a placeholder again", || made().is_some()).await;
}

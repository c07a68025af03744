//! What a sidecar is given that runs without webhook and kubelet: folders for volumes, and the environment.

use azure_emulators::world::World;
use contract::Marker;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The volumes, below the pod's folder.
const VOLUMES: [&str; 3] = ["handoff", "state", "assertion"];

/// Makes the folders that stand for the pod's volumes, and returns the environment of its sidecar as the webhook writes it.
/// The service-account token is expected in `assertion/assertion`, the termination message in `termination-log`.
///
/// # Errors
/// A folder cannot be made.
pub fn prepare(world: &World, pod: &str, folder: &Path) -> io::Result<BTreeMap<&'static str, String>> {
    for volume in VOLUMES {
        std::fs::create_dir(folder.join(volume))?;
    }
    let path = |name: &str| folder.join(name).display().to_string();
    Ok(BTreeMap::from([
        (contract::CONTRACT_VARIABLE, contract::VERSION.to_string()),
        (
            contract::HANDOFF_VARIABLE,
            contract::Handoff::TokenFile.as_str().to_owned(),
        ),
        (contract::OWNER_VARIABLE, owner(pod)),
        (contract::POD_NAME_VARIABLE, pod.to_owned()),
        (contract::POD_UID_VARIABLE, uid(pod)),
        (contract::GRACE_SECONDS_VARIABLE, "3600".to_owned()),
        (contract::URL_VARIABLE, world.organization_url()),
        (contract::POOL_VARIABLE, world.settings.pool.clone()),
        (contract::ALLOWED_HOSTS_VARIABLE, "127.0.0.1".to_owned()),
        (contract::ALLOWED_AUTHORITIES_VARIABLE, "127.0.0.1".to_owned()),
        (contract::AZURE_AUTHORITY_HOST_VARIABLE, world.authority_url()),
        (contract::AZURE_CLIENT_ID_VARIABLE, world.agents.client_id.clone()),
        (contract::AZURE_TENANT_ID_VARIABLE, world.settings.tenant.clone()),
        (
            contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE,
            path("assertion/assertion"),
        ),
        (contract::CA_PEM_VARIABLE, world.authority.pem().to_owned()),
        (contract::HANDOFF_DIR_VARIABLE, path("handoff")),
        (contract::STATE_DIR_VARIABLE, path("state")),
        (contract::TERMINATION_LOG_VARIABLE, path("termination-log")),
        (contract::TOKEN_FILE_MODE_VARIABLE, "0644".to_owned()),
    ]))
}

fn uid(pod: &str) -> String {
    format!("uid-of-{pod}")
}

/// The marker of a pod's agent.
pub fn owner(pod: &str) -> String {
    let marker = Marker {
        cluster: "cluster".to_owned(),
        namespace: "agents".to_owned(),
        pod: pod.to_owned(),
        uid: uid(pod),
    };
    marker.to_string()
}

/// Where the agent's start script finds the token, below the pod's folder.
pub fn token_file(folder: &Path) -> PathBuf {
    let volume = folder.join("handoff").join(contract::TOKEN_SUBDIRECTORY);
    volume.join(contract::TOKEN_FILE_NAME)
}

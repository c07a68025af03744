//! What survives a restart of the container, as JSON in the state volume, which only the sidecar mounts.

use azure_protocol::{AgentId, PoolId, ServerTime};
use lifecycle::{Registered, Registration, Remover, Snapshot, Time};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "state.json";
const NEW_FILE: &str = "state.json.new";
/// Longest file that is read, in bytes; ours have some hundred.
const LIMIT: u64 = 16 * 1024;

/// [`Snapshot`] as it is written. Times are seconds since the machine's boot, or server's seconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    started: Option<i64>,
    pinned: Option<(i64, Option<i64>)>,
    registration: Option<SavedRegistration>,
    used: bool,
    pool: Option<i64>,
    admitted: bool,
    tenant: Option<String>,
    disabled: Option<i64>,
    draining_since: Option<f64>,
    ended: bool,
    exchange_failures: u32,
    exchange_not_before: Option<f64>,
    ado_failures: u32,
    ado_not_before: Option<f64>,
}

/// [`Registration`] as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SavedRegistration {
    Begun {
        name: String,
        since: Option<i64>,
    },
    Known {
        id: i64,
        created: Option<i64>,
        name: String,
        online: bool,
    },
    /// The sidecar removed it.
    Removed {
        id: i64,
        name: String,
    },
    /// Somebody else removed it.
    Vanished {
        id: i64,
        name: String,
    },
}

/// Replaces the saved state.
pub(crate) fn save(directory: &Path, snapshot: Snapshot) -> io::Result<()> {
    let json = serde_json::to_vec(&Saved::from(snapshot))?;
    let new = directory.join(NEW_FILE);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&json)?;
    std::fs::rename(new, directory.join(FILE))
}

/// What the previous run of this container saved; `None` in the first.
///
/// # Errors
/// There is a state that cannot be read.
pub(crate) fn load(directory: &Path) -> io::Result<Option<Snapshot>> {
    let file = match std::fs::File::open(directory.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut json = Vec::new();
    file.take(LIMIT).read_to_end(&mut json)?;
    let saved: Saved = serde_json::from_slice(&json)?;
    Ok(Some(saved.into()))
}

fn to_seconds(time: Time) -> f64 {
    time.0.as_secs_f64()
}

fn from_seconds(seconds: f64) -> Option<Time> {
    Duration::try_from_secs_f64(seconds).ok().map(Time)
}

impl From<Snapshot> for Saved {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot {
            started,
            pinned,
            registration,
            used,
            pool,
            admitted,
            tenant,
            disabled,
            draining_since,
            ended,
            exchange_failures,
            exchange_not_before,
            ado_failures,
            ado_not_before,
        } = snapshot;
        Self {
            started: started.map(|time| time.0),
            pinned: pinned.map(|(agent, created)| (agent.0, created.map(|time| time.0))),
            registration: registration.map(SavedRegistration::from),
            used,
            pool: pool.map(|pool| pool.0),
            admitted,
            tenant,
            disabled: disabled.map(|agent| agent.0),
            draining_since: draining_since.map(to_seconds),
            ended,
            exchange_failures,
            exchange_not_before: exchange_not_before.map(to_seconds),
            ado_failures,
            ado_not_before: ado_not_before.map(to_seconds),
        }
    }
}

impl From<Saved> for Snapshot {
    fn from(saved: Saved) -> Self {
        Self {
            started: saved.started.map(ServerTime),
            pinned: saved
                .pinned
                .map(|(agent, created)| (AgentId(agent), created.map(ServerTime))),
            registration: saved.registration.map(Registration::from),
            used: saved.used,
            pool: saved.pool.map(PoolId),
            admitted: saved.admitted,
            tenant: saved.tenant,
            disabled: saved.disabled.map(AgentId),
            draining_since: saved.draining_since.and_then(from_seconds),
            ended: saved.ended,
            exchange_failures: saved.exchange_failures,
            exchange_not_before: saved.exchange_not_before.and_then(from_seconds),
            ado_failures: saved.ado_failures,
            ado_not_before: saved.ado_not_before.and_then(from_seconds),
        }
    }
}

impl From<Registration> for SavedRegistration {
    fn from(registration: Registration) -> Self {
        match registration {
            Registration::Begun { name, since } => Self::Begun {
                name,
                since: since.map(|time| time.0),
            },
            Registration::Known(Registered {
                id,
                created,
                name,
                is_online,
            }) => Self::Known {
                id: id.0,
                created: created.map(|time| time.0),
                name,
                online: is_online,
            },
            Registration::Gone { id, name, by } => match by {
                Remover::Sidecar => Self::Removed { id: id.0, name },
                Remover::Another => Self::Vanished { id: id.0, name },
            },
        }
    }
}

impl From<SavedRegistration> for Registration {
    fn from(saved: SavedRegistration) -> Self {
        match saved {
            SavedRegistration::Begun { name, since } => Self::Begun {
                name,
                since: since.map(ServerTime),
            },
            SavedRegistration::Known {
                id,
                created,
                name,
                online,
            } => Self::Known(Registered {
                id: AgentId(id),
                created: created.map(ServerTime),
                name,
                is_online: online,
            }),
            SavedRegistration::Removed { id, name } => Self::Gone {
                id: AgentId(id),
                name,
                by: Remover::Sidecar,
            },
            SavedRegistration::Vanished { id, name } => Self::Gone {
                id: AgentId(id),
                name,
                by: Remover::Another,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_loads_unchanged() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(load(directory.path()).expect("readable"), None);
        let full = Snapshot {
            started: Some(ServerTime(5)),
            pinned: Some((AgentId(7), Some(ServerTime(6)))),
            registration: None,
            used: true,
            pool: Some(PoolId(3)),
            admitted: true,
            tenant: Some("t".into()),
            disabled: Some(AgentId(7)),
            draining_since: Some(Time(Duration::from_millis(1_500))),
            ended: true,
            exchange_failures: 2,
            exchange_not_before: Some(Time(Duration::from_millis(2_250))),
            ado_failures: 3,
            ado_not_before: Some(Time(Duration::from_secs(9))),
        };
        let registrations = [
            Registration::Begun {
                name: "a".into(),
                since: Some(ServerTime(5)),
            },
            Registration::Known(Registered {
                id: AgentId(7),
                created: Some(ServerTime(6)),
                name: "a".into(),
                is_online: true,
            }),
            Registration::Gone {
                id: AgentId(7),
                name: "a".into(),
                by: Remover::Sidecar,
            },
            Registration::Gone {
                id: AgentId(7),
                name: "a".into(),
                by: Remover::Another,
            },
        ];
        let registered = registrations.map(|registration| Snapshot {
            registration: Some(registration),
            ..full.clone()
        });
        for snapshot in [Snapshot::default(), full].into_iter().chain(registered) {
            save(directory.path(), snapshot.clone()).expect("saved");
            assert_eq!(load(directory.path()).expect("readable"), Some(snapshot));
        }
    }

    #[test]
    fn a_broken_state_is_an_error_and_one_with_other_fields_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(FILE), "{\"ended\": tr").expect("written");
        assert!(load(directory.path()).is_err());
        std::fs::write(directory.path().join(FILE), "{\"pool\": 3, \"gone\": 1}").expect("written");
        assert_eq!(
            load(directory.path()).expect("readable").expect("there").pool,
            Some(PoolId(3))
        );
    }
}

//! Whether anything lets a job in the agent container reach the sidecar's memory, state or service-account token, the node, or
//! another identity than the pool's. What cannot be judged counts: `isolated` is said only where it is true.

use crate::azwi::{Azwi, Exposed};
use crate::pod::{Container, Pod, Projection, Volume};
use crate::text::quote;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

/// Capabilities with which root in a container gets at the kernel, the node's files or other processes (capabilities(7)).
const ESCAPES: [&str; 9] = [
    "ALL",
    "BPF",
    "DAC_READ_SEARCH",
    "PERFMON",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
];
/// Kinds of volumes that hold data of the pod's own. Drivers (`csi`, `flexVolume`) may bring sockets and identities.
const DATA: [&str; 9] = [
    "azureFile",
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "nfs",
    "persistentVolumeClaim",
    "secret",
];
/// Sources of projected volumes that hold data of the pod's own.
const PROJECTED_DATA: [&str; 4] = ["clusterTrustBundle", "configMap", "downwardAPI", "secret"];
/// Most reasons that are listed.
const REASONS_MAX: usize = 10;

/// Why the agent container is not isolated.
#[derive(Debug, Default)]
pub(crate) struct Weaknesses {
    /// The first reasons. Each begins with a word of [`contract::NOT_ISOLATED`].
    pub(crate) listed: Vec<String>,
    /// How many more reasons there are.
    more: usize,
}

impl Weaknesses {
    fn add(&mut self, reason: impl FnOnce() -> String) {
        if self.listed.len() < REASONS_MAX {
            self.listed.push(reason());
        } else {
            self.more += 1;
        }
    }

    /// What the user should know of it. The API server cuts a long warning, so the reasons come last.
    pub(crate) fn warning(&self, agent: &str) -> Option<String> {
        let more = if self.more > 0 {
            format!(", and {} more", self.more)
        } else {
            String::new()
        };
        (!self.listed.is_empty()).then(|| {
            format!(
                "container {} is not isolated: its jobs may reach the sidecar's tokens or another identity ({}{more})",
                quote(agent),
                self.listed.join(", ")
            )
        })
    }
}

/// Finds the reasons. Containers that run next to the agent count as well: jobs talk to them (Docker in Docker, token proxies).
pub(crate) fn weaknesses(pod: &Pod<'_>, agent: &Container<'_>, azwi: &Azwi<'_>, exposed: &Exposed) -> Weaknesses {
    let mut found = Weaknesses::default();
    let sharing = &pod.sharing;
    for (key, is_shared) in [
        (contract::NOT_ISOLATED_SHARED_PROCESSES, sharing.processes),
        (contract::NOT_ISOLATED_HOST_PID, sharing.host_pid),
        (contract::NOT_ISOLATED_HOST_IPC, sharing.host_ipc),
        (contract::NOT_ISOLATED_HOST_NETWORK, sharing.host_network),
    ] {
        if is_shared {
            found.add(|| key.to_owned());
        }
    }
    let mut inspection = Inspection {
        // Capabilities and /proc of a pod with a user namespace of its own end there.
        has_own_users: !sharing.host_users,
        volumes: risky_volumes(pod),
        found,
    };
    inspection.container(agent, Place::Agent, &exposed.mounts);
    if azwi.keeps_token() {
        inspection
            .found
            .add(|| format!("{} keep", contract::NOT_ISOLATED_FEDERATED_TOKEN));
    }
    for container in pod
        .lasting_containers()
        .filter(|container| container.name != agent.name)
    {
        let place = Place::Beside(container.name);
        inspection.container(container, place, &[]);
        if azwi.gives_token_to(container.name) {
            inspection
                .found
                .add(|| format!("{}{place}", contract::NOT_ISOLATED_FEDERATED_TOKEN));
        }
    }
    inspection.found
}

/// Which container a reason is about.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Agent,
    Beside(&'a str),
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => Ok(()),
            Self::Beside(name) => write!(f, " (container {})", quote(name)),
        }
    }
}

/// What was found so far.
struct Inspection<'a> {
    has_own_users: bool,
    /// Volumes that no container mounts so far, with the reason why none should.
    volumes: BTreeMap<&'a str, String>,
    found: Weaknesses,
}

impl Inspection<'_> {
    /// What a container may do beyond itself, and what it mounts; `removed` are positions of mounts that go.
    fn container(&mut self, container: &Container<'_>, place: Place<'_>, removed: &[usize]) {
        self.powers(container, place);
        for (index, mount) in container.mounts.iter().enumerate() {
            if !removed.contains(&index)
                && let Some(reason) = self.volumes.remove(mount.volume)
            {
                self.found.add(|| format!("{reason}{place}"));
            }
        }
    }

    fn powers(&mut self, container: &Container<'_>, place: Place<'_>) {
        let privileges = &container.privileges;
        if privileges.is_privileged {
            self.found
                .add(|| format!("{}{place}", contract::NOT_ISOLATED_PRIVILEGED));
        }
        if self.has_own_users {
            return;
        }
        let added: BTreeSet<&'static str> = privileges.capabilities.iter().filter_map(|name| escape(name)).collect();
        for name in added {
            self.found
                .add(|| format!("{} {name}{place}", contract::NOT_ISOLATED_CAPABILITY));
        }
        if privileges.proc_mount == Some("Unmasked") {
            self.found
                .add(|| format!("{} Unmasked{place}", contract::NOT_ISOLATED_PROC_MOUNT));
        }
    }
}

/// The capability, if it is one that leads out of a container; either spelling counts, as for the container runtimes.
fn escape(name: &str) -> Option<&'static str> {
    let plain = match name.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => &name[4..],
        Some(_) | None => name,
    };
    ESCAPES.into_iter().find(|escape| escape.eq_ignore_ascii_case(plain))
}

/// Volumes that hold more than data, each with what is wrong with it.
fn risky_volumes<'a>(pod: &Pod<'a>) -> BTreeMap<&'a str, String> {
    let risky = pod
        .volumes
        .iter()
        .filter_map(|volume| Some((volume.name, risk(volume)?)));
    risky.collect()
}

fn risk(volume: &Volume<'_>) -> Option<String> {
    volume.kinds().find_map(|kind| match kind {
        "hostPath" => Some(format!(
            "{} volume {}",
            contract::NOT_ISOLATED_HOST_PATH,
            quote(volume.name)
        )),
        "projected" => {
            let mut sources = volume.projections.iter();
            sources.find_map(|source| projection_risk(volume.name, source))
        }
        data if DATA.contains(&data) => None,
        other => Some(other_volume(volume.name, other)),
    })
}

fn projection_risk(volume: &str, source: &Projection<'_>) -> Option<String> {
    if let Some(token) = &source.account_token {
        let audience = match token.audience {
            Some(audience) => quote(audience),
            None => "the Kubernetes API".to_owned(),
        };
        let word = contract::NOT_ISOLATED_ACCOUNT_TOKEN;
        return Some(format!("{word} for {audience} in volume {}", quote(volume)));
    }
    source
        .kinds()
        .find(|kind| !PROJECTED_DATA.contains(kind))
        .map(|kind| other_volume(volume, kind))
}

fn other_volume(name: &str, kind: &str) -> String {
    format!(
        "{} {} of kind {}",
        contract::NOT_ISOLATED_VOLUME,
        quote(name),
        quote(kind)
    )
}

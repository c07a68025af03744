//! Whether anything lets a job in the agent container reach the sidecar's memory, state or service-account token, the node, or
//! another identity than the pool's. What cannot be judged counts: `isolated` is said only where it is true.

use crate::Denial;
use crate::azwi::{Azwi, Exposed};
use crate::raw::{self, Container, Object, Pod};
use crate::text::quote;
use serde_json::Value;
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
/// What the pod may share with other processes or with the node.
const SHARED: [&str; 4] = [
    contract::NOT_ISOLATED_SHARED_PROCESSES,
    contract::NOT_ISOLATED_HOST_PID,
    contract::NOT_ISOLATED_HOST_IPC,
    contract::NOT_ISOLATED_HOST_NETWORK,
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
/// Sources of projected volumes that do.
const PROJECTED_DATA: [&str; 4] = ["clusterTrustBundle", "configMap", "downwardAPI", "secret"];
/// Most reasons that are listed.
const REASONS_MAX: usize = 10;

/// Why the agent container is not isolated.
#[derive(Debug, Default)]
pub(crate) struct Weaknesses {
    /// The first of them. Each begins with a word of [`contract::NOT_ISOLATED`].
    pub(crate) listed: Vec<String>,
    /// How many more there are.
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

/// Finds them. Containers that run beside the agent count, too: jobs talk to them (Docker in Docker, token proxies).
pub(crate) fn weaknesses(
    pod: &Pod<'_>,
    agent: Container<'_>,
    path: &str,
    azwi: &Azwi<'_>,
    exposed: &Exposed,
) -> Result<Weaknesses, Denial> {
    let mut found = Weaknesses::default();
    for key in SHARED {
        if raw::flag(pod.spec, key, "spec.")? {
            found.add(|| key.to_owned());
        }
    }
    let mut inspection = Inspection {
        // Capabilities and /proc of a pod with a user namespace of its own end there.
        has_own_users: pod.spec.get("hostUsers") == Some(&Value::Bool(false)),
        volumes: risky_volumes(pod)?,
        found,
    };
    inspection.container(agent, path, Place::Agent, &exposed.mounts)?;
    if azwi.keeps_token() {
        inspection
            .found
            .add(|| format!("{} keep", contract::NOT_ISOLATED_FEDERATED_TOKEN));
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in pod.containers(list)?.into_iter().enumerate() {
            let path = format_args!("spec.{list}[{index}].");
            let runs_beside =
                list == "containers" || raw::text(container.raw, "restartPolicy", path)? == Some("Always");
            if !runs_beside || container.name == agent.name {
                continue;
            }
            let place = Place::Beside(container.name);
            inspection.container(container, path, place, &[])?;
            if azwi.gives_token_to(container.name) {
                inspection
                    .found
                    .add(|| format!("{}{place}", contract::NOT_ISOLATED_FEDERATED_TOKEN));
            }
        }
    }
    Ok(inspection.found)
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

/// What is being looked through.
struct Inspection<'a> {
    has_own_users: bool,
    /// Volumes that no container mounts so far, with the reason why none should.
    volumes: BTreeMap<&'a str, String>,
    found: Weaknesses,
}

impl Inspection<'_> {
    /// What a container may do beyond itself, and what it mounts; `removed` are positions of mounts that go.
    fn container(
        &mut self,
        container: Container<'_>,
        path: impl Display,
        place: Place<'_>,
        removed: &[usize],
    ) -> Result<(), Denial> {
        self.powers(container, &path, place)?;
        for (index, mount) in raw::objects(container.raw, "volumeMounts", &path)?
            .into_iter()
            .enumerate()
        {
            let name = raw::text(mount, "name", format_args!("{path}volumeMounts[{index}]."))?.unwrap_or_default();
            if !removed.contains(&index)
                && let Some(reason) = self.volumes.remove(name)
            {
                self.found.add(|| format!("{reason}{place}"));
            }
        }
        Ok(())
    }

    fn powers(&mut self, container: Container<'_>, path: impl Display, place: Place<'_>) -> Result<(), Denial> {
        let Some(context) = raw::object(container.raw, "securityContext", &path)? else {
            return Ok(());
        };
        let path = format_args!("{path}securityContext.");
        if raw::flag(context, "privileged", path)? {
            self.found
                .add(|| format!("{}{place}", contract::NOT_ISOLATED_PRIVILEGED));
        }
        if self.has_own_users {
            return Ok(());
        }
        if let Some(capabilities) = raw::object(context, "capabilities", path)? {
            let added: BTreeSet<&'static str> = raw::texts(capabilities, "add", format_args!("{path}capabilities."))?
                .into_iter()
                .filter_map(escape)
                .collect();
            for name in added {
                self.found
                    .add(|| format!("{} {name}{place}", contract::NOT_ISOLATED_CAPABILITY));
            }
        }
        if raw::text(context, "procMount", path)? == Some("Unmasked") {
            self.found
                .add(|| format!("{} Unmasked{place}", contract::NOT_ISOLATED_PROC_MOUNT));
        }
        Ok(())
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
fn risky_volumes<'a>(pod: &Pod<'a>) -> Result<BTreeMap<&'a str, String>, Denial> {
    let mut risky = BTreeMap::new();
    for (name, volume) in pod.volumes()? {
        if let Some(reason) = risk(name, volume)? {
            risky.insert(name, reason);
        }
    }
    Ok(risky)
}

fn risk(name: &str, volume: &Object) -> Result<Option<String>, Denial> {
    for kind in kinds(volume) {
        match kind {
            "name" => {}
            "hostPath" => {
                return Ok(Some(format!(
                    "{} volume {}",
                    contract::NOT_ISOLATED_HOST_PATH,
                    quote(name)
                )));
            }
            "projected" => {
                let Some(projected) = raw::object(volume, kind, "spec.volumes[].")? else {
                    continue;
                };
                for source in raw::objects(projected, "sources", "spec.volumes[].projected.")? {
                    if let Some(reason) = projection_risk(name, source)? {
                        return Ok(Some(reason));
                    }
                }
            }
            data if DATA.contains(&data) => {}
            other => return Ok(Some(other_volume(name, other))),
        }
    }
    Ok(None)
}

fn projection_risk(volume: &str, source: &Object) -> Result<Option<String>, Denial> {
    let path = "spec.volumes[].projected.sources[].";
    if let Some(token) = raw::object(source, "serviceAccountToken", path)? {
        let audience = raw::text(token, "audience", format_args!("{path}serviceAccountToken."))?;
        let audience = match audience.filter(|audience| !audience.is_empty()) {
            Some(audience) => quote(audience),
            None => "the Kubernetes API".to_owned(),
        };
        let word = contract::NOT_ISOLATED_ACCOUNT_TOKEN;
        return Ok(Some(format!("{word} for {audience} in volume {}", quote(volume))));
    }
    Ok(kinds(source)
        .find(|kind| !PROJECTED_DATA.contains(kind))
        .map(|kind| other_volume(volume, kind)))
}

/// The keys of what is not null.
fn kinds(object: &Object) -> impl Iterator<Item = &str> {
    object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, _)| key.as_str())
}

fn other_volume(name: &str, kind: &str) -> String {
    format!(
        "{} {} of kind {}",
        contract::NOT_ISOLATED_VOLUME,
        quote(name),
        quote(kind)
    )
}

//! A pod, read once from its raw object into borrowed values: what a decision looks at, and nothing else.

mod container;
mod placement;
mod volume;

pub(crate) use container::{Container, ContainerList, EnvEntry, Probe};
pub(crate) use placement::{Placement, Requirement};
pub(crate) use volume::{Projection, Volume};

use crate::Denial;
use crate::json::{Node, Texts};
use contract::DenyReason;

/// The parts of a pod that a decision looks at.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) labels: Texts<'a>,
    pub(crate) annotations: Texts<'a>,
    /// Kinds of the objects that the pod belongs to, such as `ReplicaSet`.
    pub(crate) owner_kinds: Vec<&'a str>,
    pub(crate) init_containers: Vec<Container<'a>>,
    pub(crate) containers: Vec<Container<'a>>,
    pub(crate) ephemeral_containers: Vec<Container<'a>>,
    pub(crate) ports: Vec<Port<'a>>,
    pub(crate) volumes: Vec<Volume<'a>>,
    /// Name of the ServiceAccount; the API's default is `default`.
    pub(crate) service_account: &'a str,
    pub(crate) placement: Placement<'a>,
    pub(crate) sharing: Sharing,
    /// `terminationGracePeriodSeconds`.
    pub(crate) grace_seconds: Option<i64>,
    /// Whether containers that end are started again whatever their exit code (`restartPolicy`, by default `Always`).
    pub(crate) restarts_always: bool,
    pub(crate) resources: ResourcesOf,
    pub(crate) volume_group: VolumeGroup,
    /// Whether `securityContext.windowsOptions` says anything.
    pub(crate) has_windows_options: bool,
}

/// Where the pod sets CPU and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResourcesOf {
    /// In its containers.
    Containers,
    /// In `spec.resources` (Kubernetes 1.34): its containers share them.
    Pod,
}

/// Which group the files of the pod's volumes belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum VolumeGroup {
    /// That of the process that made them.
    #[default]
    Process,
    /// `securityContext.fsGroup`, of which every container is a member.
    Pod,
}

/// A TCP port on which a container listens.
#[derive(Debug)]
pub(crate) struct Port<'a> {
    pub(crate) container: &'a str,
    pub(crate) number: i64,
}

/// What the pod's containers share with each other or with the node.
#[derive(Debug)]
pub(crate) struct Sharing {
    pub(crate) processes: bool,
    pub(crate) host_pid: bool,
    pub(crate) host_ipc: bool,
    pub(crate) host_network: bool,
    /// Whether users are the node's; `false` is a user namespace of the pod's own (`hostUsers`).
    pub(crate) host_users: bool,
}

impl<'a> Pod<'a> {
    /// Reads a pod.
    ///
    /// # Errors
    /// A denial that names the first place that is not as the API has it.
    pub(crate) fn read(root: Node<'a, '_>) -> Result<Self, Denial> {
        let metadata = root.object("metadata", |metadata| {
            let kind = |_, owner: Node<'a, '_>| Ok(owner.text("kind")?.unwrap_or_default());
            Ok((
                metadata.map("labels")?,
                metadata.map("annotations")?,
                metadata.list("ownerReferences", kind)?,
            ))
        })?;
        let (labels, annotations, owner_kinds) = metadata.unwrap_or_default();
        let pod = root.object("spec", |spec| {
            let containers =
                |list: ContainerList| spec.list(list.as_str(), |position, node| Container::read(list, position, node));
            let security = spec.object("securityContext", |context| {
                let group = match context.object.get("fsGroup") {
                    Some(group) if !group.is_null() => VolumeGroup::Pod,
                    Some(_) | None => VolumeGroup::Process,
                };
                Ok((group, container::has_windows_options(context)?))
            })?;
            let (volume_group, has_windows_options) = security.unwrap_or_default();
            Ok(Self {
                labels,
                annotations,
                owner_kinds,
                init_containers: containers(ContainerList::Init)?,
                containers: containers(ContainerList::Ordinary)?,
                ephemeral_containers: containers(ContainerList::Ephemeral)?,
                ports: ports(spec)?,
                volumes: spec.list("volumes", |_, volume| Volume::read(volume))?,
                service_account: service_account(spec)?,
                placement: Placement::read(spec)?,
                sharing: Sharing::read(spec)?,
                grace_seconds: spec.integer("terminationGracePeriodSeconds")?,
                restarts_always: spec.text("restartPolicy")?.is_none_or(|policy| policy == "Always"),
                resources: resources(spec)?,
                volume_group,
                has_windows_options,
            })
        })?;
        pod.ok_or_else(|| Denial::new(DenyReason::MalformedPod, "the pod is malformed: spec is missing"))
    }

    /// The containers of all lists, init containers first.
    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        [&self.init_containers, &self.containers, &self.ephemeral_containers]
            .into_iter()
            .flatten()
    }

    /// The containers that run for as long as the pod: native sidecars and ordinary containers.
    pub(crate) fn lasting_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        let sidecars = self.init_containers.iter().filter(|init| init.restarts_always);
        sidecars.chain(&self.containers)
    }
}

fn ports<'a>(spec: Node<'a, '_>) -> Result<Vec<Port<'a>>, Denial> {
    let mut ports = Vec::new();
    for list in [ContainerList::Init, ContainerList::Ordinary] {
        spec.list(list.as_str(), |_, node| {
            let container = node.name("name")?;
            let numbers = container::ports(node)?.into_iter();
            ports.extend(numbers.map(|number| Port { container, number }));
            Ok(())
        })?;
    }
    Ok(ports)
}

fn service_account<'a>(spec: Node<'a, '_>) -> Result<&'a str, Denial> {
    for key in ["serviceAccountName", "serviceAccount"] {
        if let Some(name) = spec.text(key)?.filter(|name| !name.is_empty()) {
            return Ok(name);
        }
    }
    Ok("default")
}

fn resources(spec: Node<'_, '_>) -> Result<ResourcesOf, Denial> {
    let found = spec.object("resources", |resources| {
        let is_set = |key| resources.object(key, |amounts| Ok(!amounts.object.is_empty()));
        Ok(is_set("requests")? == Some(true) || is_set("limits")? == Some(true))
    })?;
    Ok(if found == Some(true) {
        ResourcesOf::Pod
    } else {
        ResourcesOf::Containers
    })
}

impl Sharing {
    fn read(spec: Node<'_, '_>) -> Result<Self, Denial> {
        let is_set = |key| Ok::<_, Denial>(spec.flag(key)?.unwrap_or_default());
        Ok(Self {
            processes: is_set("shareProcessNamespace")?,
            host_pid: is_set("hostPID")?,
            host_ipc: is_set("hostIPC")?,
            host_network: is_set("hostNetwork")?,
            host_users: spec.flag("hostUsers")?.unwrap_or(true),
        })
    }
}

//! The pod's grace period, and what a longer one must not change.
//!
//! Kubernetes also lets a container whose liveness or startup probe failed have that period before it is killed
//! (kubernetes/kubernetes `pkg/kubelet/kuberuntime`, `killContainer`), unless the probe has one of its own.

use crate::origin::Origin;
use crate::overrides::Overrides;
use crate::pod::{ContainerList, Pod, Probe};
use crate::text::list;
use crate::{Denial, Settings};
use contract::DenyReason;

/// The API's default of `terminationGracePeriodSeconds`, which is in every pod that names none.
const API_SECONDS: i64 = 30;
/// Most probes that get one. Each is an operation of the patch.
const PROBES_MAX: usize = 20;

/// The pod's grace period: the annotation's, else the pod's own, else the operator's. The API's default of 30 seconds
/// counts as none: the two cannot be told apart.
#[derive(Debug)]
pub(crate) struct Grace<'a> {
    pub(crate) seconds: i64,
    pub(crate) origin: Origin,
    /// The value to set, where it is another than the pod's.
    pub(crate) change: Option<i64>,
    /// Where it was raised: probes that keep the period that they had.
    pub(crate) probes: Vec<ProbeGrace<'a>>,
    /// Where it was raised: containers that end together with the agent's.
    beside: Vec<&'a str>,
}

/// A probe that gets a grace period of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProbeGrace<'a> {
    /// List of the container and position in it.
    pub(crate) list: ContainerList,
    pub(crate) position: usize,
    container: &'a str,
    pub(crate) probe: &'static str,
    /// In seconds.
    pub(crate) seconds: i64,
}

impl<'a> Grace<'a> {
    pub(crate) fn find(
        pod: &Pod<'a>,
        agent: &str,
        overrides: &Overrides<'_>,
        settings: &Settings,
    ) -> Result<Self, Denial> {
        let own = pod.grace_seconds;
        let (seconds, origin) = match (overrides.grace_seconds, own) {
            (Some(seconds), _) => (seconds, Origin::Annotation),
            (None, Some(seconds)) if seconds != API_SECONDS => (seconds, Origin::Pod),
            (None, Some(_) | None) => (settings.grace_seconds, Origin::Operator),
        };
        let mut grace = Self {
            seconds,
            origin,
            change: (own != Some(seconds)).then_some(seconds),
            probes: Vec::new(),
            beside: Vec::new(),
        };
        let before = own.unwrap_or(API_SECONDS);
        if seconds > before {
            // A probe's own period has to be more than zero.
            grace.keep(pod, agent, before.max(1))?;
        }
        Ok(grace)
    }

    fn keep(&mut self, pod: &Pod<'a>, agent: &str, before: i64) -> Result<(), Denial> {
        for container in pod.lasting_containers() {
            if container.list == ContainerList::Ordinary && container.name != agent {
                self.beside.push(container.name);
            }
            for (name, probe) in [
                ("livenessProbe", container.liveness_probe),
                ("startupProbe", container.startup_probe),
            ] {
                if let Some(Probe { grace_seconds: None }) = probe {
                    self.probes.push(ProbeGrace {
                        list: container.list,
                        position: container.position,
                        container: container.name,
                        probe: name,
                        seconds: before,
                    });
                }
            }
        }
        if self.probes.len() <= PROBES_MAX {
            return Ok(());
        }
        Err(Denial::new(
            DenyReason::PatchTooLarge,
            format!(
                "the pod has {} liveness and startup probes without terminationGracePeriodSeconds of their own, and the webhook \
                 sets it for at most {PROBES_MAX}; set it in the pod template",
                self.probes.len()
            ),
        ))
    }

    /// The probes, as the status annotation says it.
    pub(crate) fn probe_names(&self) -> Vec<String> {
        let name = |probe: &ProbeGrace<'_>| format!("{} {}", probe.container, probe.probe);
        self.probes.iter().map(name).collect()
    }

    pub(crate) fn warning(&self) -> Option<String> {
        if self.seconds == 0 {
            let sentence =
                "the grace period is 0 seconds, so the sidecar has no time to remove the agent from the pool";
            return Some(sentence.to_owned());
        }
        (!self.beside.is_empty()).then(|| {
            format!(
                "the grace period is now {} s for every container: one that ignores SIGTERM keeps the pod Terminating for that \
                 long (other containers: {})",
                self.seconds,
                list(self.beside.iter().copied())
            )
        })
    }
}

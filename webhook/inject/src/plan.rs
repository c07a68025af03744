//! What will be added to a pod, as values: the sidecar, its volumes, and what the handoff needs in the agent container.

use crate::candidate::Candidate;
use crate::env_var::EnvVar;
use crate::grace::Grace;
use crate::handoff::{self, Changes, Wanted};
use crate::identity::Identity;
use crate::kubernetes::{Container, Volume};
use crate::overrides::Overrides;
use crate::pre_stop::PreStop;
use crate::registration::shared_name_warning;
use crate::status::{Added, Sources, Status, texts};
use crate::text::bounded;
use crate::unknown_keys::UnknownKeys;
use crate::{Context, Denial, advice, azwi, isolation, sidecar};
use serde::{Serialize, Serializer};

/// What will be added to the pod, before it is a patch.
pub(crate) struct Plan<'a> {
    pub(crate) annotations: Annotations,
    pub(crate) volumes: Vec<Volume<'a>>,
    pub(crate) sidecar: Container<'a>,
    /// Position of the agent in `spec.containers`.
    pub(crate) position: usize,
    pub(crate) agent: Changes<'a>,
    pub(crate) pre_stop: PreStop,
    pub(crate) grace: Grace<'a>,
    /// What the user should know, within the API server's limits.
    pub(crate) warnings: Vec<String>,
}

/// Annotations to set, in the order of their operations.
#[derive(Default)]
pub(crate) struct Annotations(pub(crate) Vec<(&'static str, String)>);

impl Serialize for Annotations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        candidate: Candidate<'a>,
        identity: &Identity<'a>,
        namespace: &str,
        context: Context<'a>,
    ) -> Result<Self, Denial> {
        let Candidate {
            pod,
            position,
            overrides,
            azwi,
            environment,
            registration,
            variables,
            account: _,
        } = candidate;
        let agent = &pod.containers[position];
        let Context { settings, cluster } = context;
        let owner = sidecar::owner(namespace, cluster);
        let exposed = azwi::exposed(&pod, agent, &environment, &azwi);
        let weaknesses = isolation::weaknesses(&pod, agent, &azwi, &exposed);
        let wanted = Wanted {
            gateway: overrides.gateway.as_ref(),
            identity,
            owner: &owner,
            settings: registration.containers.agent,
            exposed,
        };
        let changes = handoff::changes(agent.name, &environment, wanted)?;
        let pre_stop = PreStop::find(agent);
        let grace = Grace::find(&pod, agent.name, &overrides, settings)?;
        let unknown = UnknownKeys::find(&pod);

        let mut env = owner.to_vec();
        env.extend(sidecar::identity(identity, settings));
        env.extend(sidecar::variables(
            &overrides,
            grace.seconds,
            pod.volume_group,
            settings,
        ));
        env.extend(variables);
        let (volumes, mounts): (Vec<_>, Vec<_>) = sidecar::volumes(identity, &overrides, settings).into_iter().unzip();
        let container = sidecar::container(env, mounts, &overrides, pod.resources, settings);

        let mut warnings = changes.warnings.clone();
        warnings.extend(registration.containers.warnings);
        warnings.extend(shared_name_warning(agent.name, registration.name, &pod.sharing));
        warnings.extend(identity_warning(identity, &overrides));
        warnings.extend(sidecar::resources_warning(&overrides, pod.resources));
        let user = sidecar::user(&overrides, settings);
        warnings.extend(advice::warnings(&pod, agent, &environment, &overrides, user));
        warnings.extend(weaknesses.warning(agent.name));
        warnings.extend(pre_stop.warning(agent.name));
        warnings.extend(grace.warning());
        warnings.extend(unknown.warnings());
        let warnings = bounded(warnings);

        let mut annotations = Annotations::default();
        let skip = azwi::skip_containers(&pod, agent.name, &azwi);
        annotations
            .0
            .extend(skip.map(|list| (contract::AZWI_SKIP_CONTAINERS_ANNOTATION, list)));
        if pod.annotations.get(contract::SAFE_TO_EVICT_ANNOTATION).is_none() {
            annotations
                .0
                .push((contract::SAFE_TO_EVICT_ANNOTATION, "false".to_owned()));
        }
        let (client_id, tenant_id) = identity.origins();
        let status = Status {
            version: contract::VERSION,
            agent_container: agent.name.into(),
            handoff: overrides.handoff().as_str().into(),
            sources: Sources {
                client_id: client_id.into(),
                tenant_id: tenant_id.into(),
                url: registration.url.into(),
                pool: registration.pool.into(),
                agent_name: registration.name.into(),
                grace_seconds: grace.origin.into(),
            },
            grace_seconds: grace.seconds,
            pre_stop: pre_stop.as_str().into(),
            probes: grace.probe_names().into_iter().map(Into::into).collect(),
            added: Added {
                containers: texts([contract::SIDECAR_CONTAINER]),
                volumes: texts(volumes.iter().map(|volume| volume.name)),
                variables: texts(changes.variables.append.iter().map(EnvVar::name)),
                annotations: texts(annotations.0.iter().map(|(key, _)| *key)),
            },
            removed: texts(changes.removed.iter().copied()),
            replaced: texts(changes.replaced.iter().copied()),
            shadowed: texts(changes.shadowed.iter().copied()),
            federated_token: azwi.token().map(|token| token.as_str().into()),
            isolated: weaknesses.listed.is_empty(),
            not_isolated: texts(weaknesses.listed.iter().map(String::as_str)),
            unknown_keys_omitted: unknown.more,
            unknown_keys: unknown.into_keys().into_iter().map(Into::into).collect(),
            warnings: texts(warnings.iter().map(String::as_str)),
        };
        let status = status.to_json();
        annotations.0.push((contract::STATUS_ANNOTATION, status));
        Ok(Self {
            annotations,
            volumes,
            sidecar: container,
            position,
            agent: changes,
            pre_stop,
            grace,
            warnings,
        })
    }
}

fn identity_warning(identity: &Identity<'_>, overrides: &Overrides<'_>) -> Option<String> {
    match identity {
        Identity::Own { warning, .. } => warning.clone(),
        Identity::Azwi if overrides.client_id.is_some() || overrides.tenant_id.is_some() => Some(format!(
            "annotations {} and {} are ignored: annotation {} leaves the identity to Azure Workload Identity",
            contract::CLIENT_ID_ANNOTATION,
            contract::TENANT_ID_ANNOTATION,
            contract::AZWI_BINDING_ANNOTATION
        )),
        Identity::Azwi => None,
    }
}

//! What will be added to a pod, as values: the sidecar, its volumes, and what the handoff needs in the agent container.

use crate::candidate::Candidate;
use crate::grace::Grace;
use crate::handoff::{self, Changes};
use crate::identity::{Identity, Source};
use crate::kubernetes::{Container, Volume};
use crate::organization::shared_name_warning;
use crate::overrides::Overrides;
use crate::pre_stop::PreStop;
use crate::status::{Added, Sources, Status};
use crate::text::bounded;
use crate::unknown_keys::UnknownKeys;
use crate::variable::Variable;
use crate::{Denial, Settings, advice, azwi, isolation, sidecar};
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
        settings: &'a Settings,
    ) -> Result<Self, Denial> {
        let Candidate {
            pod,
            position,
            overrides,
            azwi,
            environment,
            organization,
            account: _,
        } = candidate;
        let agent = &pod.containers[position];
        let owner = sidecar::owner(namespace, settings);
        let exposed = azwi::exposed(&pod, agent, &environment, &azwi);
        let weaknesses = isolation::weaknesses(&pod, agent, &azwi, &exposed);
        let changes = handoff::changes(agent.name, &environment, &owner, organization.agent, exposed)?;
        let pre_stop = PreStop::find(agent);
        let grace = Grace::find(&pod, agent.name, &overrides, settings)?;
        let has_resources = pod.has_resources;
        let user = sidecar::user(&overrides, settings);
        let advice = advice::warnings(&pod, agent, &environment, &overrides, user);
        let unknown = UnknownKeys::find(&pod);

        let mut env = owner.to_vec();
        env.extend(sidecar::identity(identity, settings));
        env.extend(sidecar::variables(
            &overrides,
            grace.seconds,
            pod.has_fs_group,
            settings,
        ));
        env.extend(organization.sidecar);
        let (volumes, mounts): (Vec<_>, Vec<_>) = sidecar::volumes(identity, &overrides, settings).into_iter().unzip();
        let container = sidecar::container(env, mounts, &overrides, has_resources, settings);

        let mut warnings = changes.warnings.clone();
        warnings.extend(organization.warnings);
        let [_, _, name_source] = organization.sources;
        warnings.extend(shared_name_warning(agent.name, name_source, pod.sharing.host_network));
        warnings.extend(identity_warning(identity, &overrides));
        warnings.extend(sidecar::resources_warning(&overrides, has_resources));
        warnings.extend(advice);
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
        let [url, pool, agent_name] = organization.sources;
        let (client_id, tenant_id) = identity_sources(identity);
        let status = Status {
            version: contract::VERSION,
            agent_container: agent.name,
            handoff: overrides.handoff.as_str(),
            sources: Sources {
                client_id,
                tenant_id,
                url,
                pool,
                agent_name,
                grace_seconds: grace.source,
            },
            grace_seconds: grace.seconds,
            pre_stop: pre_stop.as_str(),
            probes: grace.probe_names(),
            added: added(&volumes, &changes, &annotations),
            removed: &changes.removed,
            replaced: &changes.replaced,
            shadowed: &changes.shadowed,
            federated_token: azwi.token().map(|token| token.as_str()),
            isolated: weaknesses.listed.is_empty(),
            not_isolated: weaknesses.listed,
            unknown_keys_omitted: unknown.more,
            unknown_keys: unknown.into_keys(),
            warnings: &warnings,
        };
        annotations.0.push((contract::STATUS_ANNOTATION, status.to_json()));
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

fn added<'a>(volumes: &[Volume<'_>], changes: &'a Changes<'_>, annotations: &Annotations) -> Added<'a> {
    Added {
        containers: [contract::SIDECAR_CONTAINER],
        volumes: volumes.iter().map(|volume| volume.name).collect(),
        variables: changes.variables.append.iter().map(Variable::name).collect(),
        annotations: annotations.0.iter().map(|(key, _)| *key).collect(),
    }
}

fn identity_warning(identity: &Identity<'_>, overrides: &Overrides<'_>) -> Option<String> {
    match identity {
        Identity::Own { warning, .. } => warning.clone(),
        Identity::Azwi if overrides.client_id.is_some() || overrides.tenant_id.is_some() => Some(format!(
            "annotations {} and {} are ignored: annotation {} leaves the identity to azwi",
            contract::CLIENT_ID_ANNOTATION,
            contract::TENANT_ID_ANNOTATION,
            contract::AZWI_BINDING_ANNOTATION
        )),
        Identity::Azwi => None,
    }
}

fn identity_sources(identity: &Identity<'_>) -> (&'static str, &'static str) {
    match identity {
        Identity::Own {
            client_id,
            tenant_id,
            warning: _,
        } => (
            client_id.1.as_str(),
            tenant_id
                .as_ref()
                .map_or("organization", |(_, source): &(&str, Source)| source.as_str()),
        ),
        Identity::Azwi => ("azwi", "azwi"),
    }
}

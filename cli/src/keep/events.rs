//! Events: those that `keep` writes, and the kubelet's about probes, which carry the sidecar's sentence.
//!
//! What is worth an Event is decided in the crate `observe`. Here it is written, about the pod and about what a person had
//! typed: the Deployment of its ReplicaSet, the ScaledJob or CronJob of its Job.

mod pod;
mod probes;

pub use pod::view;
pub use probes::{ProbeFailure, probe_failures};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Client, Resource};
use observe::Notice;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

/// Who writes them: `reportingController`.
pub const CONTROLLER: &str = "ado-agent.dev/keep";

/// Owners that are remembered.
const OWNERS: usize = 1_000;

/// Writes Events.
pub struct EventWriter {
    client: Client,
    instance: String,
    /// By UID of the pod's owner: what that is owned by.
    owners: Mutex<BTreeMap<String, OwnerReference>>,
}

/// A pod that an Event is about. It may be gone.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its controller, where it is known.
    pub owner: Option<OwnerReference>,
}

impl EventWriter {
    /// With the name of this pod, which stands in the Events.
    pub fn new(client: Client, instance: &str) -> Self {
        Self {
            client,
            instance: instance.to_owned(),
            owners: Mutex::default(),
        }
    }

    /// Writes a notice about a pod and about what a person had typed, one series for each and reason.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub async fn write(&self, about: &About, notice: &Notice) -> kube::Result<()> {
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(about.name.clone()),
            namespace: Some(about.namespace.clone()),
            uid: Some(about.uid.clone()),
            ..ObjectReference::default()
        };
        self.series(&pod, None, notice).await?;
        if let Some(owner) = &about.owner {
            let typed = self.typed(&about.namespace, owner).await?;
            self.series(&reference(&about.namespace, typed), Some(&pod), notice)
                .await?;
        }
        Ok(())
    }

    /// What a person had typed to get a pod of this owner.
    async fn typed(&self, namespace: &str, owner: &OwnerReference) -> kube::Result<OwnerReference> {
        let known = self.with_owners(|owners| owners.get(&owner.uid).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let above = match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("apps/v1", "ReplicaSet") => self.controller::<ReplicaSet>(namespace, &owner.name).await?,
            ("batch/v1", "Job") => self.controller::<Job>(namespace, &owner.name).await?,
            _ => None,
        };
        let typed = above.unwrap_or_else(|| owner.clone());
        self.with_owners(|owners| {
            if owners.len() >= OWNERS {
                owners.clear();
            }
            owners.insert(owner.uid.clone(), typed.clone());
        });
        Ok(typed)
    }

    async fn controller<K>(&self, namespace: &str, name: &str) -> kube::Result<Option<OwnerReference>>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + Debug,
    {
        let api: Api<PartialObjectMeta<K>> = Api::namespaced(self.client.clone(), namespace);
        Ok(api
            .get_metadata_opt(name)
            .await?
            .and_then(|object| controller(&object.metadata)))
    }

    fn with_owners<T>(&self, change: impl FnOnce(&mut BTreeMap<String, OwnerReference>) -> T) -> T {
        change(&mut self.owners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn series(
        &self,
        regarding: &ObjectReference,
        related: Option<&ObjectReference>,
        notice: &Notice,
    ) -> kube::Result<()> {
        let namespace = regarding.namespace.as_deref().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let now = MicroTime(Timestamp::now());
        let name = notice.series(
            regarding.name.as_deref().unwrap_or_default(),
            regarding.uid.as_deref().unwrap_or_default(),
        );
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(now.clone()),
            type_: Some(notice.kind.as_str().to_owned()),
            reason: Some(notice.reason.word()),
            action: Some(notice.reason.action().to_owned()),
            note: Some(notice.note.clone()),
            regarding: Some(regarding.clone()),
            related: related.cloned(),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        match api.create(&PostParams::default(), &event).await {
            // The series is there: an Event cannot be changed but for how often and when it was seen last.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            created => return created.map(drop),
        }
        let count = api
            .get(&name)
            .await?
            .series
            .map_or(1, |series| series.count)
            .saturating_add(1);
        let series = EventSeries {
            count,
            last_observed_time: now,
        };
        let patch = Patch::Merge(serde_json::json!({ "series": series }));
        api.patch(&name, &PatchParams::default(), &patch).await.map(drop)
    }
}

/// The owner of an object that controls it.
pub fn controller(object: &ObjectMeta) -> Option<OwnerReference> {
    let owners = object.owner_references.iter().flatten();
    owners.clone().find(|owner| owner.controller == Some(true)).cloned()
}

fn reference(namespace: &str, owner: OwnerReference) -> ObjectReference {
    ObjectReference {
        api_version: Some(owner.api_version),
        kind: Some(owner.kind),
        name: Some(owner.name),
        namespace: Some(namespace.to_owned()),
        uid: Some(owner.uid),
        ..ObjectReference::default()
    }
}

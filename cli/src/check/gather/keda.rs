//! KEDA's objects, as they are: its definitions need not be there.

use super::super::keda::Facts;
use super::super::looked::Looked;
use super::{Scout, patiently};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

const API: &str = "/apis/keda.sh/v1alpha1/namespaces";

impl Scout {
    pub(crate) async fn keda(&self) -> Facts {
        let jobs = self.objects("scaledjobs", "ScaledJob").await;
        let objects = match self.objects("scaledobjects", "ScaledObject").await {
            Looked::Found(objects) => {
                let mut with_templates = Vec::new();
                for object in objects {
                    let template = self.template(&object).await;
                    with_templates.push((object, template));
                }
                Looked::Found(with_templates)
            }
            other @ (Looked::Missing | Looked::Refused(_) | Looked::Failed(_)) => other.map(|_| Vec::new()),
        };
        let operators = ListParams::default().labels("app=keda-operator");
        let operator = patiently(Api::<Pod>::all(self.client.clone()).list(&operators))
            .await
            .map(|list| {
                let specs = list.items.into_iter().filter_map(|pod| pod.spec);
                specs
                    .flat_map(|spec| spec.containers)
                    .filter_map(|container| container.image)
                    .collect()
            });
        Facts {
            jobs,
            objects,
            authentications: self.objects("triggerauthentications", "TriggerAuthentication").await,
            operator,
        }
    }

    async fn objects(&self, plural: &str, kind: &str) -> Looked<Vec<Value>> {
        let list = self.get(&format!("{API}/{}/{plural}", self.namespace)).await;
        list.map(|list| {
            let mut items = list["items"].as_array().cloned().unwrap_or_default();
            for item in &mut items {
                item["kind"] = kind.into();
            }
            items
        })
    }

    /// The pod template of what a ScaledObject scales, where it is a Deployment or a StatefulSet that can be read.
    async fn template(&self, object: &Value) -> Option<Value> {
        let target = &object["spec"]["scaleTargetRef"];
        let plural = match target["kind"].as_str() {
            None | Some("Deployment") => "deployments",
            Some("StatefulSet") => "statefulsets",
            Some(_) => return None,
        };
        let name = target["name"].as_str()?;
        let found = self
            .get(&format!("/apis/apps/v1/namespaces/{}/{plural}/{name}", self.namespace))
            .await;
        Some(found.found()?["spec"]["template"].clone())
    }
}

//! The namespace: its labels, its ServiceAccounts, a token of one, and a pod as a server-side dry run.

use super::super::intent::Intent;
use super::super::issuer::{Claimed, claimed_by_server};
use super::super::looked::Looked;
use super::super::pod::{self, Tried};
use super::super::{Stage, identity};
use super::{Depth, PATIENCE, Scout, Seen, patiently};
use crate::problem::Finding;
use ::azure::Secret;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use std::collections::BTreeMap;

/// The shortest life that the API server gives a token, in seconds.
const TOKEN_SECONDS: i64 = 600;

impl Scout {
    /// Namespace, account and dry run, and with [`Depth::Azure`] what a token of the account is good for.
    pub(crate) async fn seen(&self, stage: Stage, depth: Depth) -> Seen {
        let chosen = self.account().await;
        let name = chosen.as_ref().map_or("default", |(name, _)| name.as_str());
        let tried = match stage {
            Stage::BeforeInstall => None,
            Stage::Installed => Some(self.dry_run(name).await),
        };
        let annotations = chosen.as_ref().ok().and_then(|(_, annotations)| annotations.found());
        let intent = Intent::new(name, &self.said, annotations, tried.as_ref().and_then(Tried::pod));
        let (token, claimed) = match (depth, &chosen) {
            (Depth::Pod, _) => (None, None),
            (Depth::Azure, Ok((_, Looked::Found(_) | Looked::Refused(_) | Looked::Failed(_)))) => {
                let token = self.token(&intent).await;
                let claimed = token.found().and_then(|token| Claimed::of_token(token.expose()));
                (Some(token), claimed)
            }
            (Depth::Azure, Ok((_, Looked::Missing)) | Err(_)) => (None, None),
        };
        let claimed = match claimed {
            None if depth == Depth::Azure => claimed_by_server(&self.get("/.well-known/openid-configuration").await),
            claimed => claimed,
        };
        let azure = self.azure(&intent, token.as_ref().and_then(Looked::found), depth).await;
        Seen {
            pod: pod::Facts {
                namespace: self.namespace.clone(),
                labels: self.labels().await,
                tried,
            },
            intent,
            account: chosen.map(|(_, annotations)| annotations),
            token,
            claimed,
            azure,
        }
    }

    async fn labels(&self) -> Looked<BTreeMap<String, String>> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        patiently(namespaces.get_metadata(&self.namespace))
            .await
            .map(|namespace| namespace.metadata.labels.unwrap_or_default())
    }

    /// The ServiceAccount to look at, and its annotations.
    async fn account(&self) -> Result<(String, Looked<BTreeMap<String, String>>), Finding> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        if let Some(name) = &self.service_account {
            let found = patiently(accounts.get_metadata(name)).await;
            return Ok((
                name.clone(),
                found.map(|account| account.metadata.annotations.unwrap_or_default()),
            ));
        }
        let listed = patiently(accounts.list_metadata(&ListParams::default()))
            .await
            .map(|list| {
                let of = |account: kube::core::PartialObjectMeta<ServiceAccount>| {
                    let metadata = account.metadata;
                    (
                        metadata.name.unwrap_or_default(),
                        metadata.annotations.unwrap_or_default(),
                    )
                };
                list.items.into_iter().map(of).collect::<Vec<_>>()
            });
        let name = identity::choose(None, &self.namespace, &listed)?;
        let found = listed.found().and_then(|all| all.iter().find(|(one, _)| *one == name));
        let annotations = found.map_or(Looked::Missing, |(_, annotations)| Looked::Found(annotations.clone()));
        Ok((name, annotations))
    }

    /// A token that no pod ever sees. It ends by itself after ten minutes.
    async fn token(&self, intent: &Intent) -> Looked<Secret> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![intent.audience.clone()],
                expiration_seconds: Some(TOKEN_SECONDS),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let how = PostParams::default();
        let asked = accounts.create_token_request(&intent.account, &how, &request);
        match patiently(asked).await.map(|answer| answer.status) {
            Looked::Found(Some(status)) => Looked::Found(Secret::new(status.token)),
            Looked::Found(None) => Looked::Failed("the answer holds no token".to_owned()),
            Looked::Missing => Looked::Missing,
            Looked::Refused(sentence) => Looked::Refused(sentence),
            Looked::Failed(why) => Looked::Failed(why),
        }
    }

    /// Creates the pod that a careful person would, as a dry run: the API server keeps nothing of it.
    async fn dry_run(&self, account: &str) -> Tried {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut annotations = BTreeMap::new();
        for (key, value) in [
            (contract::URL_ANNOTATION, &self.said.url),
            (contract::POOL_ANNOTATION, &self.said.pool),
            (contract::CLIENT_ID_ANNOTATION, &self.said.client_id),
            (contract::TENANT_ID_ANNOTATION, &self.said.tenant),
        ] {
            if let Some(value) = value {
                annotations.insert(key, value.as_str());
            }
        }
        let pod = json!({
            "metadata": {
                "generateName": "ado-agent-check-",
                "labels": {contract::INJECT_LABEL: "true"},
                "annotations": annotations,
            },
            "spec": {
                "serviceAccountName": account,
                "automountServiceAccountToken": false,
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "agent",
                    "image": "ado-agent-check.invalid/agent:1",
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        let pod = match serde_json::from_value(pod) {
            Ok(pod) => pod,
            Err(error) => return Tried::Failed(error.to_string()),
        };
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match tokio::time::timeout(PATIENCE, pods.create(&dry, &pod)).await {
            Ok(Ok(pod)) => Tried::Created(Box::new(pod)),
            Ok(Err(kube::Error::Api(status))) => Tried::Refused {
                code: status.code,
                message: status.message,
            },
            Ok(Err(error)) => Tried::Failed(contract::error_chain(&error)),
            Err(_) => Tried::Failed(format!("no answer within {} seconds", PATIENCE.as_secs())),
        }
    }
}

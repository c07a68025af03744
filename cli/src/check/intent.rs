//! As whom, where and into which pool the agents of a namespace would register: what the command line says, else what the webhook
//! made of the dry-run pod, else what stands on the ServiceAccount.

use contract as names;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;

/// What a person said on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) url: Option<String>,
    pub(crate) pool: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) authority: Option<String>,
}

/// As whom, where and into which pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) account: String,
    pub(crate) url: Option<String>,
    pub(crate) pool: String,
    pub(crate) client_id: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) authority: String,
    pub(crate) scope: String,
    pub(crate) audience: String,
    /// The operator's private CA, PEM.
    pub(crate) ca: Option<String>,
}

/// The sidecar of a pod, if it has one.
pub(crate) fn sidecar(pod: &Pod) -> Option<&Container> {
    let containers = pod.spec.as_ref()?.init_containers.as_ref()?;
    containers
        .iter()
        .find(|container| container.name == names::SIDECAR_CONTAINER)
}

impl Intent {
    /// Puts together what is known.
    pub(crate) fn new(
        account: &str,
        said: &Said,
        annotations: Option<&BTreeMap<String, String>>,
        injected: Option<&Pod>,
    ) -> Self {
        let container = injected.and_then(sidecar);
        let variable = |name: &str| {
            let found = container?.env.iter().flatten().find(|variable| variable.name == name)?;
            found.value.clone().filter(|value| !value.is_empty())
        };
        let annotation = |key: &str| annotations?.get(key).cloned().filter(|value| !value.is_empty());
        let audience = || {
            let volumes = injected?.spec.as_ref()?.volumes.iter().flatten();
            let projected = volumes
                .filter(|volume| volume.name == names::ASSERTION_VOLUME)
                .find_map(|volume| volume.projected.as_ref())?;
            let mut sources = projected.sources.iter().flatten();
            sources.find_map(|source| source.service_account_token.as_ref()?.audience.clone())
        };
        Self {
            account: account.to_owned(),
            url: said
                .url
                .clone()
                .or_else(|| variable(names::URL_VARIABLE))
                .or_else(|| variable(names::URL_DEFAULT_VARIABLE)),
            pool: said
                .pool
                .clone()
                .or_else(|| variable(names::POOL_VARIABLE))
                .or_else(|| variable(names::POOL_DEFAULT_VARIABLE))
                .unwrap_or_else(|| names::DEFAULT_POOL.to_owned()),
            client_id: said
                .client_id
                .clone()
                .or_else(|| variable(names::AZURE_CLIENT_ID_VARIABLE))
                .or_else(|| annotation(names::AZWI_CLIENT_ID_ANNOTATION)),
            tenant: said
                .tenant
                .clone()
                .or_else(|| variable(names::AZURE_TENANT_ID_VARIABLE))
                .or_else(|| annotation(names::AZWI_TENANT_ID_ANNOTATION)),
            authority: said
                .authority
                .clone()
                .or_else(|| variable(names::AZURE_AUTHORITY_HOST_VARIABLE))
                .unwrap_or_else(|| names::DEFAULT_AUTHORITY.to_owned()),
            scope: variable(names::SCOPE_VARIABLE).unwrap_or_else(|| names::DEFAULT_SCOPE.to_owned()),
            audience: audience().unwrap_or_else(|| names::DEFAULT_AUDIENCE.to_owned()),
            ca: variable(names::CA_PEM_VARIABLE),
        }
    }

    /// The subject of the account's tokens.
    pub(crate) fn subject(&self, namespace: &str) -> String {
        format!("system:serviceaccount:{namespace}:{}", self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn injected() -> Pod {
        serde_json::from_value(json!({
            "spec": {
                "containers": [],
                "initContainers": [{"name": "ado-agent-sidecar", "env": [
                    {"name": "AZURE_CLIENT_ID", "value": "of-the-pod"},
                    {"name": "ADO_AGENT_URL", "value": ""},
                    {"name": "ADO_AGENT_URL_DEFAULT", "value": "https://dev.azure.com/operator"},
                    {"name": "ADO_AGENT_POOL", "value": "linux"},
                ]}],
                "volumes": [{"name": "ado-agent-assertion", "projected": {"sources": [
                    {"serviceAccountToken": {"audience": "api://Other", "path": "assertion"}}]}}],
            },
        }))
        .expect("a pod")
    }

    #[test]
    fn the_command_line_wins_then_the_pod_then_the_account() {
        let annotations = BTreeMap::from([
            (names::AZWI_CLIENT_ID_ANNOTATION.to_owned(), "of-the-account".to_owned()),
            (names::AZWI_TENANT_ID_ANNOTATION.to_owned(), "tenant".to_owned()),
        ]);
        let pod = injected();
        let intent = |said: &Said, pod: Option<&Pod>| Intent::new("azp-agent", said, Some(&annotations), pod);
        let seen = intent(&Said::default(), Some(&pod));
        assert_eq!(seen.client_id.as_deref(), Some("of-the-pod"));
        assert_eq!(seen.tenant.as_deref(), Some("tenant"));
        assert_eq!(seen.url.as_deref(), Some("https://dev.azure.com/operator"));
        assert_eq!((seen.pool.as_str(), seen.audience.as_str()), ("linux", "api://Other"));
        let said = Said {
            client_id: Some("said".into()),
            pool: Some("windows".into()),
            ..Said::default()
        };
        let seen = intent(&said, Some(&pod));
        assert_eq!(
            (seen.client_id.as_deref(), seen.pool.as_str()),
            (Some("said"), "windows")
        );
        let seen = intent(&Said::default(), None);
        assert_eq!(seen.client_id.as_deref(), Some("of-the-account"));
        assert_eq!((seen.url, seen.pool.as_str()), (None, "Default"));
        assert_eq!(seen.audience, names::DEFAULT_AUDIENCE);
    }
}

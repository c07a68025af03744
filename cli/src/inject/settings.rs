//! The settings of a webhook, from its Deployment and ConfigMaps: the way in which its process gets them.

use inject::{SETTINGS, Settings, variable};
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the webhook's Deployment, and of its ConfigMap without the hash that kustomize appends.
pub const WEBHOOK: &str = "ado-agent-webhook";
/// The setting that names a file, which is not among those of the decision.
const CA_FILE: &str = "ca-file";

/// Why the settings are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is neither Deployment nor ConfigMap.
    #[error(
        "no settings of the webhook: neither a Deployment {WEBHOOK} nor a ConfigMap of that name (kustomize may append a hash) is there"
    )]
    Nothing,
    /// Several ConfigMaps could be the webhook's.
    #[error("ConfigMaps {0} could all be the webhook's; keep one, or add the Deployment, which names its own")]
    Several(String),
    /// A ConfigMap that the Deployment names is missing.
    #[error("the webhook's Deployment reads ConfigMap {0}, which is not there")]
    NoConfigMap(String),
    /// A variable comes from somewhere that is not read.
    #[error("the webhook's variable {0} does not come from a ConfigMap; set it in the ConfigMap {WEBHOOK}")]
    Elsewhere(String),
    /// The private CA certificates are in no ConfigMap that is known.
    #[error(
        "the webhook reads private CA certificates from {0}, which is in none of its ConfigMaps; pass their file with --webhook-ca-file"
    )]
    CaFile(String),
    /// Settings are wrong or missing.
    #[error("the webhook's settings are wrong, and it would not start with them:{}", list(.0))]
    Wrong(Vec<inject::Problem>),
}

fn list(problems: &[inject::Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// The webhook's objects.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Its Deployment.
    pub deployment: Option<Value>,
    /// ConfigMaps of its namespace, by name.
    pub config_maps: BTreeMap<String, Value>,
}

impl Objects {
    /// The webhook's objects among others.
    pub fn among<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut found = Self::default();
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            match object["kind"].as_str() {
                Some("Deployment") if name == WEBHOOK => found.deployment = Some(object.clone()),
                Some("ConfigMap") => {
                    found.config_maps.insert(name.to_owned(), object.clone());
                }
                Some(_) | None => {}
            }
        }
        found
    }

    /// Names of the ConfigMaps that the Deployment reads: its variables, and what it mounts.
    pub fn needs(&self) -> Vec<String> {
        let Some(container) = self.container() else {
            return Vec::new();
        };
        let sources = items(&container["envFrom"]).map(|source| &source["configMapRef"]["name"]);
        let keys = items(&container["env"]).map(|entry| &entry["valueFrom"]["configMapKeyRef"]["name"]);
        let volumes = self.volumes().map(|volume| &volume["configMap"]["name"]);
        let mut names: Vec<String> = sources
            .chain(keys)
            .chain(volumes)
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The settings; `ca_pem` are the private CA certificates, where a person passed their file.
    ///
    /// # Errors
    /// Something is missing or wrong.
    pub fn settings(&self, ca_pem: Option<String>) -> Result<Settings, Error> {
        let variables = self.variables()?;
        let arguments = self.arguments();
        let lookup = |name: &str| {
            let typed = arguments.get(name).filter(|value| !value.trim().is_empty());
            typed.or_else(|| variables.get(&variable(name))).cloned()
        };
        let settings = Settings::read(lookup).map_err(Error::Wrong)?;
        let file = lookup(CA_FILE).map(|path| path.trim().to_owned());
        let ca_pem = match (ca_pem, file.filter(|path| !path.is_empty())) {
            (_, None) => None,
            (Some(pem), Some(_)) => Some(pem),
            (None, Some(path)) => Some(self.file(&path).ok_or(Error::CaFile(path))?),
        };
        Ok(Settings { ca_pem, ..settings })
    }

    fn container(&self) -> Option<&Value> {
        let containers = &self.deployment.as_ref()?["spec"]["template"]["spec"]["containers"];
        let is_webhook = |container: &&Value| container["name"] == "webhook";
        items(containers).find(is_webhook).or_else(|| containers.get(0))
    }

    fn volumes(&self) -> impl Iterator<Item = &Value> {
        let deployment = self.deployment.iter();
        deployment.flat_map(|deployment| items(&deployment["spec"]["template"]["spec"]["volumes"]))
    }

    fn data(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let object = self
            .config_maps
            .get(name)
            .ok_or_else(|| Error::NoConfigMap(name.to_owned()))?;
        Ok(serde_json::from_value(object["data"].clone()).unwrap_or_default())
    }

    /// The environment of the webhook's process.
    fn variables(&self) -> Result<BTreeMap<String, String>, Error> {
        let Some(container) = self.container() else {
            return self.data(&self.only()?);
        };
        let mut variables = BTreeMap::new();
        for source in items(&container["envFrom"]) {
            let reference = &source["configMapRef"];
            let Some(name) = reference["name"].as_str() else {
                continue;
            };
            let prefix = source["prefix"].as_str().unwrap_or_default();
            match self.data(name) {
                Ok(data) => variables.extend(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value))),
                Err(_) if reference["optional"] == true => {}
                Err(error) => return Err(error),
            }
        }
        for entry in items(&container["env"]) {
            let name = entry["name"].as_str().unwrap_or_default();
            if !name.starts_with(inject::VARIABLE_PREFIX) {
                continue;
            }
            let reference = &entry["valueFrom"]["configMapKeyRef"];
            let value = match (entry["valueFrom"].is_null(), reference["name"].as_str()) {
                (true, _) => Some(entry["value"].as_str().unwrap_or_default().to_owned()),
                (false, Some(map)) => self.data(map)?.remove(reference["key"].as_str().unwrap_or_default()),
                (false, None) => return Err(Error::Elsewhere(name.to_owned())),
            };
            variables.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(variables)
    }

    /// The one ConfigMap that can be the webhook's, where there is no Deployment to name it.
    fn only(&self) -> Result<String, Error> {
        let is_ours = |name: &&String| *name == WEBHOOK || name.starts_with(&format!("{WEBHOOK}-"));
        let names: Vec<&String> = self.config_maps.keys().filter(is_ours).collect();
        match names.as_slice() {
            [] if self.config_maps.len() == 1 => Ok(self.config_maps.keys().next().cloned().unwrap_or_default()),
            [] => Err(Error::Nothing),
            [name] => Ok((*name).clone()),
            names => Err(Error::Several(
                names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
            )),
        }
    }

    /// The flags of the webhook's process, by their names; a later one counts.
    fn arguments(&self) -> BTreeMap<String, String> {
        let mut arguments = BTreeMap::new();
        let Some(container) = self.container() else {
            return arguments;
        };
        let words = items(&container["command"]).chain(items(&container["args"]));
        let mut words = words.filter_map(Value::as_str).peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if is_switch(flag) => (flag, "true".to_owned()),
                None => (flag, words.next().unwrap_or_default().to_owned()),
            };
            arguments.insert(name.to_owned(), value);
        }
        arguments
    }

    /// A file in the webhook's container, where it is a key of a ConfigMap.
    fn file(&self, path: &str) -> Option<String> {
        let mounts = items(&self.container()?["volumeMounts"]);
        let (mount, rest) = mounts
            .filter_map(|mount| Some((mount, path.strip_prefix(mount["mountPath"].as_str()?)?)))
            .filter(|(_, rest)| rest.is_empty() || rest.starts_with('/') || path.len() == rest.len())
            .min_by_key(|(_, rest)| rest.len())?;
        let volume = self.volumes().find(|volume| volume["name"] == mount["name"])?;
        let map = &volume["configMap"];
        let below = rest.trim_start_matches('/');
        let inside = match (mount["subPath"].as_str(), below) {
            (Some(sub), "") => sub.to_owned(),
            (Some(sub), below) => format!("{sub}/{below}"),
            (None, below) => below.to_owned(),
        };
        let renamed = items(&map["items"]).find(|item| item["path"] == inside.as_str());
        let key = renamed.and_then(|item| item["key"].as_str()).unwrap_or(&inside);
        self.data(map["name"].as_str()?).ok()?.remove(key)
    }
}

fn is_switch(name: &str) -> bool {
    SETTINGS
        .iter()
        .any(|setting| setting.name == name && setting.value == "BOOL")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::{Error, Objects};
    use serde_json::{Value, json};

    fn config_map(name: &str, data: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
    }

    fn deployment(container: Value, volumes: &Value) -> Value {
        let mut container = container;
        container["name"] = json!("webhook");
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ado-agent-webhook"},
            "spec": {"template": {"spec": {"containers": [{"name": "other"}, container], "volumes": volumes}}}})
    }

    const IMAGE: &str = "ADO_AGENT_WEBHOOK_SIDECAR_IMAGE";

    #[test]
    fn the_config_map_alone_is_enough() {
        let objects = [
            config_map("other", &json!({IMAGE: "no:1"})),
            config_map("ado-agent-webhook-7k2", &json!({IMAGE: "registry.example/sidecar:1"})),
        ];
        let settings = Objects::among(&objects).settings(None).expect("settings");
        assert_eq!(settings.sidecar_image, "registry.example/sidecar:1");
        assert!(matches!(Objects::default().settings(None), Err(Error::Nothing)));
        let two = [
            config_map("ado-agent-webhook-a", &json!({})),
            config_map("ado-agent-webhook-b", &json!({})),
        ];
        assert!(matches!(Objects::among(&two).settings(None), Err(Error::Several(_))));
        let empty = [config_map("ado-agent-webhook", &json!({}))];
        let error = Objects::among(&empty).settings(None).expect_err("no image").to_string();
        assert!(error.contains("--sidecar-image"), "{error}");
    }

    #[test]
    fn flags_win_over_variables_and_variables_over_sources() {
        let objects = [
            config_map(
                "settings",
                &json!({IMAGE: "registry.example/sidecar:1", "ADO_AGENT_WEBHOOK_POOL": "map",
                    "ADO_AGENT_WEBHOOK_TENANT_ID": "contoso.com"}),
            ),
            deployment(
                json!({
                    "envFrom": [{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "no", "optional": true}}],
                    "env": [{"name": "ADO_AGENT_WEBHOOK_POOL", "value": "env"}, {"name": "RUST_LOG", "value": "x"}],
                    "args": ["--grace-period", "60", "--allow-ca-config-map", "--grace-period=90"],
                }),
                &json!([]),
            ),
        ];
        let settings = Objects::among(&objects).settings(None).expect("settings");
        assert_eq!(settings.pool.as_deref(), Some("env"));
        assert_eq!(settings.tenant_id.as_deref(), Some("contoso.com"));
        assert_eq!(settings.grace_seconds, 90);
        assert!(settings.allow_ca_config_map);
    }

    #[test]
    fn private_certificates_are_read_from_the_config_map_that_is_mounted() {
        let container = json!({"envFrom": [{"configMapRef": {"name": "settings"}}],
            "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}, {"name": "tls", "mountPath": "/etc"}]});
        let volumes = json!([{"name": "tls", "secret": {"secretName": "s"}},
            {"name": "ca", "configMap": {"name": "company", "items": [{"key": "bundle", "path": "ca.pem"}]}}]);
        let settings = config_map(
            "settings",
            &json!({IMAGE: "i:1", "ADO_AGENT_WEBHOOK_CA_FILE": "/etc/ca/ca.pem"}),
        );
        let deployment = deployment(container, &volumes);
        let mut objects = vec![settings, deployment, config_map("company", &json!({"bundle": "PEM"}))];
        let found = Objects::among(&objects);
        assert_eq!(found.needs(), ["company", "settings"]);
        assert_eq!(found.settings(None).expect("settings").ca_pem.as_deref(), Some("PEM"));
        objects.pop();
        let without = Objects::among(&objects);
        assert!(matches!(without.settings(None), Err(Error::CaFile(_))));
        let passed = without.settings(Some("OTHER".to_owned())).expect("settings");
        assert_eq!(passed.ca_pem.as_deref(), Some("OTHER"));
    }
}

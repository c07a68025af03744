//! Takes a node of kind for the node that is up, so that the suite runs on it. `tests/cluster/kind/run` prepares it: the same
//! address, the same issuer, the cache folder under the same path. NOT RUN where this was written: there was no Docker.

use crate::layout::Layout;
use crate::namespace::Namespaces;
use crate::pki::Pki;
use crate::state::State;
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Where ctr is in kind's node images.
const RUNTIME: &str = "/usr/local/bin";

/// Notes the node. `process` is the first of its container, `kubeconfig` what `kubectl config view --raw --output=json` says.
pub fn adopt(layout: &Layout, process: i32, kubernetes: &str, kubectl: &Path, kubeconfig: &str) -> Result<()> {
    let _lock = layout.lock("node")?;
    ensure!(
        State::read(layout)?.is_none(),
        "a node is up already: take it down first"
    );
    let [authority, certificate, key] = credentials(kubeconfig)?;
    Pki::at(layout.node().join("pki")).adopt(&authority, &certificate, &key)?;
    let state = State {
        namespaces: Some(Namespaces::of(process)?),
        // What kind's node made is kind's to remove.
        cgroup: layout.cgroup(),
        kernel: BTreeMap::new(),
        folders: Vec::new(),
        kubernetes: kubernetes.to_owned(),
        programs: kubectl.parent().context("kubectl lies in a folder")?.to_owned(),
        runtime: RUNTIME.into(),
        services: BTreeMap::new(),
        ready: true,
    };
    state.write(layout)
}

/// The authority, the administrator's certificate and its key, all PEM.
fn credentials(kubeconfig: &str) -> Result<[String; 3]> {
    let config: Value = serde_json::from_str(kubeconfig).context("the kubeconfig is no JSON")?;
    let decoded = |path: &str| -> Result<String> {
        let text = config.pointer(path).and_then(Value::as_str);
        let bytes = BASE64_STANDARD.decode(text.with_context(|| format!("the kubeconfig has no {path}"))?)?;
        Ok(String::from_utf8(bytes)?)
    };
    Ok([
        decoded("/clusters/0/cluster/certificate-authority-data")?,
        decoded("/users/0/user/client-certificate-data")?,
        decoded("/users/0/user/client-key-data")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::{BASE64_STANDARD, Engine, credentials};
    use serde_json::json;

    #[test]
    fn credentials_are_those_of_the_kubeconfig_that_kind_writes() {
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        let config = json!({
            "clusters": [{"name": "kind-a", "cluster": {"certificate-authority-data": encoded("CA")}}],
            "users": [{"name": "kind-a", "user": {
                "client-certificate-data": encoded("certificate"),
                "client-key-data": encoded("key"),
            }}],
        });
        assert_eq!(credentials(&config.to_string()).unwrap(), ["CA", "certificate", "key"]);
        let error = credentials("{}").unwrap_err().to_string();
        assert!(error.contains("certificate-authority-data"), "{error}");
    }
}

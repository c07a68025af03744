//! One example: a pod, what the operator set, what the ServiceAccount says, and what became of it.

use inject::{ClusterFacts, Context, Request, SETTINGS, ServiceAccount, Settings};
use serde_json::Value;
use std::sync::LazyLock;

/// Client id of the ServiceAccount in the examples.
pub(crate) const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
/// Its tenant.
pub(crate) const TENANT_ID: &str = "99999999-8888-7777-6666-555555555555";

/// The request that creates a pod.
pub(crate) const CREATE: Request<'static> = Request::create_pod("agents");

/// The cluster of the examples.
pub(crate) static CLUSTER: LazyLock<ClusterFacts> = LazyLock::new(|| ClusterFacts {
    id: "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
    native_sidecars: true,
});

/// The shipped settings.
pub(crate) fn settings() -> Settings {
    settings_with(&Value::Null)
}

/// The shipped settings with the changes of `settings.json`, which names them as the operator does. The CA bundle, which is read
/// from a file, is named `ca-pem`.
pub(crate) fn settings_with(changes: &Value) -> Settings {
    for name in changes.as_object().into_iter().flat_map(|changes| changes.keys()) {
        let is_known = SETTINGS.iter().any(|setting| setting.name == name) || name == "ca-pem";
        assert!(is_known, "settings.json: there is no setting {name}");
    }
    let lookup = |name: &str| match (changes[name].as_str(), name) {
        (None, "sidecar-image") => Some("registry.example/ado-agent-sidecar:0.1.0".to_owned()),
        (value, _) => value.map(str::to_owned),
    };
    Settings {
        ca_pem: lookup("ca-pem"),
        ..Settings::read(lookup).unwrap_or_else(|problems| panic!("{changes}: {problems:?}"))
    }
}

/// With the settings, what a decision depends on.
pub(crate) fn context(settings: &Settings) -> Context<'_> {
    Context {
        settings,
        cluster: &CLUSTER,
    }
}

/// The ServiceAccount of `account.json`; `None` asserts that nobody asks for it.
pub(crate) fn account(json: Option<&Value>) -> Option<ServiceAccount> {
    let Some(json) = json else {
        return Some(ServiceAccount::Found {
            client_id: Some(CLIENT_ID.to_owned()),
            tenant_id: Some(TENANT_ID.to_owned()),
        });
    };
    match json.as_str() {
        Some("not-asked") => return None,
        Some("missing") => return Some(ServiceAccount::Missing),
        Some(other) => panic!("account.json: {other}"),
        None => {}
    }
    if let Some(why) = json["unreadable"].as_str() {
        return Some(ServiceAccount::Unreadable(why.to_owned()));
    }
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    Some(ServiceAccount::Found {
        client_id: text("clientId"),
        tenant_id: text("tenantId"),
    })
}

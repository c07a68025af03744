//! One example: a pod, what the operator set, what the ServiceAccount says, and what became of it.

use inject::{FederatedToken, LogLevel, Request, ServiceAccount, Settings};
use serde_json::Value;

/// Client id of the ServiceAccount in the examples.
pub(crate) const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
/// Its tenant.
pub(crate) const TENANT_ID: &str = "99999999-8888-7777-6666-555555555555";

/// The request that creates a pod.
pub(crate) const CREATE: Request<'static> = Request {
    namespace: "agents",
    operation: "CREATE",
    group: "",
    resource: "pods",
    subresource: "",
};

/// The shipped settings.
pub(crate) fn settings() -> Settings {
    let list = |value: &str| value.split(',').map(str::to_owned).collect();
    Settings {
        sidecar_image: "registry.example/ado-agent-sidecar:0.1.0".to_owned(),
        sidecar_cpu: "100m".to_owned(),
        sidecar_memory: "32Mi".to_owned(),
        sidecar_ephemeral_storage: None,
        sidecar_log_level: LogLevel::Info,
        sidecar_run_as_user: Some(65532),
        allowed_sidecar_images: vec!["*".to_owned()],
        max_sidecar_cpu: None,
        max_sidecar_memory: None,
        max_sidecar_ephemeral_storage: None,
        allow_sidecar_run_as_user: true,
        grace_seconds: 3600,
        cluster: "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
        url: None,
        pool: None,
        client_id: None,
        tenant_id: None,
        authority: contract::DEFAULT_AUTHORITY.to_owned(),
        audience: contract::DEFAULT_AUDIENCE.to_owned(),
        scope: contract::DEFAULT_SCOPE.to_owned(),
        allowed_hosts: list(contract::DEFAULT_ALLOWED_HOSTS),
        allowed_authorities: list(contract::DEFAULT_ALLOWED_AUTHORITIES),
        ca_pem: None,
        allow_ca_config_map: false,
        federated_token: None,
        allowed_federated_token: FederatedToken::ALL.to_vec(),
        https_proxy: None,
        no_proxy: None,
        native_sidecars: true,
    }
}

/// The shipped settings with the changes of `settings.json`, which names fields as [`Settings`] does.
pub(crate) fn settings_with(changes: &Value) -> Settings {
    let mut settings = settings();
    for (key, value) in changes.as_object().expect("settings.json is an object") {
        let text = || value.as_str().unwrap_or_else(|| panic!("{key} is a string")).to_owned();
        let flag = || value.as_bool().unwrap_or_else(|| panic!("{key} is true or false"));
        match key.as_str() {
            "url" => settings.url = Some(text()),
            "pool" => settings.pool = Some(text()),
            "client_id" => settings.client_id = Some(text()),
            "tenant_id" => settings.tenant_id = Some(text()),
            "authority" => settings.authority = text(),
            "audience" => settings.audience = text(),
            "allowed_hosts" => settings.allowed_hosts = text().split(',').map(str::to_owned).collect(),
            "allow_ca_config_map" => settings.allow_ca_config_map = flag(),
            "ca_pem" => settings.ca_pem = Some(text()),
            "https_proxy" => settings.https_proxy = Some(text()),
            "no_proxy" => settings.no_proxy = Some(text()),
            "native_sidecars" => settings.native_sidecars = flag(),
            "sidecar_run_as_user" => settings.sidecar_run_as_user = value.as_i64(),
            "allowed_sidecar_images" => {
                let patterns = text();
                let patterns = patterns.split(',').filter(|pattern| !pattern.is_empty());
                settings.allowed_sidecar_images = patterns.map(str::to_owned).collect();
            }
            "max_sidecar_cpu" => settings.max_sidecar_cpu = Some(text()),
            "sidecar_ephemeral_storage" => settings.sidecar_ephemeral_storage = Some(text()),
            "max_sidecar_ephemeral_storage" => settings.max_sidecar_ephemeral_storage = Some(text()),
            "max_sidecar_memory" => settings.max_sidecar_memory = Some(text()),
            "allow_sidecar_run_as_user" => settings.allow_sidecar_run_as_user = flag(),
            "federated_token" => settings.federated_token = FederatedToken::parse(&text()),
            "allowed_federated_token" => {
                settings.allowed_federated_token = text().split(',').filter_map(FederatedToken::parse).collect();
            }
            other => panic!("settings.json: no case changes {other} yet"),
        }
    }
    settings
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

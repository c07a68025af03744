//! What the targets for pods and reviews check: a decision never panics, its patch applies, and a second pass changes nothing.

pub mod response;

use contract::SkipReason;
use inject::review::Incoming;
use inject::{Decision, FederatedToken, Inspection, LogLevel, Request, ServiceAccount, Settings};
use serde_json::Value;

/// Settings under which most pods are injected, so that the patch is reached.
pub fn settings() -> Settings {
    let list = |value: &str| value.split(',').map(str::to_owned).collect();
    Settings {
        sidecar_image: "sidecar:1".to_owned(),
        sidecar_cpu: "100m".to_owned(),
        sidecar_memory: "32Mi".to_owned(),
        sidecar_log_level: LogLevel::Info,
        sidecar_run_as_user: Some(65532),
        allowed_sidecar_images: vec!["*".to_owned()],
        max_sidecar_cpu: None,
        max_sidecar_memory: None,
        sidecar_ephemeral_storage: None,
        max_sidecar_ephemeral_storage: None,
        allow_sidecar_run_as_user: true,
        grace_seconds: 3600,
        cluster: "cluster".to_owned(),
        url: Some("https://dev.azure.com/contoso".to_owned()),
        pool: None,
        client_id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
        tenant_id: None,
        authority: contract::DEFAULT_AUTHORITY.to_owned(),
        audience: contract::DEFAULT_AUDIENCE.to_owned(),
        scope: contract::DEFAULT_SCOPE.to_owned(),
        allowed_hosts: list(contract::DEFAULT_ALLOWED_HOSTS),
        allowed_authorities: list(contract::DEFAULT_ALLOWED_AUTHORITIES),
        ca_pem: None,
        allow_ca_config_map: true,
        federated_token: Some(FederatedToken::Hide),
        allowed_federated_token: FederatedToken::ALL.to_vec(),
        https_proxy: None,
        no_proxy: None,
        native_sidecars: true,
    }
}

/// Decides and checks. Gives the decision back for an answer.
pub fn decide(object: &Value, request: &Request<'_>) -> Decision {
    let settings = settings();
    let decision = inject::decide(object, request, &account(), &settings);
    check(object, request, &decision);
    decision
}

/// Decides a review.
pub fn decide_review(review: &Incoming) -> Decision {
    match review.inspect(&settings()) {
        Inspection::Decided(decision) => decision,
        Inspection::NeedsAccount(pending) => pending.decide(&account()),
    }
}

fn account() -> ServiceAccount {
    ServiceAccount::Found {
        client_id: None,
        tenant_id: None,
    }
}

/// A patch applies, and a second pass changes nothing.
pub fn check(object: &Value, request: &Request<'_>, decision: &Decision) {
    let Decision::Inject(injection) = decision else {
        return;
    };
    let mut patched = object.clone();
    let patch: json_patch::Patch = serde_json::from_slice(&injection.patch).expect("a JSON Patch");
    json_patch::patch(&mut patched, &patch).expect("the patch applies");
    let again = inject::decide(&patched, request, &account(), &settings());
    let is_skipped = matches!(
        again,
        Decision::Skip {
            reason: SkipReason::AlreadyInjected,
            ..
        }
    );
    assert!(is_skipped, "{again:?}");
}

//! What the targets for pods and reviews check: a decision never panics, its patch applies, and a second pass changes nothing.

pub mod response;

use contract::SkipReason;
use inject::review::Incoming;
use inject::{ClusterFacts, Context, Decision, Inspection, Request, ServiceAccount, Settings};
use serde_json::Value;

/// What decisions depend on, so that most pods are injected and the patch is reached.
struct Operator {
    settings: Settings,
    cluster: ClusterFacts,
}

impl Operator {
    fn generous() -> Self {
        let settings = Settings::read(|name| {
            let value = match name {
                "sidecar-image" => "sidecar:1",
                "url" => "https://dev.azure.com/contoso",
                "client-id" => "11111111-2222-3333-4444-555555555555",
                "allow-ca-config-map" => "true",
                "federated-token" => "hide",
                _ => return None,
            };
            Some(value.to_owned())
        });
        Self {
            settings: settings.expect("the settings are right"),
            cluster: ClusterFacts {
                id: "cluster".to_owned(),
                native_sidecars: true,
            },
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            settings: &self.settings,
            cluster: &self.cluster,
        }
    }
}

/// Decides and checks. Gives the decision back for an answer.
pub fn decide(object: &Value, request: &Request<'_>) -> Decision {
    let operator = Operator::generous();
    let decision = inject::decide(object, request, &account(), operator.context());
    check(object, request, &decision);
    decision
}

/// Decides a review.
pub fn decide_review(review: &Incoming) -> Decision {
    match review.inspect(Operator::generous().context()) {
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
    let again = inject::decide(&patched, request, &account(), Operator::generous().context());
    let is_skipped = matches!(
        again,
        Decision::Skip {
            reason: SkipReason::AlreadyInjected,
            ..
        }
    );
    assert!(is_skipped, "{again:?}");
}

//! What holds for every pod and every JSON.

use crate::case::{CLIENT_ID, CREATE, context, settings_with};
use crate::{admission, invariants, pods};
use inject::{Decision, Inspection, ServiceAccount, Settings};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner, contextualize_config};
use serde_json::{Value, json};
use std::cell::Cell;

/// Settings under which most pods are injected.
fn generous() -> Settings {
    settings_with(&json!({
        "url": "https://dev.azure.com/contoso",
        "client-id": CLIENT_ID,
        "federated-token": "hide",
    }))
}

fn account() -> ServiceAccount {
    ServiceAccount::Found {
        client_id: None,
        tenant_id: None,
    }
}

/// Decides, and checks all that must hold where the pod is injected. Says whether it was.
fn decide_and_check(pod: &Value, settings: &Settings) -> bool {
    let needs_account = matches!(
        inject::inspect(pod, &CREATE, context(settings)),
        Inspection::NeedsAccount(_)
    );
    let decision = inject::decide(pod, &CREATE, &account(), context(settings));
    assert_eq!(decision, inject::decide(pod, &CREATE, &account(), context(settings)));
    match decision {
        Decision::Inject(injection) => {
            let patched = invariants::check(pod, &injection, settings);
            admission::check(&patched, settings);
            true
        }
        Decision::Skip { .. } => {
            assert!(!needs_account);
            false
        }
        Decision::Deny(denial) => {
            assert!(
                !denial.message.is_empty() && denial.message.len() < 2000,
                "{}",
                denial.message
            );
            false
        }
    }
}

/// Not the macro: how many pods were injected has to be counted over all of them. Returns their share in percent.
fn run(strategy: impl Strategy<Value = Value>) -> u32 {
    let injected = Cell::new(0);
    // As the macro does: the environment may ask for more cases.
    let config = contextualize_config(Config {
        failure_persistence: None,
        ..Config::with_cases(400)
    });
    let cases = config.cases;
    TestRunner::new(config)
        .run(&strategy, |pod| {
            injected.set(injected.get() + u32::from(decide_and_check(&pod, &generous())));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    injected.get() * 100 / cases
}

#[test]
fn valid_pods_are_injected_and_every_invariant_holds() {
    let injected = run(pods::valid_pod());
    assert!(
        injected > 37,
        "only {injected} % of the pods were injected: the generator tests denials, not patches"
    );
}

#[test]
fn damaged_pods_are_injected_or_denied_but_never_broken() {
    let injected = run(pods::damaged_pod());
    assert!(injected > 7, "only {injected} % of the damaged pods were injected");
}

#[test]
fn any_json_is_decided() {
    run(pods::any_json());
}

#[test]
fn unusual_json_has_a_defined_meaning() {
    let read = |label: &str, grace: &str| {
        let text = format!(
            r#"{{"metadata":{{"labels":{{"ado-agent.dev/inject":"false",{label}}}}},
                "spec":{{"containers":[{{"name":"agent"}}],"terminationGracePeriodSeconds":{grace}}}}}"#
        );
        let pod: Value = serde_json::from_str(&text).expect("JSON");
        inject::decide(&pod, &CREATE, &account(), context(&generous()))
    };
    let reason = |decision: Decision| decision.reason();
    // The last of several keys counts, as in the API server; escapes are read before anything else.
    assert_eq!(reason(read(r#""ado-agent.dev/inject":"true""#, "30")), "injected");
    assert_eq!(
        reason(read(r#""ado-agent.dev\u002finject":"tr\u0075e""#, "30")),
        "injected"
    );
    assert_eq!(reason(read(r#""other":"true""#, "30")), "opted-out");
    for grace in ["30.0", "1e2", "123456789012345678901234567890", "\"30\""] {
        assert_eq!(
            reason(read(r#""ado-agent.dev/inject":"true""#, grace)),
            "malformed-pod",
            "{grace}"
        );
    }
}

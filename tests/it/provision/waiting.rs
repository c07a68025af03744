//! Interrupted, or waiting for what shows late.

use super::making::assert_all_is_there;
use azure_emulators::ado::Behavior;
use azure_emulators::faults::{Fault, Rule};
use tests::provisioning::{POOL, Stage};

#[tokio::test]
async fn a_run_that_was_interrupted_anywhere_can_be_repeated() {
    const DEVOPS: [&str; 4] = [
        "POST /_apis/serviceprincipalentitlements",
        "POST /_apis/distributedtask/pools",
        "PUT /_apis/securityroles/**",
        "POST /_apis/distributedtask/pools/*/agents",
    ];
    let stage = Stage::start().await.expect("a stage");
    let mut failures = 0;
    for operation in ["identity create", "identity federated-credential create"] {
        for when in ["interrupt-before", "interrupt-after"] {
            stage.az_will(when, operation).expect("it is writable");
            let said = stage.run("provision", &[]).await;
            assert_eq!(
                (said.code, said.reason().as_str()),
                (Some(1), "az-failed"),
                "{operation}: {said:?}"
            );
            failures += 1;
        }
    }
    for route in DEVOPS {
        for fault in [Fault::Reset, Fault::ResetAfter] {
            stage.ado.faults().once(route, fault.clone());
            let said = stage.run("provision", &[]).await;
            // What was done before the connection broke is there now, so the same thing is not asked for again.
            if stage.ado.faults().struck() > 0 {
                assert_eq!(
                    (said.code, said.reason().as_str()),
                    (Some(1), "ado-unreachable"),
                    "{route}: {said:?}"
                );
                failures += 1;
            }
            stage.ado.faults().clear();
        }
    }
    assert!(failures >= 4 + DEVOPS.len(), "{failures} runs were interrupted");
    let said = stage.run("provision", &[]).await;
    assert_all_is_there(&stage, &said);
}

#[tokio::test]
async fn objects_that_appear_late_are_waited_for() {
    let stage = Stage::start().await.expect("a stage");
    stage.ado.set_behavior(Behavior {
        entitlement_spread_seconds: 8,
        ..Behavior::default()
    });
    stage.az_will("pending", "").expect("it is writable");
    stage.ado.faults().add(
        Rule::new(Fault::Throttle {
            retry_after: Some("1".to_owned()),
        })
        .on("GET /_apis/distributedtask/pools")
        .times(1),
    );
    let said = stage.run("provision", &[]).await;
    assert_all_is_there(&stage, &said);
    assert!(said.err.contains("not there yet; looks again in"), "{}", said.err);
    let puts = stage.view().count("PUT securityroles");
    assert!(puts > 2, "a role is given until it is there: {puts}");
    assert_eq!(stage.view().count("POST serviceprincipalentitlements"), 2);
}

#[tokio::test]
async fn objects_that_never_appear_are_a_failure_that_can_be_repeated() {
    let stage = Stage::start().await.expect("a stage");
    stage.ado.set_behavior(Behavior {
        entitlement_spread_seconds: 3600,
        ..Behavior::default()
    });
    let said = stage.run("provision", &["--wait=1"]).await;
    assert_eq!(
        (said.code, said.reason().as_str()),
        (Some(1), "not-there-yet"),
        "{said:?}"
    );
    assert_eq!(said.json()["notRun"], serde_json::json!(["placeholder", "keda"]));
    assert_eq!(stage.role(&stage.agents), None);
    assert!(stage.view().agents(POOL).is_empty(), "it went no further");
    stage.ado.clock().advance(std::time::Duration::from_secs(3600));
    let said = stage.run("provision", &[]).await;
    assert_all_is_there(&stage, &said);
}

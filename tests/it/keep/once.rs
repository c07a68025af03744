//! `ado-agent sweep`, by hand.

use serde_json::Value;

use crate::stage::{NAMESPACE, Stage};
use crate::sweep::pool_lacks;

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_what_a_real_one_removes() {
    let stage = Stage::new().await;
    let dead = stage.pod("dead");
    stage.agent("never-seen", "never-was", "u-2");
    let keep = stage.keep(&["--dry-run"]).await;
    stage.until_known(&keep, "dead", dead).await;
    stage.api.delete_pod(NAMESPACE, "dead");
    stage
        .until_swept(&keep, "it would be removed", |_| {
            keep.log().contains("\"decision\":\"would-remove\"")
        })
        .await;
    assert_eq!(stage.names(), ["dead", "never-seen"], "a dry run");
    drop(keep);

    let dry = stage.sweep(&["--output=json"]).await;
    let said = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(dry.status.success(), "{said}{}", String::from_utf8_lossy(&dry.stderr));
    let said: Value = serde_json::from_str(&said).unwrap();
    let decisions: Vec<(&str, &str)> = said["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| (agent["agent"].as_str().unwrap(), agent["decision"].as_str().unwrap()))
        .collect();
    assert_eq!(decisions, [("never-seen", "unknown"), ("dead", "would-remove")]);
    assert!(
        said["agents"][0]["command"]
            .as_str()
            .unwrap()
            .starts_with("az devops invoke")
    );
    assert_eq!(stage.names(), ["dead", "never-seen"]);

    let real = stage.sweep(&["--delete"]).await;
    let said = String::from_utf8_lossy(&real.stdout).into_owned();
    assert!(real.status.success(), "{said}{}", String::from_utf8_lossy(&real.stderr));
    assert!(pool_lacks(&stage, dead), "{said}");
    assert_eq!(stage.names(), ["never-seen"]);
    assert!(said.contains("removed") && said.contains("az devops invoke"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_it_says_what_makes_one() {
    let stage = Stage::new().await;
    let swept = stage.sweep(&["--ledger=missing"]).await;
    assert_eq!(swept.status.code(), Some(1));
    let said = String::from_utf8_lossy(&swept.stderr).into_owned();
    assert!(said.contains("apply manifests/components/keep"), "{said}");
}

//! The program `emulators`, as a person starts it.

use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::SOON;

#[tokio::test]
async fn the_program_prints_its_addresses_serves_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let client_id = "11111111-2222-4333-8444-555555555555";
    let mut program = Command::new(env!("CARGO_BIN_EXE_emulators"))
        .args(["--json", "--client-id", client_id, "--pool", "gpu", "--ca-file"])
        .arg(&ca)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let told = tokio::time::timeout(SOON, lines.next_line())
        .await
        .expect("it speaks soon");
    let told: Value = serde_json::from_str(&told.unwrap().unwrap()).unwrap();
    assert_eq!((&told["clientId"], &told["pool"]), (&client_id.into(), &"gpu".into()));

    let bundle = std::fs::read_to_string(&ca).unwrap();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(azure_emulators::tls::client_config(&[&bundle]).unwrap())
        .no_proxy()
        .build()
        .unwrap();
    let control = told["control"].as_str().unwrap();
    let token = client
        .post(format!("{control}/tokens/azp-agents"))
        .body("{}")
        .send()
        .await
        .unwrap();
    let token = token.text().await.unwrap();
    let pools = format!(
        "{}/_apis/distributedtask/pools?poolName=gpu",
        told["organizationUrl"].as_str().unwrap()
    );
    let pools: Value = client
        .get(pools)
        .bearer_auth(token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(pools["count"], 1);

    let id = rustix::process::Pid::from_raw(program.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let status = tokio::time::timeout(SOON, program.wait())
        .await
        .expect("it ends soon")
        .unwrap();
    assert!(status.success());
}

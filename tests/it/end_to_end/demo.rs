//! Every story of the demo ends as it says, and the demo's own program tells one.

use serde_json::Value;
use std::process::Command;
use tests::agent_package::AgentChoice;
use tests::demo::{Format, Story, Teller};

async fn ends_as_described(story: Story) -> Vec<String> {
    let stage = story.stage(AgentChoice::from_environment().unwrap()).await.unwrap();
    let teller = Teller::new(std::io::sink(), Format::Text);
    if let Err(error) = story.tell(&stage, &teller).await {
        panic!("{error:#}\n{}", teller.lines().join("\n"));
    }
    teller.lines()
}

macro_rules! stories {
    ($($test:ident: $story:ident, $($said:literal),+;)+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let lines = ends_as_described(Story::$story).await;
            // In this order.
            let mut rest = lines.iter();
            for said in [$($said),+] {
                assert!(rest.any(|line| line.contains(said)), "\"{said}\" was not said\n{}", lines.join("\n"));
            }
        })+

        #[test]
        fn every_story_has_a_test() {
            assert_eq!(Story::ALL, [$(Story::$story),+]);
        }
    };
}

stories! {
    deployment: Deployment, "Entra: trusts system:serviceaccount:agents:azp-agent", "is online", "has succeeded", "is gone from the pool", "the pool is empty";
    job: Job, "is online", "has succeeded", "Succeeded", "the pool is empty";
    gateway: Gateway, "handoff: gateway", "is ready", "curious has succeeded", "holds a token", "is assigned", "job build has succeeded", "is gone from the pool", "the pool is empty";
    token_refreshed: TokenRefreshed, "the new token", "no longer good", "has succeeded", "the pool is empty";
    credential_late: CredentialLate, "AADSTS70", "sidecar: ", "creates the federated credential", "is online", "the pool is empty";
    killed_idle: KilledIdle, "SIGKILL", "sidecar: removed", "the pool is empty";
    killed_busy: KilledBusy, "is assigned", "no more jobs", "SIGKILL", "sidecar: job-still-assigned";
    restarts: Restarts, "job build-1 has succeeded", "starts the agent container", "job build-3 has succeeded", "the pool is empty";
    ado_down: AdoDown, "cannot be reached", "sidecar: left-unreachable";
}

#[test]
fn the_program_tells_a_story_for_machines() {
    // With the agent that the other stories do not have.
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["--json", "--agent=v4"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["isolation"].is_string());
    assert!(
        lines
            .iter()
            .any(|line| line["who"] == "sidecar" && line["seconds"].is_f64())
    );
    assert_eq!(lines.last().unwrap()["end"], "The story ended as it should.");
}

#[test]
fn the_program_lists_its_stories_and_refuses_others() {
    let list = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--list").output().unwrap();
    let text = String::from_utf8(list.stdout).unwrap();
    assert!(Story::ALL.iter().all(|story| text.contains(story.name())), "{text}");
    let unknown = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("--story=none")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("--list"));
}

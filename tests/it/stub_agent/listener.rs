//! How the listener begins, polls and ends.

use crate::installed::{NAME, configured, eventually, output, text, unpacked};
use azure_emulators::ado::{AdoView, Timing};
use azure_emulators::faults::Fault;
use std::time::{Duration, Instant};
use stub_agent::AgentVersion;

const SESSIONS: &str = "POST sessions";
const POLLS: &str = "GET messages";

#[tokio::test]
async fn without_one_of_its_files_it_ends_with_2() {
    for file in [".agent", ".credentials"] {
        let agent = configured(AgentVersion::V5).await;
        std::fs::remove_file(agent.root().join(file)).unwrap();
        let output = output(&mut agent.command("./run.sh")).await;
        assert_eq!(output.status.code(), Some(2), "{file}: {}", text(&output));
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_ends_it_with_2() {
    let agent = configured(AgentVersion::V5).await;
    let file = agent.root().join(".agent");
    let settings = std::fs::read_to_string(&file).unwrap();
    let url = agent.world.organization_url();
    std::fs::write(&file, settings.replace(&url, "https://127.0.0.1:1/org")).unwrap();
    let output = output(&mut agent.command("./run.sh")).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[tokio::test]
async fn it_polls_twice_at_once_from_the_start() {
    // The message loop pauses for 10 s after an empty poll, the keep-alive for 30 s.
    let agent = configured(AgentVersion::V5).await.hurried(1);
    agent.world.ado.set_timing(Timing {
        poll: Duration::from_millis(100),
        ..Timing::default()
    });
    let began = Instant::now();
    let _listener = agent.listening(&[]).await;
    agent.until("two polls", |view| view.count(POLLS) == 2).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_agent_that_is_deleted_while_idle_ends_with_2() {
    let agent = configured(AgentVersion::V5).await;
    let mut listener = agent.listening(&[]).await;
    agent.world.pool.remove_agent(agent.agent().id);
    assert_eq!(listener.code().await, 2);
}

#[tokio::test]
async fn an_agent_that_was_deleted_before_it_starts_asks_forever() {
    let agent = configured(AgentVersion::V5).await.hurried(1000);
    agent.world.pool.remove_agent(agent.agent().id);
    let mut command = agent.command("./bin/Agent.Listener");
    command.arg("run");
    let mut listener = agent.start(command);
    // The token endpoint says `invalid_client`, which is no reason to end.
    agent
        .until("more refusals than anything else is granted", |view| {
            refused_tokens(view) > 50
        })
        .await;
    assert!(listener.runs());
}

fn refused_tokens(view: &AdoView) -> usize {
    let requests = view.requests.iter();
    requests
        .filter(|request| request.path.ends_with("/oauth2/token") && request.status == 400)
        .count()
}

#[tokio::test]
async fn a_refusal_ends_it_with_1_before_there_is_a_session() {
    let agent = configured(AgentVersion::V5).await;
    agent
        .world
        .ado
        .faults()
        .always("POST /_apis/distributedtask/pools/*/sessions", Fault::AccessDenied);
    let output = output(&mut agent.command("./run.sh")).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(agent.world.ado.view().count(SESSIONS), 1);
}

#[tokio::test]
async fn a_session_of_its_own_that_is_still_open_is_asked_for_eight_times() {
    for version in AgentVersion::ALL {
        let agent = configured(version).await.hurried(100);
        let mut first = agent.listening(&[]).await;
        first.process.kill().await.unwrap();
        let output = output(&mut agent.command("./run.sh")).await;
        assert_eq!(output.status.code(), Some(1), "{version}: {}", text(&output));
        assert!(
            text(&output).contains("already has an active session"),
            "{}",
            text(&output)
        );
        assert_eq!(agent.world.ado.view().count(SESSIONS), 1 + 8, "{version}");
    }
}

#[tokio::test]
async fn the_key_is_read_for_every_token() {
    let agent = configured(AgentVersion::V5).await.hurried(100);
    agent.world.ado.set_timing(Timing {
        poll: Duration::from_millis(20),
        session: Duration::from_secs(1_000_000),
        ..Timing::default()
    });
    let listener = agent.listening(&[]).await;
    let key = agent.root().join(".credentials_rsaparams");
    std::fs::rename(&key, agent.root().join("away")).unwrap();
    // Past the 50 minutes of its token.
    agent.world.ado.clock().advance(Duration::from_secs(3600));
    listener.says("cannot read .credentials_rsaparams").await;
    std::fs::rename(agent.root().join("away"), &key).unwrap();
    agent.world.ado.clock().turn_back(Duration::from_secs(3600));
    let polls = agent.world.ado.view().count(POLLS);
    agent.until("polls again", |view| view.count(POLLS) > polls + 1).await;
}

#[tokio::test]
async fn a_registration_says_what_the_agent_is() {
    let agent = unpacked(AgentVersion::V4).await;
    let token = agent.world.access_token();
    // Not a slash that was not typed.
    let output = agent.configure(&["--token", &token]).await;
    assert!(output.status.success(), "{}", text(&output));
    let file = std::fs::read_to_string(agent.root().join(".agent")).unwrap();
    let json = file.strip_prefix('\u{feff}').expect("a byte order mark");
    assert!(json.starts_with("{\n  \""), "indented: {json}");
    let settings: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(settings["serverUrl"], agent.world.organization_url().as_str());
    let shown = agent.agent();
    assert_eq!(shown.version, "4.255.0");
    let capability = |name: &str| shown.system_capabilities.get(name).map(String::as_str);
    assert_eq!(capability("Agent.Name"), Some(NAME));
    assert_eq!(capability("InteractiveSession"), Some("True"));
    assert_eq!(capability("Agent.HomeDirectory"), agent.root().to_str());
    assert!(capability("Agent.OSArchitecture").is_some());
    assert!(capability("Agent.ComputerName").is_some_and(|name| !name.contains('.')));
}

#[tokio::test]
async fn progressive_pauses_count_until_there_is_a_session() {
    let agent = configured(AgentVersion::V5).await.hurried(1);
    agent.world.ado.faults().add(
        azure_emulators::faults::Rule::new(Fault::Throttle { retry_after: None })
            .on("POST /_apis/distributedtask/pools/*/sessions")
            .times(1),
    );
    let mut command = agent.command("./bin/Agent.Listener");
    command.arg("run").env("AGENT_ENABLE_PROGRESSIVE_RETRY_BACKOFF", "true");
    let began = Instant::now();
    let listener = agent.start(command);
    eventually(
        "a session",
        || listener.log().contains("Listening for Jobs"),
        || listener.log(),
    )
    .await;
    // 3 s, where 30 s would be the rule.
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(3) && took < Duration::from_secs(25),
        "{took:?}"
    );
}

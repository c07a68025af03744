//! The package's scripts, as start scripts call them.

use crate::installed::{configured, output, text, unpacked};
use azure_emulators::ado::JobSpec;
use rustix::process::Signal;
use stub_agent::AgentVersion;

#[tokio::test]
async fn every_program_that_start_scripts_call_is_there() {
    for version in AgentVersion::ALL {
        let agent = unpacked(version).await;
        let root = agent.root();
        let mut programs = vec!["config.sh", "run.sh", "run-docker.sh", "reauth.sh", "env.sh"];
        programs.extend([
            "bin/Agent.Listener",
            "bin/Agent.Worker",
            "bin/installdependencies.sh",
            "bin/runsvc.sh",
        ]);
        let nodes = ["node", "node10", "node16", "node20_1", "node24"].map(|node| format!("externals/{node}/bin/node"));
        programs.extend(nodes.iter().map(String::as_str));
        for program in programs {
            use std::os::unix::fs::PermissionsExt;
            let file = std::fs::metadata(root.join(program)).unwrap_or_else(|error| panic!("{program}: {error}"));
            assert_ne!(file.permissions().mode() & 0o111, 0, "{program}");
        }
        assert!(root.join("bin/AgentService.js").exists() && root.join("license.html").exists());
        let output = output(agent.command("./bin/Agent.Listener").arg("--version")).await;
        let expected = if version == AgentVersion::V4 {
            "4.255.0\n"
        } else {
            "5.278.0\n"
        };
        assert_eq!(text(&output), expected);
    }
}

#[tokio::test]
async fn once_reaches_the_listener_through_every_wrapper() {
    let wrappers = [
        vec!["./run.sh", "--once"],
        vec!["./run-docker.sh", "--once"],
        vec![
            "./externals/node24/bin/node",
            "./bin/AgentService.js",
            "interactive",
            "--once",
        ],
    ];
    for wrapper in wrappers {
        let agent = configured(AgentVersion::V5).await;
        let mut command = agent.command(wrapper[0]);
        command.args(&wrapper[1..]);
        let mut started = agent.start(command);
        started.says("Listening for Jobs").await;
        let job = agent.world.pool.queue_job(JobSpec::script("true")).unwrap();
        assert_eq!(started.code().await, 0, "{wrapper:?}\n{}", started.log());
        agent.job_is(job, "succeeded").await;
    }
}

#[tokio::test]
async fn the_service_wrappers_turn_sigterm_into_sigint() {
    for wrapper in [
        vec!["./externals/node/bin/node", "./bin/AgentService.js", "interactive"],
        vec!["./bin/runsvc.sh"],
    ] {
        for version in AgentVersion::ALL {
            let agent = configured(version).await;
            let mut command = agent.command(wrapper[0]);
            command.args(&wrapper[1..]);
            let mut started = agent.start(command);
            started.says("Listening for Jobs").await;
            started.signal(Signal::TERM);
            assert_eq!(started.code().await, 0, "{wrapper:?}\n{}", started.log());
            assert!(!agent.agent().online, "{wrapper:?}: {version} has closed its session");
        }
    }
}

#[tokio::test]
async fn removing_says_what_became_of_it() {
    let agent = configured(AgentVersion::V5).await;
    let token = agent.world.access_token();
    let id = agent.agent().id;
    let job = agent.world.pool.make_busy(id);
    let refused = agent.remove(&token).await;
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(
        text(&refused).contains("Failed: Removing agent from the server"),
        "{}",
        text(&refused)
    );
    assert!(agent.root().join(".agent").exists(), "so that it can be tried again");

    agent.world.pool.finish_job(job, "succeeded");
    agent.world.pool.remove_agent(id);
    let gone = agent.remove(&token).await;
    assert!(gone.status.success(), "{}", text(&gone));
    let sentence = "Does not exist. Skipping Removing agent from the server";
    assert!(text(&gone).contains(sentence), "{}", text(&gone));
    assert!(!agent.root().join(".agent").exists());
}

#[tokio::test]
async fn removing_with_a_token_that_is_good_for_nothing_is_refused_five_times() {
    let agent = configured(AgentVersion::V5).await;
    agent.world.ado.forget_requests();
    let refused = agent.remove("nonsense").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused).contains("You are not authorized to access"),
        "{}",
        text(&refused)
    );
    let requests = agent.world.ado.view().requests;
    let statuses: Vec<u16> = requests.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [401; 5]);
    assert!(
        requests[1..].iter().all(|request| request.token.is_none()),
        "a Basic challenge drops the credential"
    );
}

#[tokio::test]
async fn a_token_is_not_sent_without_tls() {
    let agent = unpacked(AgentVersion::V5).await;
    let refused = agent.configure(&["--url", "http://127.0.0.1:1/org"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let sentence = "Basic authentication requires a secure connection to the server.";
    assert!(text(&refused).contains(sentence), "{}", text(&refused));
}

#[tokio::test]
async fn an_agent_that_is_gone_is_added_again_by_reauth() {
    let agent = configured(AgentVersion::V5).await;
    let before = agent.agent().id;
    agent.world.pool.remove_agent(before);
    let token = agent.world.access_token();
    let mut command = agent.command("./reauth.sh");
    command.args(["--unattended", "--auth", "PAT", "--token", &token]);
    let output = output(&mut command).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_ne!(agent.agent().id, before);
    agent.listening(&[]).await;
    assert!(agent.agent().online);
}

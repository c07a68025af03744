//! Whole agents: `config.sh`, the listener, a job and `config.sh remove` through the gateway.

use crate::installed::{Installed, NAME, Started, configured, output, text, unpacked};
use crate::pod::SOON;
use crate::stage::{Stage, send};
use azure_emulators::ado::{Behavior, DeletedAgent, JobSpec, Timing};
use azure_emulators::faults::Fault;
use azure_emulators::recording::Authorization;
use contract::{Reason, TICKET};
use reqwest::Method;
use std::process::Output;
use std::time::Duration;
use stub_agent::AgentVersion;
use tokio::process::Command;

/// An unpacked agent and the pod that it is in.
pub(crate) struct Inside {
    pub(crate) agent: Installed,
    pub(crate) stage: Stage,
}

impl Inside {
    pub(crate) async fn new(version: AgentVersion) -> Self {
        let agent = unpacked(version).await;
        let stage = Stage::new(&agent.world).set(contract::AGENT_NAME_VARIABLE, NAME);
        Self { agent, stage }
    }

    /// A program of the agent, as the container's variables have it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.agent.command(program);
        command
            .env("VSS_ALLOW_UNSAFE_BASICAUTH", "true")
            .env("VSTS_AGENT_INPUT_AUTH", "PAT")
            .env(contract::OWNER_VARIABLE, tests::lone_sidecar::owner(crate::pod::NAME));
        command
    }

    /// `config.sh`, without `--auth`, as many scripts call it.
    pub(crate) async fn configure(&self) -> Output {
        let mut command = self.command("./config.sh");
        command
            .args(["--unattended", "--acceptTeeEula", "--agent", NAME, "--replace"])
            .args(["--pool", self.agent.world.pool.name()])
            .args(["--url", &self.stage.url(), "--token", TICKET]);
        output(&mut command).await
    }

    pub(crate) async fn configured(&self) {
        let output = self.configure().await;
        assert!(output.status.success(), "{}\n{}", text(&output), self.stage.pod.log());
    }

    pub(crate) async fn remove(&self) -> Output {
        let mut command = self.command("./config.sh");
        command.args(["remove", "--unattended", "--token", TICKET]);
        output(&mut command).await
    }

    pub(crate) async fn listening(&self, arguments: &[&str]) -> Started {
        let mut command = self.command("./bin/Agent.Listener");
        command.arg("run").args(arguments);
        let listener = self.agent.start(command);
        listener.says("Listening for Jobs").await;
        listener
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_registers_works_and_is_removed_and_nothing_leaves_the_gateway() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    // What the hosted service may do besides: name a URL of its own for the agent.
    world.ado.set_behavior(Behavior {
        server_url_property: true,
        ..Behavior::default()
    });
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let file = std::fs::read_to_string(inside.agent.root().join(".agent")).expect("a file");
    assert!(file.contains(&format!("\"{}\"", inside.stage.url())), "{file}");
    let mut listener = inside.listening(&[]).await;
    sidecar.says(Reason::Online).await;
    let job = world
        .ado
        .queue_job("contoso", "linux", JobSpec::script("true"))
        .expect("queued");
    inside.agent.job_is(job, "succeeded").await;

    // The pool's token is used by the sidecar, the agent's own by the agent, and a worker goes straight to the organization.
    let view = world.ado.view();
    let basic = |authorization: &Authorization| matches!(authorization, Authorization::Basic { .. });
    assert!(
        view.requests.iter().all(|request| !basic(&request.authorization)),
        "no ticket arrived"
    );
    let (ready, line) = ready(&inside.stage);
    assert!(ready, "{line}");

    assert!(inside.stage.pod.pre_stop().0);
    assert_eq!(listener.code().await, 2, "its poll was answered: {}", listener.log());
    inside
        .agent
        .until("removed", |view| view.agent("linux", NAME).is_none())
        .await;
    assert!(!self::ready(&inside.stage).0);
    let removed = inside.remove().await;
    assert!(removed.status.success(), "{}", text(&removed));
    assert!(text(&removed).contains("kipping"), "{}", text(&removed));
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", inside.stage.pod.log());
    assert!(
        inside.stage.pod.message().starts_with("removed"),
        "{}",
        inside.stage.pod.message()
    );
}

/// What the readiness probe gets.
pub(crate) fn ready(stage: &Stage) -> (bool, String) {
    let output = stage.pod.command(&["ready"]).output().expect("it starts");
    (output.status.success(), text(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_may_remove_its_agent_itself() {
    let inside = Inside::new(AgentVersion::V5).await;
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let removed = inside.remove().await;
    assert!(
        removed.status.success(),
        "{}\n{}",
        text(&removed),
        inside.stage.pod.log()
    );
    assert!(inside.agent.world.pool.agent(NAME).is_none());
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", inside.stage.pod.log());
}

/// The refusal comes at the lookup: `config.sh` shows the sentence and ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_ends_config_sh_with_the_reason() {
    let other = configured(AgentVersion::V5).await;
    let _listener = other.listening(&[]).await;
    let taken = other.agent();
    let inside = Inside {
        agent: unpacked(AgentVersion::V5).await,
        stage: Stage::new(&other.world),
    };
    let _sidecar = inside.stage.start().await;
    let output = inside.configure().await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("ado-agent-sidecar: ") && said.contains("another name"),
        "{said}"
    );
    assert_eq!(other.agent(), taken);
}

/// The agent's messages come through the gateway; a poll that is open when the sidecar goes costs a retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_starts_again_costs_the_listener_a_retry() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&[]).await;
    sidecar.kill();
    drop(sidecar);
    let mut sidecar = inside.stage.pod.start();
    sidecar.says(Reason::Online).await;
    let job = world
        .ado
        .queue_job("contoso", "linux", JobSpec::script("true"))
        .expect("queued");
    inside.agent.job_is(job, "succeeded").await;
    assert!(listener.runs(), "{}", listener.log());
    assert_eq!(world.ado.view().count("POST sessions"), 1, "the same session");
    assert!(inside.stage.pod.pre_stop().0);
    assert_eq!(listener.code().await, 2, "{}", listener.log());
}

/// Both ways in which the service may treat the listener of an agent that is gone: it ends, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_ends_when_its_agent_is_removed_whatever_the_service_does() {
    for deleted_agent in [DeletedAgent::NotFound, DeletedAgent::InvalidClient] {
        let inside = Inside::new(AgentVersion::V5).await;
        let world = &inside.agent.world;
        world.ado.set_behavior(Behavior {
            deleted_agent,
            ..Behavior::default()
        });
        // The service would hold the poll for ten minutes.
        world.ado.set_timing(Timing {
            poll: Duration::from_secs(600),
            ..Timing::default()
        });
        let _sidecar = inside.stage.start().await;
        inside.configured().await;
        let mut listener = inside.listening(&[]).await;
        inside
            .agent
            .until("it polls", |view| {
                view.agent("linux", NAME).is_some_and(|agent| agent.online)
            })
            .await;
        assert!(inside.stage.pod.pre_stop().0);
        assert_eq!(listener.code().await, 2, "{deleted_agent:?}: {}", listener.log());
        // A wrapper that starts it again gets no further.
        let mut again = inside.command("./bin/Agent.Listener");
        again.arg("run");
        let again = output(&mut again).await;
        assert_eq!(again.status.code(), Some(1), "{deleted_agent:?}: {}", text(&again));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_that_the_service_holds_or_fails_are_passed_on_as_they_are() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    world.ado.set_timing(Timing {
        poll: Duration::from_millis(200),
        ..Timing::default()
    });
    let _sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&[]).await;
    for fault in [
        Fault::Unauthorized,
        Fault::Reset,
        Fault::Status { status: 502 },
        Fault::Truncate,
    ] {
        world.ado.forget_requests();
        world
            .ado
            .faults()
            .once("GET /_apis/distributedtask/pools/*/messages", fault.clone());
        inside
            .agent
            .until("it goes on", |view| view.count("GET messages") > 4)
            .await;
        assert!(listener.runs(), "{fault:?}: {}", listener.log());
    }
    let job = world
        .ado
        .queue_job("contoso", "linux", JobSpec::script("true"))
        .expect("queued");
    inside.agent.job_is(job, "succeeded").await;
    let refused = send(
        inside
            .stage
            .ticket(Method::GET, "_apis/distributedtask/pools/1/messages?sessionId=x"),
    )
    .await;
    assert_eq!(refused.status, 403);
}

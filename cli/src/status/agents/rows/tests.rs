use super::super::{Pool, Probe};
use super::*;
use crate::offline_agent::offline_agent;
use azure_protocol::{AgentId, JobRequest};

fn pod(name: &str, reason: &str) -> AgentPod {
    AgentPod {
        namespace: "agents".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        sidecar: Sidecar::Says(Probe {
            reason: reason.into(),
            sentence: format!("It is {reason}."),
            organization: Some("https://dev.azure.com/contoso".into()),
            pool: Some("linux".into()),
            agent: Some(name.into()),
            token: Some((480, 3120)),
        }),
    }
}

fn agent(name: &str, busy: bool) -> TaskAgent {
    let job = JobRequest {
        id: 1,
        name: "Build".into(),
        queued: None,
        assigned: None,
        received: Some(ServerTime(700)),
        finished: Some(ServerTime(400)),
        result: Some("succeeded".into()),
        agent: Some(AgentId(3)),
        pipeline: Some("web".into()),
    };
    TaskAgent {
        online: true,
        assigned: busy.then(|| job.clone()),
        last_completed: Some(job),
        ..offline_agent(3, name)
    }
}

#[test]
fn without_azure_devops_the_table_says_so() {
    let fleet = Fleet {
        pods: vec![pod("a-1", "ready"), pod("a-2", "role-missing")],
        azure: None,
    };
    assert_eq!(
        table(&fleet, Color::Never),
        "POD  POOL   STATE         TOKEN\n\
         a-1  linux  ready         52m left\n\
         a-2  linux  role-missing  52m left\n\
         2 pods, 1 with a problem\n\
         ! agents/a-2: It is role-missing.\n    \
         [role-missing] https://github.com/ado-agent-injector/ado-agent-injector/blob/main/docs/troubleshooting.md#the-sidecar-and-azure-devops\n\
         Azure DevOps was not asked for sessions, jobs and left-overs: that takes --token-file or --federated-token-file.\n"
    );
    assert_eq!(json(&fleet)["agents"][1]["problem"], true);
}

#[test]
fn with_it_jobs_and_left_overs_are_shown() {
    let mut stopped = pod("a-3", "ready");
    stopped.sidecar = Sidecar::Stopped("ImagePullBackOff".into());
    stopped.namespace = "other".into();
    let fleet = Fleet {
        pods: vec![pod("a-1", "ready"), pod("a-2", "ready"), stopped],
        azure: Some(Azure {
            pools: vec![Pool {
                organization: "https://dev.azure.com/contoso".into(),
                name: "Linux".into(),
                agents: vec![agent("A-1", true), agent("stranger", false)],
            }],
            left: vec![Left {
                organization: "https://dev.azure.com/contoso".into(),
                pool: "linux".into(),
                pool_id: 7,
                agent: "a-0".into(),
                agent_id: 9,
                pod: "a-0".into(),
                namespace: "agents".into(),
            }],
            problems: vec![],
            now: ServerTime(1000),
        }),
    };
    let text = table(&fleet, Color::Never);
    let expected = "NAMESPACE  POD  POOL   STATE    TOKEN     AGENT   JOB               LAST JOB\n\
         agents     a-1  linux  ready    52m left  online  web / Build (5m)  succeeded (10m ago)\n\
         agents     a-2  linux  ready    52m left  none    -                 -\n\
         other      a-3  -      stopped  -         none    -                 -\n\
         3 pods, 1 online, 1 busy, 1 left behind, 1 with a problem\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains("agent \"a-0\" (id 9) is left in pool \"linux\""),
        "{text}"
    );
    assert!(
        text.contains("other/a-3: the sidecar does not run: ImagePullBackOff"),
        "{text}"
    );
    let value = json(&fleet);
    assert_eq!(value["agents"][0]["job"]["name"], "Build");
    assert_eq!(value["leftBehind"][0]["agentId"], 9);
}

#[test]
fn a_probe_is_read_and_anything_else_is_not() {
    let line = r#"{"reason":"ready","sentence":"s","pool":"p","token":{"ageSeconds":1,"expiresInSeconds":2},"new":1}"#;
    let probe = Probe::parse(line).expect("a probe");
    assert_eq!((probe.pool.as_deref(), probe.token), (Some("p"), Some((1, 2))));
    assert!(!probe.is_trouble());
    assert_eq!(Probe::parse("ready: s"), None);
    assert_eq!(Probe::parse(r#"{"reason":1}"#), None);
}

#[test]
fn spans_are_short() {
    for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h0m"), (172_800, "2d")] {
        assert_eq!(span(seconds), text);
    }
}

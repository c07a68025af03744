//! The closed table, row by row.

use crate::pod::{OWN, Pod, onward, ours, sentence, status, theirs};
use gateway::{Meant, Reading, Verdict};

#[test]
fn the_table_has_these_rows() {
    let pod = Pod::new();
    let nothing = Reading::Nothing;
    for (method, path, target, reading) in [
        ("OPTIONS", "_apis/", "/_apis/", &nothing),
        ("OPTIONS", "_apis", "/_apis/", &nothing),
        ("OPTIONS", "_apis/Location", "/_apis/location", &nothing),
        (
            "GET",
            "_apis/connectionData?connectOptions=1&lastChangeId=-1&lastChangeId64=-1",
            "/_apis/connectiondata?connectoptions=1&lastchangeid=-1&lastchangeid64=-1",
            &Reading::ConnectionData,
        ),
        (
            "GET",
            "_apis/distributedtask/packages/agent?platform=linux-x64&top=1",
            "/_apis/distributedtask/packages/agent?platform=linux-x64&top=1",
            &nothing,
        ),
        (
            "GET",
            "_apis/distributedtask/packages/pipelines-agent/linux-x64/4.255.0?%24top=1",
            "/_apis/distributedtask/packages/pipelines-agent/linux-x64/4.255.0?%24top=1",
            &nothing,
        ),
        (
            "GET",
            "_apis/distributedtask/pools?poolName=LINUX%20pool&poolType=Automation",
            "/_apis/distributedtask/pools?poolname=LINUX%20pool&pooltype=Automation",
            &nothing,
        ),
        (
            "GET",
            "_apis/distributedtask/pools?api-version=7.1",
            "/_apis/distributedtask/pools?api-version=7.1&poolname=Linux%20Pool",
            &nothing,
        ),
        (
            "GET",
            "/_apis/distributedtask/pools/7",
            "/_apis/distributedtask/pools/7",
            &nothing,
        ),
        (
            "GET",
            "_apis/DistributedTask/Pools/7/Agents/42?includeCapabilities=True",
            "/_apis/distributedtask/pools/7/agents/42?includecapabilities=True",
            &nothing,
        ),
        (
            "GET",
            "_apis/FeatureAvailability/FeatureFlags/DistributedTask.Agent.X",
            "/_apis/featureavailability/featureflags/distributedtask.agent.x",
            &nothing,
        ),
    ] {
        let verdict = ours(&pod, method, path);
        assert_eq!(
            onward(&verdict),
            Some((target, reading)),
            "{method} {path}: {verdict:?}"
        );
    }
    let agents = "_apis/distributedtask/pools/7/agents";
    let name = Verdict::Lookup(Some("pod 0".to_owned()));
    assert_eq!(
        ours(
            &pod,
            "GET",
            &format!("{agents}?agentName=pod+0&includeCapabilities=False")
        ),
        name
    );
    assert_eq!(
        ours(&pod, "GET", &format!("{agents}?api-version=7.1")),
        Verdict::Lookup(None)
    );
    assert_eq!(ours(&pod, "POST", agents), Verdict::Register(Meant::New));
    let own = format!("{agents}/42");
    assert_eq!(ours(&pod, "PUT", &own), Verdict::Register(Meant::Replacement));
    assert_eq!(ours(&pod, "PATCH", &own), Verdict::Change(OWN));
    assert_eq!(ours(&pod, "DELETE", &own), Verdict::Unregister(OWN));
    for (method, path, expected) in [
        ("GET", "_apis/resourceAreas", 200),
        ("POST", "_apis/customerintelligence/events", 204),
        ("DELETE", "_apis/distributedtask/pools/7/agents/41", 404),
        ("GET", "_apis/distributedtask/pools/7/agents/41", 404),
    ] {
        assert_eq!(status(&ours(&pod, method, path)), Some(expected), "{method} {path}");
    }
}

#[test]
fn the_ticket_is_for_nothing_else() {
    let pod = Pod::new();
    let pools = "_apis/distributedtask/pools";
    for (method, path) in [
        ("GET", format!("{pools}?poolName=Other")),
        ("GET", format!("{pools}?poolName=Linux%20Pool&poolName=Other")),
        ("GET", format!("{pools}?poolName=Linux%20Pool&PoolName=Other")),
        ("GET", format!("{pools}?poolIds=1,2")),
        ("POST", pools.to_owned()),
        ("GET", format!("{pools}/8")),
        ("GET", format!("{pools}/07")),
        ("GET", format!("{pools}/%37")),
        ("GET", format!("{pools}/7;8")),
        ("GET", format!("{pools}/+7")),
        ("PATCH", format!("{pools}/7")),
        ("DELETE", format!("{pools}/7")),
        ("GET", format!("{pools}/8/agents")),
        ("POST", format!("{pools}/8/agents")),
        ("DELETE", format!("{pools}/8/agents/42")),
        ("GET", format!("{pools}/7/agents/43")),
        ("PUT", format!("{pools}/7/agents/43")),
        ("DELETE", format!("{pools}/7/agents/43")),
        ("PATCH", format!("{pools}/7/agents/43")),
        ("DELETE", format!("{pools}/7/agents/042")),
        ("DELETE", format!("{pools}/7/agents/%34%32")),
        ("DELETE", format!("{pools}/7/agents/42%2f..%2f43")),
        ("DELETE", format!("{pools}/7/agents/42/../43")),
        ("DELETE", format!("{pools}/7/agents")),
        ("DELETE", format!("{pools}/7/agents/42?x-http-method-override=PUT")),
        ("POST", format!("{pools}/7/agents/42")),
        ("PUT", format!("{pools}/7/agents/42/usercapabilities")),
        ("POST", format!("{pools}/7/sessions")),
        ("GET", format!("{pools}/7/messages?sessionId=new")),
        ("GET", format!("{pools}/7/jobrequests")),
        ("GET", format!("{pools}/7/permissions/27")),
        ("GET", "_apis/connectionData?includeToken=true".to_owned()),
        ("GET", "_apis/distributedtask/packages".to_owned()),
        ("GET", "_apis/distributedtask/packages/agent/a/b/c".to_owned()),
        ("GET", "_apis/projects".to_owned()),
        ("OPTIONS", "_apis/git/repositories".to_owned()),
        ("OPTIONS", format!("_apis/{}", "a".repeat(129))),
        (
            "GET",
            format!("_apis/featureavailability/featureflags/{}", "a".repeat(129)),
        ),
        ("GET", "_apis/resourceAreas/x".to_owned()),
        ("GET", "project/_apis/distributedtask/pools/7/agents/42".to_owned()),
        ("GET", "_apis/distributedtask/../git/repositories".to_owned()),
        ("GET", "..".to_owned()),
        ("GET", String::new()),
    ] {
        let verdict = ours(&pod, method, &path);
        assert!(
            matches!(status(&verdict), Some(400 | 403)),
            "{method} {path}: {verdict:?}"
        );
    }
}

/// `config.sh` prints it: a person has to see what was asked for, and not with what.
#[test]
fn a_refusal_names_the_request_without_its_query() {
    let pod = Pod::new();
    let said = sentence(&ours(&pod, "POST", "_apis/projects?key=s3cret"));
    assert!(said.contains("POST") && said.contains("/_apis/projects"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn until_the_pool_is_known_the_ticket_waits_and_others_do_not() {
    let pod = Pod {
        pool: None,
        ..Pod::new()
    };
    assert_eq!(ours(&pod, "GET", "_apis/connectionData"), Verdict::Hold);
    assert!(onward(&theirs(&pod, "GET", "_apis/connectionData")).is_some());
}

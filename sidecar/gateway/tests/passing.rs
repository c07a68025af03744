//! Requests without the ticket, and what is no request to a gateway.

use crate::pod::{Pod, head, onward, ours, sentence, status, theirs, ticket};
use gateway::{Reading, Traffic, Verdict};

#[test]
fn another_credential_passes_as_it_is() {
    let pod = Pod::new();
    let pool = "_apis/distributedtask/pools/7";
    for (method, path, reading) in [
        (
            "GET",
            "_apis/connectionData?connectOptions=1".to_owned(),
            Reading::ConnectionData,
        ),
        ("POST", format!("{pool}/sessions"), Reading::SessionOpened),
        (
            "DELETE",
            format!("{pool}/sessions/S-1"),
            Reading::SessionClosed("s-1".to_owned()),
        ),
        (
            "GET",
            format!("{pool}/messages?sessionId=New&lastMessageId=3"),
            Reading::Poll("new".to_owned()),
        ),
        ("PATCH", format!("{pool}/jobrequests/3?lockToken=0"), Reading::Renewal),
        (
            "GET",
            "_apis/distributedtask/pools/8/messages?sessionId=x".to_owned(),
            Reading::Nothing,
        ),
        ("DELETE", format!("{pool}/agents/43"), Reading::Nothing),
        ("PUT", "My%20Project/_apis/git/x?a=%2F..".to_owned(), Reading::Nothing),
        ("HEAD", "a//b/".to_owned(), Reading::Nothing),
    ] {
        let verdict = theirs(&pod, method, &path);
        let target = format!("/{}", path.replace("//", "/"));
        assert_eq!(
            onward(&verdict),
            Some((target.as_str(), &reading)),
            "{method} {path}: {verdict:?}"
        );
    }
    assert_eq!(status(&theirs(&pod, "TRACE", "_apis")), Some(405));
    for path in ["../other/_apis", "a/%2e%2e/b", "a%2Fb", "a%5cb"] {
        assert_eq!(status(&theirs(&pod, "GET", path)), Some(400), "{path}");
    }
}

#[test]
fn what_is_no_request_to_this_gateway_is_none() {
    let pod = Pod::new();
    let path = format!("/{}/_apis", contract::GATEWAY_ORGANIZATION_SEGMENT);
    let absolute = format!("http://127.0.0.1:7649{path}");
    for (target, headers, expected) in [
        (path.as_str(), &[("host", "evil.example")][..], Some(400)),
        (&path, &[("host", "127.0.0.1.evil.example")], Some(400)),
        (&path, &[("host", "127.0.0.1"), ("host", "evil.example")], Some(400)),
        (&path, &[("host", "localhost:7649")], None),
        (&path, &[("host", "127.0.0.1:7649.evil.example")], Some(400)),
        (
            &path,
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
            Some(400),
        ),
        (&absolute, &[], Some(400)),
        ("/", &[], Some(404)),
        ("/contoso/_apis", &[], Some(404)),
        ("/organizations/_apis", &[], Some(404)),
    ] {
        let verdict = pod.judge(&head("GET", target, headers));
        assert_eq!(status(&verdict), expected, "{target} {headers:?}: {verdict:?}");
    }
    let mut nobody = head("GET", &path, &[]);
    nobody.headers.clear();
    assert_eq!(status(&pod.judge(&nobody)), Some(400));
    let chunked = head(
        "POST",
        &path,
        &[("authorization", &ticket()), ("transfer-encoding", "chunked")],
    );
    assert_eq!(status(&pod.judge(&chunked)), Some(400));
}

/// Each of what makes it one is enough.
#[test]
fn a_request_to_a_proxy_is_told_what_this_is() {
    let pod = Pod::new();
    let path = format!("/{}/_apis", contract::GATEWAY_ORGANIZATION_SEGMENT);
    for (method, target) in [
        ("GET", format!("http://127.0.0.1:7649{path}")),
        ("GET", "127.0.0.1:7649".to_owned()),
        ("CONNECT", "127.0.0.1:7649".to_owned()),
        ("CONNECT", path),
    ] {
        let verdict = pod.judge(&head(method, &target, &[]));
        assert_eq!(status(&verdict), Some(400), "{method} {target}: {verdict:?}");
        let said = sentence(&verdict);
        assert!(said.contains("not a proxy"), "{method} {target}: {said}");
    }
}

#[test]
fn scripts_that_trade_a_token_get_the_ticket() {
    let pod = Pod::new();
    for path in [
        "/tenant/oauth2/v2.0/token",
        "//tenant/oauth2/v2.0/token",
        "/tenant/oauth2/token?x=1",
    ] {
        for method in ["GET", "POST"] {
            let verdict = pod.judge(&head(method, path, &[]));
            let Verdict::Answer(answer) = verdict else {
                panic!("{verdict:?}");
            };
            assert!(answer.body.contains(contract::TICKET), "{answer:?}");
        }
        assert_eq!(status(&pod.judge(&head("PUT", path, &[]))), Some(404));
    }
}

#[test]
fn polls_of_an_agent_that_is_gone_end_and_so_do_listeners_that_would_begin() {
    let mut pod = Pod::new();
    let poll = |session: &str| format!("_apis/distributedtask/pools/7/messages?sessionId={session}");
    assert_eq!(status(&theirs(&pod, "GET", &poll("old"))), Some(404));
    assert_eq!(status(&theirs(&pod, "GET", &poll("new"))), None);
    assert_eq!(
        status(&theirs(&pod, "GET", &poll("unknown"))),
        None,
        "it is this pod's agent's"
    );
    assert_eq!(status(&theirs(&pod, "GET", "_apis/connectionData")), None);
    pod.own = None;
    assert_eq!(status(&theirs(&pod, "GET", &poll("unknown"))), Some(404));
    assert_eq!(status(&theirs(&pod, "GET", "_apis/connectionData")), Some(404));
    assert_eq!(
        status(&ours(&pod, "GET", "_apis/connectionData")),
        None,
        "`config.sh remove` connects"
    );
}

#[test]
fn at_the_end_only_the_listeners_polls_are_served() {
    let pod = Pod {
        traffic: Traffic::OnlyPolls,
        ..Pod::new()
    };
    let pool = "_apis/distributedtask/pools/7";
    assert!(onward(&theirs(&pod, "GET", &format!("{pool}/messages?sessionId=new"))).is_some());
    assert!(onward(&theirs(&pod, "DELETE", &format!("{pool}/sessions/new"))).is_some());
    // Of an agent that is gone: its listener ends by that.
    let gone = theirs(&pod, "GET", &format!("{pool}/messages?sessionId=old"));
    assert_eq!(status(&gone), Some(404), "{gone:?}");
    for verdict in [
        // Refused for another reason in quiet times.
        theirs(&pod, "TRACE", "_apis"),
        theirs(&pod, "GET", "_apis/connectionData"),
        theirs(&pod, "GET", "_apis/projects"),
        ours(&pod, "GET", "_apis/connectionData"),
        ours(&pod, "POST", &format!("{pool}/agents")),
        ours(&pod, "GET", &format!("{pool}/messages?sessionId=new")),
    ] {
        assert_eq!(status(&verdict), Some(403), "{verdict:?}");
    }
}

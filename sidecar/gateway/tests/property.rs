//! What no request may reach, whatever it is.

use crate::pod::{OWN, Pod, ticket};
use gateway::{Meant, Onward, Verdict};
use http::{Method, Request};
use proptest::prelude::*;

/// Pieces of paths, hostile ones among them.
fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "_apis",
        "distributedtask",
        "pools",
        "7",
        "8",
        "agents",
        "42",
        "43",
        "041",
        "%34%33",
        "42%2f..%2f43",
        "..",
        ".",
        "%2e%2e",
        "",
        "sessions",
        "messages",
        "organization",
        "?agentName=x",
        "?a=42",
        "&x=43",
        ";43",
        "42;",
        "%00",
        "AGENTS",
        "Pools",
        "usercapabilities",
        "packages",
        "agent",
    ]);
    // Most begin as a request of the table, so that the rest is what is judged.
    let beginning = prop::sample::select(vec![
        "",
        "_apis",
        "_apis/distributedtask/pools",
        "_apis/distributedtask/pools/7",
        "_apis/distributedtask/pools/7/agents",
        "_apis/distributedtask/pools/7/agents/42",
        "_apis/distributedtask/pools/8/agents",
        "_apis/distributedtask/packages",
    ]);
    (beginning, prop::collection::vec(piece, 0..4)).prop_map(|(beginning, pieces)| {
        let text = format!("{beginning}/{}", pieces.join("/"));
        text.replace("/?", "?").replace("/&", "&").replace("/;", ";")
    })
}

/// Whether the path is this pod's agent's, spelled in the one way in which it may be.
fn names_own(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let segments = path.split('/').filter(|segment| !segment.is_empty()).skip(1);
    segments.eq(["_apis", "distributedtask", "pools", "7", "agents", "42"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// Whatever is asked with the ticket: what goes on names this pod's pool, this pod's agent, and no other.
    #[test]
    fn the_ticket_lets_no_foreign_id_through(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
        path in path(),
        has_agent: bool,
    ) {
        let pod = Pod { own: has_agent.then_some(OWN), ..Pod::new() };
        let target = format!("/{}/{path}", contract::GATEWAY_ORGANIZATION_SEGMENT);
        let Ok(request) = Request::builder()
            .method(method)
            .uri(&target)
            .header("host", "127.0.0.1")
            .header("authorization", ticket())
            .body(())
        else {
            return Ok(());
        };
        match pod.judge(&request.into_parts().0) {
            Verdict::Answer(_) | Verdict::Lookup(_) | Verdict::Register(Meant::New) => {}
            Verdict::Register(Meant::Replacement) => prop_assert!(has_agent && names_own(&target), "{}", target),
            Verdict::Unregister(agent) | Verdict::Change(agent) => {
                prop_assert!(has_agent && agent == OWN && names_own(&target), "{}", target);
            }
            Verdict::Hold => prop_assert!(false, "the pool is known"),
            Verdict::Onward(Onward { method, target, with_body, .. }) => {
                prop_assert!(matches!(method, Method::GET | Method::OPTIONS) && !with_body);
                prop_assert!(!target.contains("..") && !target.contains('\\') && !target.contains("%2F"));
                let path = target.split('?').next().unwrap_or_default();
                let segments: Vec<&str> = path.split('/').skip(1).collect();
                match segments.as_slice() {
                    ["_apis", _] if method == Method::OPTIONS => {}
                    ["_apis", ""]
                    | ["_apis", "connectiondata"]
                    | ["_apis", "featureavailability", "featureflags", _]
                    | ["_apis", "distributedtask", "packages", ..]
                    | ["_apis", "distributedtask", "pools" | "pools/7"]
                    | ["_apis", "distributedtask", "pools", "7"] => {}
                    ["_apis", "distributedtask", "pools", "7", "agents", "42"] => prop_assert!(has_agent),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}

//! api-version and content types are checked as strictly as by the real service.

use crate::{Answer, Asker, pool};
use azure_emulators::world::World;
use reqwest::Method;
use serde_json::json;

const MISSING: &str = "VssVersionNotSpecifiedException";
const PREVIEW: &str = "VssInvalidPreviewVersionException";
const RANGE: &str = "VssVersionOutOfRangeException";
const FORM: &str = "VssInvalidApiResourceVersionException";

/// A request without any version.
fn plain(asker: &Asker, method: Method, path: &str) -> reqwest::RequestBuilder {
    asker
        .client
        .request(method, format!("{}/_apis/{path}", asker.base))
        .bearer_auth(&asker.token)
        .header("X-TFS-FedAuthRedirect", "Suppress")
}

#[tokio::test]
async fn a_change_needs_a_version_and_a_read_does_not() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let agents = pool(&world, "/agents");
    let id = world.pool.add_agent("pod-0", &[]);
    let agent = pool(&world, &format!("/agents/{id}"));
    for (method, path) in [
        (Method::POST, &agents),
        (Method::PUT, &agent),
        (Method::PATCH, &agent),
        (Method::DELETE, &agent),
    ] {
        let answer = Answer::of(plain(&asker, method.clone(), path)).await;
        assert_eq!(answer.refusal(), (400, MISSING), "{method}");
        assert_eq!(
            answer.body["typeName"],
            format!("Microsoft.VisualStudio.Services.WebApi.{MISSING}, Microsoft.VisualStudio.Services.WebApi")
        );
        let message = answer.body["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("No api-version was supplied for the \"{method}\" request.")),
            "{message}"
        );
    }
    assert!(world.pool.agent("pod-0").is_some(), "nothing was done");
    for (path, version) in [
        (agents.as_str(), "7.1"),
        ("connectionData", "7.2-preview.1"),
        ("distributedtask/packages/agent", "7.2-preview.2"),
    ] {
        let answer = Answer::of(plain(&asker, Method::GET, path)).await;
        assert_eq!(
            answer.header("content-type"),
            format!("application/json; charset=utf-8; api-version={version}"),
            "{path}"
        );
        answer.ok();
    }
}

#[tokio::test]
async fn the_version_must_be_one_that_the_resource_has() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let agents = pool(&world, "/agents");
    let permissions = pool(&world, "/permissions/2");
    for (path, version, expected) in [
        (agents.as_str(), "7.1", None),
        (&agents, "5.1-preview.1", None),
        (&agents, "7.2-preview", None),
        (&agents, "7.2", Some(PREVIEW)),
        (&agents, "7.2-preview.2", Some(RANGE)),
        (&agents, "99.0", Some(RANGE)),
        (&agents, "7.3-preview.1", Some(RANGE)),
        (&agents, "0.9", Some(RANGE)),
        (&agents, "latest", Some(FORM)),
        (&permissions, "7.1", Some(PREVIEW)),
        (&permissions, "7.1-preview.1", None),
        ("connectionData", "7.1", Some(PREVIEW)),
        ("ResourceAreas", "7.1", Some(PREVIEW)),
        ("distributedtask/packages/agent", "7.1", Some(PREVIEW)),
        ("distributedtask/packages/agent", "7.2-preview.2", None),
        ("serviceprincipalentitlements/x", "7.0-preview.1", Some(RANGE)),
        (
            "securityroles/scopes/distributedtask.agentpoolrole/roledefinitions",
            "3.2-preview.1",
            None,
        ),
        (
            "securityroles/scopes/distributedtask.agentpoolrole/roledefinitions",
            "7.1",
            Some(PREVIEW),
        ),
    ] {
        let request = plain(&asker, Method::GET, &format!("{path}?api-version={version}"));
        let answer = Answer::of(request).await;
        match expected {
            None => assert!(
                answer.status == 200
                    && answer
                        .header("content-type")
                        .ends_with(&format!("; api-version={version}")),
                "{path} {version}: {}",
                answer.body
            ),
            Some(expected) => assert_eq!(answer.refusal(), (400, expected), "{path} {version}"),
        }
    }
}

#[tokio::test]
async fn the_version_is_read_from_query_accept_and_the_bodys_type() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let post = |name: &str, query: &str| {
        let agents = pool(&world, &format!("/agents{query}"));
        plain(&asker, Method::POST, &agents).body(json!({ "name": name }).to_string())
    };
    let json = "application/json";
    Answer::of(post("a", "?API-Version=7.1").header("content-type", json))
        .await
        .ok();
    let accept = "application/json;api-version=7.1";
    Answer::of(post("b", "").header("content-type", json).header("accept", accept))
        .await
        .ok();
    let typed = "application/json; charset=utf-8; api-version=5.1-preview.1";
    Answer::of(post("c", "").header("content-type", typed)).await.ok();

    let query_first = post("d", "?api-version=99.0").header("content-type", typed);
    assert_eq!(Answer::of(query_first).await.refusal(), (400, RANGE));
}

#[tokio::test]
async fn a_body_has_to_be_declared_as_json() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    for declared in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let mut request = plain(&asker, Method::POST, &pool(&world, "/agents?api-version=7.1"))
            .body(json!({ "name": "a" }).to_string());
        if let Some(declared) = declared {
            request = request.header("content-type", declared);
        }
        let answer = Answer::of(request).await;
        assert_eq!(
            answer.refusal(),
            (400, "VssRequestContentTypeNotSupportedException"),
            "{declared:?}"
        );
        let declared = declared.unwrap_or_default();
        assert_eq!(
            answer.body["message"],
            format!(
                "The request indicated a Content-Type of \"{declared}\" for method type \"POST\" which is not supported. \
                 Valid content types for this method are: application/json, application/json-patch+json."
            )
        );
    }
    assert_eq!(world.pool.agents(), []);
}

//! With another credential, or none: everything passes as it is, but for what keeps a client here.

use crate::stage::{Stage, send};
use azure_emulators::ado::Behavior;
use azure_emulators::world::World;
use contract::TICKET;
use reqwest::Method;
use serde_json::Value;

const CONNECTION_DATA: &str = "_apis/connectionData?connectOptions=1&lastChangeId=-1&lastChangeId64=-1";
const HOSTED: &str = "00025394-6065-48ca-87d9-7f5672854ef7";

async fn direct(world: &World, path: &str) -> Value {
    let url = format!("{}/{path}", world.organization_url());
    send(world.client().get(url).bearer_auth(world.access_token()))
        .await
        .json()
}

/// Without this the next request leaves for dev.azure.com; with the owner alone gone everything stays.
#[tokio::test(flavor = "multi_thread")]
async fn connection_data_leads_every_caller_to_the_gateway() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let before = direct(&world, CONNECTION_DATA).await;
    assert_eq!(
        before["locationServiceData"]["serviceOwner"], HOSTED,
        "the emulator is the hosted service"
    );
    let with = |credential: &str| {
        let request = stage.request(Method::GET, CONNECTION_DATA);
        match credential {
            "ticket" => request.basic_auth("", Some(TICKET)),
            "ticket, bearer" => request.bearer_auth(TICKET),
            _ => request.bearer_auth(world.access_token()),
        }
    };
    for credential in ["ticket", "ticket, bearer", "own"] {
        // The library asks for gzip, and says that it waits for 100 (Continue).
        let request = with(credential)
            .header("accept-encoding", "gzip")
            .header("expect", "100-continue");
        let answer = send(request).await;
        let data = answer.json();
        let location = &data["locationServiceData"];
        assert!(location.get("serviceOwner").is_none(), "{credential}: {location}");
        let moniker = &location["defaultAccessMappingMoniker"];
        let mappings = location["accessMappings"].as_array().expect("mappings");
        assert_eq!(mappings.len(), 1);
        assert_eq!(
            (&mappings[0]["moniker"], &mappings[0]["accessPoint"]),
            (moniker, &Value::from(stage.url()))
        );
        for stays in ["deploymentType", "instanceId", "authenticatedUser"] {
            assert_eq!(data[stays], before[stays], "{stays}");
        }
        assert_eq!(
            location["serviceDefinitions"],
            before["locationServiceData"]["serviceDefinitions"]
        );
    }
}

/// OAuth begins with an anonymous request that has to get the challenge.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_credential_gets_the_services_own_challenges() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let request = stage
        .request(Method::GET, CONNECTION_DATA)
        .header("X-TFS-FedAuthRedirect", "Suppress");
    let answer = send(request).await;
    assert_eq!(answer.status, 401);
    let challenges: Vec<&str> = answer
        .headers
        .get_all("www-authenticate")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    assert!(
        challenges.len() == 3 && challenges[0].starts_with("Bearer "),
        "{challenges:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_byte_for_byte_what_the_service_says() {
    let world = World::start().await.expect("a world");
    world.ado.set_behavior(Behavior::default());
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    for path in [
        "_apis/distributedtask/pools?api-version=7.1",
        "_apis/distributedtask/pools?poolName=%6Cinux&api-version=7.1",
        "_apis/resourceAreas",
        "_apis/nothing/here",
    ] {
        let get = |url: String, http: &reqwest::Client| {
            send(
                http.get(url)
                    .bearer_auth(world.access_token())
                    .header("accept-encoding", "gzip"),
            )
        };
        let http = world.client();
        let plain = reqwest::Client::builder().no_proxy().build().expect("a client");
        let there = get(format!("{}/{path}", world.organization_url()), &http).await;
        let here = get(format!("{}/{path}", stage.url()), &plain).await;
        assert_eq!((here.status, &here.body), (there.status, &there.body), "{path}");
        for header in ["content-type", "content-encoding", "cache-control"] {
            assert_eq!(here.headers.get(header), there.headers.get(header), "{path}: {header}");
        }
    }
    let view = world.ado.view();
    let last = view.requests.last().expect("requests");
    assert_eq!(last.host, "127.0.0.1", "the organization's host, not the gateway's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_passes_and_a_head_has_none() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let token = world.admin_token();
    let path = format!(
        "/{}/_apis/distributedtask/pools?api-version=7.1",
        contract::GATEWAY_ORGANIZATION_SEGMENT
    );
    let body = r#"{"name": "new pool"}"#;
    let (one, two) = body.split_at(7);
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    let answer = stage.raw(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(world.ado.pool("contoso", "new pool").is_some());
    let head = format!(
        "HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let answer = stage.raw(head.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

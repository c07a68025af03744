//! What only the hosted service does to clients: location data that leads elsewhere, compressed answers, a server URL.

use crate::agent::Agent;
use crate::discovery::azure_client;
use crate::{Answer, Asker};
use azure_emulators::ado::{Behavior, ConnectionData};
use azure_emulators::world::World;
use serde_json::{Value, json};
use std::io::Read;

const HOSTED: &str = "00025394-6065-48ca-87d9-7f5672854ef7";
const ON_PREMISES: &str = "87966eaa-cb2a-443f-be3c-47bd3b5bf3cb";
const TASK_AREA: &str = "a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd";
const ROOT: &str = "951917ac-a960-4999-8464-e3f0aa25b381";

/// Where the definition of a service leads by the default access mapping.
fn location(data: &Value, identifier: &str) -> String {
    let data = &data["locationServiceData"];
    let moniker = &data["defaultAccessMappingMoniker"];
    let mappings = data["accessMappings"].as_array().unwrap();
    assert!(mappings.iter().any(|mapping| &mapping["moniker"] == moniker));
    let definitions = data["serviceDefinitions"].as_array().unwrap();
    let found = definitions
        .iter()
        .find(|definition| definition["serviceType"] == "LocationService2" && definition["identifier"] == identifier)
        .unwrap();
    let locations = found["locationMappings"].as_array().unwrap();
    let found = locations
        .iter()
        .find(|mapping| &mapping["accessMappingMoniker"] == moniker);
    found.unwrap()["location"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn connection_data_leads_each_area_to_its_service() {
    let world = World::start().await.unwrap();
    let (client, port) = (azure_client(&world), world.ado.address().port());
    let get = |base: String| {
        let url = format!("{base}/_apis/connectionData?connectOptions=1&lastChangeId=-1&lastChangeId64=-1");
        Answer::of(client.get(url).bearer_auth(world.access_token()))
    };
    let data = get(format!("https://dev.azure.com:{port}/contoso")).await.ok();
    assert_eq!(data["deploymentType"], "hosted");
    assert_eq!(data["locationServiceData"]["serviceOwner"], HOSTED);
    assert!(data["locationServiceData"]["accessMappings"].as_array().unwrap().len() > 1);
    assert_eq!(
        location(&data, TASK_AREA),
        format!("https://dev.azure.com:{port}/contoso/")
    );
    assert_eq!(
        location(&data, ROOT),
        format!("https://vssps.dev.azure.com:{port}/contoso/")
    );

    let legacy = get(format!("https://contoso.visualstudio.com:{port}")).await.ok();
    assert_eq!(
        location(&legacy, ROOT),
        format!("https://contoso.vssps.visualstudio.com:{port}/")
    );

    // The mapping by id, which services prefer, is an address, too.
    let instance = data["instanceId"].as_str().unwrap();
    get(format!("https://dev.azure.com:{port}/A{instance}")).await.ok();
}

#[tokio::test]
async fn connection_data_may_be_that_of_a_server_with_everything_in_one_place() {
    let world = World::start().await.unwrap();
    world.ado.set_behavior(Behavior {
        connection_data: ConnectionData::OnPremises,
        ..Behavior::default()
    });
    let data = Asker::agents(&world).get("connectionData").await.ok();
    let data = &data["locationServiceData"];
    assert_eq!(data["serviceOwner"], ON_PREMISES);
    assert_eq!(data["accessMappings"][0]["accessPoint"], world.organization_url());
}

#[tokio::test]
async fn agents_get_their_tokens_at_a_host_of_the_organization() {
    let world = World::start().await.unwrap();
    let (client, port) = (azure_client(&world), world.ado.address().port());
    let mut body = json!({ "name": "pod-0", "authorization": { "publicKey": {
        "exponent": "AQAB", "modulus": format!("{}=", "A".repeat(343)),
    } } });
    for (number, base) in [
        "https://dev.azure.com:PORT/contoso",
        "https://contoso.visualstudio.com:PORT",
    ]
    .into_iter()
    .enumerate()
    {
        body["name"] = json!(format!("pod-{number}"));
        let path = crate::pool(&world, "/agents?api-version=7.1");
        let url = format!("{}/_apis/{path}", base.replace("PORT", &port.to_string()));
        let added = Answer::of(client.post(url).bearer_auth(world.access_token()).json(&body))
            .await
            .ok();
        let token_url = added["authorization"]["authorizationUrl"].as_str().unwrap();
        assert_eq!(
            token_url,
            format!("https://contoso.vssps.visualstudio.com:{port}/_apis/oauth2/token")
        );
        let asked = Answer::of(client.post(token_url).form(&[("grant_type", "client_credentials")])).await;
        assert_eq!(
            (asked.status, &asked.body["error"]),
            (400, &json!("unsupported_grant_type"))
        );
    }
}

#[tokio::test]
async fn a_registration_may_name_the_collections_url_and_that_works() {
    let world = World::start().await.unwrap();
    world.ado.set_behavior(Behavior {
        server_url_property: true,
        ..Behavior::default()
    });
    let agent = Agent::register(&world, "pod-0").await;
    let replaced = agent.replace(&world, &Agent::another_key()).await;
    let property = &replaced["properties"]["ServerUrl"];
    assert_eq!(property["$type"], "System.String");
    let url = property["$value"].as_str().unwrap();
    assert_eq!(url, format!("{}/DefaultCollection", world.organization_url()));
    let moved = Asker {
        base: url.to_owned(),
        ..Asker::agents(&world)
    };
    assert_eq!(moved.get("distributedtask/pools").await.ok()["count"], 1);
}

#[tokio::test]
async fn answers_are_compressed_for_clients_that_take_gzip() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let response = asker
        .request(reqwest::Method::GET, "connectionData")
        .header("accept-encoding", "br, GZIP;q=0.9")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let compressed = response.bytes().await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(compressed.as_ref())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["deploymentType"],
        "hosted"
    );
    assert!(
        asker
            .get("connectionData")
            .await
            .headers
            .get("content-encoding")
            .is_none()
    );
}

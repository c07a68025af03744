//! What Microsoft's clients ask before their first call: resource areas, locations, and the hosts behind them.

use crate::{Answer, Asker};
use azure_emulators::world::World;
use reqwest::Method;
use serde_json::{Value, json};

const TASK_AREA: &str = "a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd";
const ENTITLEMENTS_AREA: &str = "68ddce18-2501-45f1-a17b-7931a9922690";

/// A client that finds Azure's own host names at the emulator.
pub(crate) fn azure_client(world: &World) -> reqwest::Client {
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(world.authority.client_config())
        .no_proxy();
    for host in [
        "dev.azure.com",
        "vsaex.dev.azure.com",
        "vssps.dev.azure.com",
        "contoso.visualstudio.com",
        "contoso.vsaex.visualstudio.com",
        "contoso.vssps.visualstudio.com",
    ] {
        client = client.resolve(host, world.ado.address());
    }
    client.build().unwrap()
}

fn locations(mut answer: Value) -> Vec<Value> {
    serde_json::from_value(answer["value"].take()).unwrap()
}

fn names(locations: &[Value]) -> Vec<&str> {
    locations
        .iter()
        .filter_map(|location| location["resourceName"].as_str())
        .collect()
}

#[tokio::test]
async fn resource_areas_lead_to_the_host_of_each_service() {
    let world = World::start().await.unwrap();
    let (client, port) = (azure_client(&world), world.ado.address().port());
    let by_address = world.organization_url();
    for (base, main, entitlements) in [
        (
            format!("https://dev.azure.com:{port}/contoso"),
            format!("https://dev.azure.com:{port}/contoso/"),
            format!("https://vsaex.dev.azure.com:{port}/contoso/"),
        ),
        (
            format!("https://contoso.visualstudio.com:{port}"),
            format!("https://contoso.visualstudio.com:{port}/"),
            format!("https://contoso.vsaex.visualstudio.com:{port}/"),
        ),
        (by_address.clone(), format!("{by_address}/"), format!("{by_address}/")),
    ] {
        let get = |path: &str| {
            let request = client.get(format!("{base}/_apis/{path}"));
            Answer::of(request.bearer_auth(world.admin_token()))
        };
        let areas = locations(get("ResourceAreas?api-version=7.1-preview.1").await.ok());
        let url = |id: &str| areas.iter().find(|area| area["id"] == id).unwrap()["locationUrl"].clone();
        assert_eq!(
            (url(TASK_AREA), url(ENTITLEMENTS_AREA)),
            (json!(main), json!(entitlements))
        );
        assert!(areas.iter().all(|area| area["name"] != "securityroles"));
        let one = get(&format!("resourceAreas/{TASK_AREA}")).await.ok();
        assert_eq!(
            (&one["name"], &one["locationUrl"]),
            (&json!("distributedtask"), &json!(main))
        );

        let found = entitlements.trim_end_matches('/');
        let options = client
            .request(Method::OPTIONS, format!("{found}/_apis"))
            .bearer_auth(world.admin_token());
        let listed = locations(Answer::of(options).await.ok());
        let found = listed
            .iter()
            .find(|location| location["id"] == "f03dbf50-80f8-41b7-8ca2-65b6a178caba")
            .expect("az devops invoke needs it");
        assert_eq!(
            (
                &found["area"],
                &found["resourceName"],
                &found["minVersion"],
                &found["maxVersion"],
                &found["releasedVersion"]
            ),
            (
                &json!("MemberEntitlementManagement"),
                &json!("ServicePrincipalEntitlements"),
                &json!("7.1"),
                &json!("7.2"),
                &json!("0.0")
            )
        );
    }
}

#[tokio::test]
async fn every_host_lists_and_has_its_own_resources_only() {
    let world = World::start().await.unwrap();
    let (client, port) = (azure_client(&world), world.ado.address().port());
    let ask = |method: Method, url: String| {
        let request = client.request(method, url).bearer_auth(world.admin_token());
        Answer::of(request.header("accept", "application/json;api-version=7.2-preview"))
    };
    let pools = "_apis/distributedtask/pools";
    let user = format!("_apis/serviceprincipalentitlements/{}", world.agents.object_id);
    for (base, has_pools, has_users) in [
        ("dev.azure.com/contoso", true, false),
        ("contoso.visualstudio.com", true, false),
        ("vsaex.dev.azure.com/contoso", false, true),
        ("contoso.vsaex.visualstudio.com", false, true),
        ("vssps.dev.azure.com/contoso", false, false),
        ("contoso.vssps.visualstudio.com", false, false),
    ] {
        let base = base.replacen(".com", &format!(".com:{port}"), 1);
        let listed = locations(ask(Method::OPTIONS, format!("https://{base}/_apis/")).await.ok());
        let listed = names(&listed);
        assert_eq!(
            (
                listed.contains(&"pools"),
                listed.contains(&"ServicePrincipalEntitlements")
            ),
            (has_pools, has_users),
            "{base}"
        );
        assert!(
            listed.contains(&"ConnectionData") && listed.contains(&"ResourceAreas"),
            "{base}"
        );
        let pools = ask(Method::GET, format!("https://{base}/{pools}")).await.status;
        assert_eq!(pools == 200, has_pools, "{base}");
        let user = ask(Method::GET, format!("https://{base}/{user}")).await;
        assert_eq!(user.refusal().1 == "MemberNotFoundException", has_users, "{base}");
        ask(Method::GET, format!("https://{base}/_apis/connectionData"))
            .await
            .ok();
    }
}

#[tokio::test]
async fn locations_tell_the_truth_about_versions() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    let listed = locations(Answer::of(asker.request(Method::OPTIONS, "")).await.ok());
    let of = |name: &str| {
        let found = listed.iter().find(|location| location["resourceName"] == name).unwrap();
        let member = |name: &str| found[name].as_str().unwrap().to_owned();
        (
            member("releasedVersion"),
            member("maxVersion"),
            found["resourceVersion"].as_i64().unwrap(),
        )
    };
    for (name, released, revision) in [
        ("pools", "7.1", 1),
        ("agents", "7.1", 1),
        ("sessions", "0.0", 1),
        ("permissions", "0.0", 1),
        ("roleassignments", "0.0", 1),
        ("packages", "0.0", 2),
    ] {
        assert_eq!(of(name), (released.to_owned(), "7.2".to_owned(), revision), "{name}");
    }
}

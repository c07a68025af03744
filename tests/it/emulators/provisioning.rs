//! What an administrator does once, over REST, as a script would.

use crate::{Asker, pool};
use reqwest::Method;
use serde_json::{Value, json};
use tests::ado::Role;
use tests::entra::Kind;
use tests::world::{Settings, World};

fn entitlement(object_id: &str) -> Value {
    json!({
        "accessLevel": { "accountLicenseType": "express" },
        "projectEntitlements": [],
        "servicePrincipal": {
            "displayName": "agents", "originId": object_id, "origin": "aad", "subjectKind": "servicePrincipal",
        },
    })
}

const ENTITLEMENTS: &str = "serviceprincipalentitlements?api-version=7.1-preview.1";

#[tokio::test]
async fn an_identity_is_added_and_given_a_role_on_a_new_pool() {
    let world = World::with(Settings {
        member: false,
        ..Settings::default()
    })
    .await
    .unwrap();
    let admin = Asker::new(&world, world.admin_token());
    let sidecar = Asker::agents(&world);
    assert_eq!(sidecar.get("distributedtask/pools").await.status, 401);

    let added = admin
        .send(Method::POST, ENTITLEMENTS, &entitlement(&world.agents.object_id))
        .await
        .ok();
    assert_eq!(
        (&added["isSuccess"], &added["operationResult"]["isSuccess"]),
        (&json!(true), &json!(true))
    );
    let member = added["operationResult"]["result"]["id"].as_str().unwrap().to_owned();

    let wanted = json!({ "name": "gpu", "autoProvision": false, "autoUpdate": false });
    let created = admin
        .send(Method::POST, "distributedtask/pools?api-version=7.1", &wanted)
        .await
        .ok();
    assert_eq!(
        (&created["autoProvision"], &created["autoUpdate"]),
        (&json!(false), &json!(false))
    );
    let id = created["id"].as_i64().unwrap();
    let again = admin.send(Method::POST, "distributedtask/pools", &wanted).await;
    assert_eq!(again.refusal(), (409, "TaskAgentPoolExistsException"));
    assert_eq!(
        sidecar.get("distributedtask/pools?poolName=gpu").await.ok()["count"],
        0,
        "no role yet"
    );

    let roles = format!("securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/{id}");
    let assignment = json!([{ "userId": member, "roleName": "Administrator" }]);
    let assigned = admin.send(Method::PUT, &roles, &assignment).await.ok();
    let names: Vec<&str> = assigned["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["role"]["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["Administrator", "Administrator"],
        "the creator and the sidecar's identity"
    );
    assert_eq!(
        sidecar
            .get(&format!("distributedtask/pools/{id}/permissions/2"))
            .await
            .ok(),
        true
    );

    let reader = json!({ "roleName": "Reader" });
    admin
        .send(Method::PUT, &format!("{roles}/{member}"), &reader)
        .await
        .ok();
    assert_eq!(
        sidecar
            .get(&format!("distributedtask/pools/{id}/permissions/2"))
            .await
            .ok(),
        false
    );
    assert_eq!(admin.get(&roles).await.ok()["count"], 2);

    let changed = admin
        .send(
            Method::PATCH,
            &format!("distributedtask/pools/{id}"),
            &json!({ "name": "big" }),
        )
        .await;
    assert_eq!(changed.ok()["name"], "big");
    assert_eq!(admin.delete(&format!("distributedtask/pools/{id}")).await.status, 204);
    assert!(world.ado.view().pool("big").is_none());
}

#[tokio::test]
async fn an_identity_that_azure_devops_cannot_find_is_refused_with_a_200() {
    let world = World::start().await.unwrap();
    let admin = Asker::new(&world, world.admin_token());
    let other = "00000000-0000-4000-8000-000000000002";
    world.entra.add_tenant(other, "fabrikam.example");
    let foreign = world.entra.add_identity(other, Kind::Application, "foreign");
    // The registration's object id is the classic mistake.
    for object_id in [
        &world.agents.registration_id,
        &world.agents.client_id,
        &foreign.object_id,
    ] {
        let refused = admin
            .send(Method::POST, ENTITLEMENTS, &entitlement(object_id))
            .await
            .ok();
        assert_eq!(refused["isSuccess"], false);
        assert!(refused["operationResult"]["errors"][0]["value"].is_string());
    }
}

#[tokio::test]
async fn only_administrators_provision() {
    let world = World::start().await.unwrap();
    world.pool.set_role(&world.agents, Some(Role::ServiceAccount));
    let sidecar = Asker::agents(&world);
    let body = entitlement(&world.keda.object_id);
    assert_eq!(sidecar.send(Method::POST, ENTITLEMENTS, &body).await.status, 403);
    assert_eq!(
        sidecar
            .send(Method::POST, "distributedtask/pools", &json!({ "name": "x" }))
            .await
            .status,
        403
    );
    assert_eq!(
        sidecar.delete(&pool(&world, "")).await.refusal(),
        (403, "AccessDeniedException")
    );
    let scope = "securityroles/scopes/distributedtask.agentpoolrole";
    let roles = format!("{scope}/roleassignments/resources/{}", world.pool.id());
    assert_eq!(sidecar.send(Method::PUT, &roles, &json!([])).await.status, 403);
    assert_eq!(sidecar.get(&format!("{scope}/roledefinitions")).await.ok()["count"], 3);
}

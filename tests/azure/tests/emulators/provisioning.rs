//! What an administrator does once, over REST, as a script would.

use crate::{Answer, Asker, pool};
use azure_emulators::ado::{Behavior, License, Role};
use azure_emulators::entra::Kind;
use azure_emulators::world::{Settings, World};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

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
    assert_eq!(assigned["count"], 1, "what was set, and not the creator's role, too");
    let role = &assigned["value"][0]["role"];
    assert_eq!(
        (&role["name"], &role["allowPermissions"]),
        (&json!("Administrator"), &json!(27))
    );
    assert!(role["description"].is_string());
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
            .refusal(),
        (403, "AccessDeniedException")
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

#[tokio::test]
async fn a_role_for_an_identity_that_is_not_known_yet_is_no_error_and_no_role() {
    let world = World::with(Settings {
        member: false,
        ..Settings::default()
    })
    .await
    .unwrap();
    world.ado.set_behavior(Behavior {
        entitlement_spread_seconds: 30,
        ..Behavior::default()
    });
    let admin = Asker::new(&world, world.admin_token());
    let roles = format!(
        "securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/{}",
        world.pool.id()
    );
    let grant = |id: &str| json!([{ "userId": id, "roleName": "Reader" }]);
    let nobody = "00000000-0000-4000-8000-000000000000";
    assert_eq!(
        admin.send(Method::PUT, &roles, &grant(nobody)).await.ok(),
        json!({ "count": 0, "value": [] })
    );

    let added = admin
        .send(Method::POST, ENTITLEMENTS, &entitlement(&world.agents.object_id))
        .await
        .ok();
    let member = added["operationResult"]["result"]["id"].as_str().unwrap();
    assert_eq!(admin.send(Method::PUT, &roles, &grant(member)).await.ok()["count"], 0);
    let single = format!("{roles}/{member}");
    let reader = json!({ "roleName": "Reader" });
    assert_eq!(admin.send(Method::PUT, &single, &reader).await.ok()["count"], 0);
    world.ado.clock().advance(Duration::from_secs(31));
    assert_eq!(admin.send(Method::PUT, &roles, &grant(member)).await.ok()["count"], 1);
    assert_eq!(admin.send(Method::PUT, &single, &reader).await.ok()["count"], 1);

    let before = admin.get(&roles).await.ok()["count"].as_i64().unwrap();
    let removed = admin.send(Method::PATCH, &roles, &json!([member])).await;
    assert_eq!(removed.status, 204);
    assert_eq!(admin.get(&roles).await.ok()["count"], before - 1);
}

#[tokio::test]
async fn an_entitlement_is_read_changed_and_deleted() {
    let world = World::start().await.unwrap();
    let admin = Asker::new(&world, world.admin_token());
    let added = admin
        .send(Method::POST, ENTITLEMENTS, &entitlement(&world.agents.object_id))
        .await
        .ok();
    let id = added["operationResult"]["result"]["id"].as_str().unwrap();
    let path = format!("serviceprincipalentitlements/{id}");
    let read = admin.get(&path).await.ok();
    assert_eq!(read["accessLevel"]["accountLicenseType"], "express");
    assert_eq!(read["servicePrincipal"]["originId"], world.agents.object_id);

    let change = json!([{ "op": "replace", "path": "/accessLevel", "value": { "accountLicenseType": "stakeholder" } }]);
    let request = admin
        .request(Method::PATCH, &path)
        .header("content-type", "application/json-patch+json")
        .body(change.to_string());
    let changed = Answer::of(request).await.ok();
    assert_eq!(
        (&changed["isSuccess"], &changed["operationResults"][0]["isSuccess"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        admin.get(&path).await.ok()["accessLevel"]["accountLicenseType"],
        "stakeholder"
    );

    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(
        Asker::agents(&world).get("connectionData").await.status,
        401,
        "no user any more"
    );
    for license in ["none", "professional", "advanced", "earlyAdopter"] {
        let mut body = entitlement(&world.agents.object_id);
        body["accessLevel"]["accountLicenseType"] = json!(license);
        let added = admin.send(Method::POST, ENTITLEMENTS, &body).await.ok();
        assert_eq!(
            added["servicePrincipalEntitlement"]["accessLevel"]["accountLicenseType"],
            license
        );
    }
}

#[tokio::test]
async fn service_principals_are_found_among_all_users_page_by_page() {
    let world = World::start().await.unwrap();
    let organization = &world.settings.organization;
    for number in 0..150 {
        let name = format!("extra-{number:03}");
        let identity = world
            .entra
            .add_identity(&world.agents.tenant, Kind::ManagedIdentity, &name);
        world.ado.add_member(organization, &identity, License::Basic);
    }
    let person = world.entra.add_identity(&world.agents.tenant, Kind::User, "somebody");
    world.ado.add_member(organization, &person, License::Basic);

    let admin = Asker::new(&world, world.admin_token());
    let list =
        "memberentitlements?api-version=7.1-preview.2&$filter=userType%20eq%20'application'&$orderBy=name%20Ascending";
    let first = admin.get(list).await.ok();
    assert_eq!(first["items"].as_array().unwrap().len(), 100);
    let next = first["continuationToken"].as_str().unwrap();
    let second = admin.get(&format!("{list}&continuationToken={next}")).await.ok();
    assert!(second["continuationToken"].is_null());
    let both = [&first, &second]
        .map(|page| page["items"].as_array().unwrap().clone())
        .concat();
    assert!(both.iter().all(|member| member["member"]["displayName"] != "somebody"));
    let agents = both
        .iter()
        .find(|member| member["member"]["originId"] == world.agents.object_id.as_str())
        .unwrap();
    assert_eq!(agents["accessLevel"]["accountLicenseType"], "express");
    assert_eq!(agents["member"]["applicationId"], world.agents.client_id.as_str());

    let refused = Asker::agents(&world).get(list).await;
    assert_eq!(refused.status, 403);
    assert_eq!(admin.get("memberentitlements?$filter=x").await.status, 400);
}

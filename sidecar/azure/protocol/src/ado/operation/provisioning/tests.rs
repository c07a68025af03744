use super::*;
use crate::ado::PoolId;
use crate::ado::operation::Operation;
use serde_json::json;

fn read<O: Operation>(operation: &O, body: &Value) -> Option<O::Output> {
    operation.read(body.to_string().as_bytes())
}

#[test]
fn service_principals_are_read_from_every_shape_of_the_list() {
    let all = ServicePrincipals { page: None };
    let member = json!({
        "id": "m", "accessLevel": {"accountLicenseType": "express"},
        "member": {"originId": "o", "displayName": "azp-agent", "applicationId": "a"},
    });
    let stranger = json!({"id": "x", "member": {"displayName": "a group"}});
    for list in ["items", "members", "value"] {
        let page = read(&all, &json!({list: [stranger, member], "continuationToken": "n"})).expect("a page");
        assert_eq!(page.next.as_deref(), Some("n"));
        let [user] = page.users.as_slice() else {
            panic!("{page:?}")
        };
        assert_eq!((user.id.as_str(), user.object_id.as_str()), ("m", "o"));
        assert_eq!(user.license, License::Enough("express".to_owned()));
    }
    let last = read(&all, &json!({"items": [], "continuationToken": null})).expect("a page");
    assert_eq!(last.next, None);
    assert!(read(&all, &json!({"nothing": []})).is_none());
}

#[test]
fn a_license_is_enough_from_basic_on() {
    for (word, enough) in [
        ("express", true),
        ("advanced", true),
        ("Stakeholder", false),
        ("none", false),
    ] {
        let license = License::of(word);
        assert_eq!(matches!(license, License::Enough(_)), enough, "{word}");
    }
}

#[test]
fn a_refusal_with_status_200_is_a_refusal() {
    let add = AddServicePrincipal {
        object_id: "o".to_owned(),
        name: "azp-agent".to_owned(),
    };
    let refused = json!({"isSuccess": false, "operationResult": {
        "isSuccess": false, "errors": [{"key": 5000, "value": "VS403283: no."}], "result": null}});
    assert_eq!(read(&add, &refused), Some(Err("VS403283: no.".to_owned())));
    let added = json!({"operationResult": {"isSuccess": true, "errors": [], "result": {"id": "m"}}});
    assert_eq!(read(&add, &added), Some(Ok("m".to_owned())));
    // A success without an ID is nothing that can be worked with.
    assert_eq!(read(&add, &json!({"operationResult": {"isSuccess": true}})), None);
    let body = add.endpoint().route.body.expect("a body");
    assert_eq!(body["servicePrincipal"]["originId"], "o");
    assert_eq!(body["accessLevel"]["accountLicenseType"], "express");
}

#[test]
fn the_pool_is_the_one_of_this_name_and_is_made_without_what_harms_containers() {
    let find = FindPool {
        name: "Linux".to_owned(),
    };
    let pools = json!({"count": 2, "value": [
        {"id": 1, "name": "linux-2"}, {"id": 2, "name": "linux", "autoProvision": true, "autoUpdate": false}]});
    let pool = read(&find, &pools).expect("a list").expect("a pool");
    assert_eq!(
        (pool.id, pool.auto_provision, pool.auto_update),
        (PoolId(2), true, false)
    );
    let create = CreatePool {
        name: "linux".to_owned(),
    };
    let body = create.endpoint().route.body.expect("a body");
    assert_eq!(
        body,
        json!({"name": "linux", "autoProvision": false, "autoUpdate": false})
    );
}

#[test]
fn roles_are_given_and_taken_by_identity_id() {
    let assign = AssignRole {
        pool: PoolId(7),
        identity: "m".to_owned(),
        role: PoolRole::Reader,
    };
    let route = assign.endpoint().route;
    assert_eq!(route.segments.last().map(String::as_str), Some("7"));
    assert_eq!(route.body, Some(json!([{"userId": "m", "roleName": "Reader"}])));
    assert_eq!(read(&assign, &json!({"count": 0, "value": []})), Some(vec![]));
    let given = json!({"count": 1, "value": [{"identity": {"id": "M"}, "role": {"name": "Reader"}}]});
    assert!(read(&assign, &given).expect("a list")[0].is_of("m"));
    let remove = RemoveRole {
        pool: PoolId(7),
        identity: "m".to_owned(),
    };
    assert_eq!(remove.endpoint().route.method, Method::PATCH);
    assert_eq!(remove.endpoint().route.body, Some(json!(["m"])));
    assert_eq!(remove.read(b""), Some(()));
}

#[test]
fn the_newest_agent_is_the_first_of_the_list() {
    let packages = json!({"count": 1, "value": [{"version": {"major": 4, "minor": 272, "patch": 0}}]});
    assert_eq!(read(&NewestAgent, &packages), Some(Some("4.272.0".to_owned())));
    assert_eq!(read(&NewestAgent, &json!({"count": 0, "value": []})), Some(None));
}

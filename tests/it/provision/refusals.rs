//! What cannot be done is said, with a reason, and leaves nothing half done behind.

use azure_emulators::ado::{License, Role};
use azure_emulators::entra::Kind;
use azure_emulators::faults::{Fault, Rule};
use tests::provisioning::{ORGANIZATION, PLACEHOLDER, POOL, Said, Stage, said};

async fn fails(stage: &Stage, reason: &str, arguments: &[&str]) -> Said {
    let said = stage.run("provision", arguments).await;
    assert_eq!(
        (said.code, said.reason().as_str()),
        (Some(1), reason),
        "{arguments:?}: {said:?}"
    );
    let json = said.json();
    let phases = json["phases"].as_array().expect("a list");
    let failed = phases.last().expect("one failed");
    assert!(failed["fix"].as_str().is_some_and(|fix| fix.len() > 20), "{failed}");
    said
}

#[tokio::test]
async fn a_caller_who_is_not_an_administrator_is_told_what_is_missing() {
    let stage = Stage::start().await.expect("a stage");
    let somebody = stage.entra.add_identity(&stage.agents.tenant, Kind::User, "somebody");
    stage.ado.add_member(ORGANIZATION, &somebody, License::Basic);
    stage.sign_in(&somebody).expect("it is writable");
    let said = fails(&stage, "right-missing", &[]).await;
    assert!(said.out.contains("Project Collection Administrator"), "{}", said.out);
    // The pool's own administrator can give roles, and no more.
    let said = fails(&stage, "right-missing", &["pool"]).await;
    assert!(said.out.contains("Administrator of all pools"), "{}", said.out);
    assert!(stage.view().pools.is_empty());
    stage.ado.add_member(ORGANIZATION, &stage.agents, License::Basic);
    let pool = stage.ado.add_pool(ORGANIZATION, POOL);
    pool.set_role(&somebody, Some(Role::Reader));
    let said = fails(&stage, "right-missing", &["placeholder"]).await;
    assert!(said.out.contains("Administrator on the pool"), "{}", said.out);
    assert!(stage.view().agents(POOL).is_empty());
}

#[tokio::test]
async fn names_that_are_taken_are_named() {
    let stage = Stage::start().await.expect("a stage");
    let pool = stage.ado.add_pool(ORGANIZATION, POOL);
    // A pool that the person may not see is not in the list.
    stage
        .ado
        .faults()
        .add(Rule::new(Fault::PoolMissing).on("GET /_apis/distributedtask/pools"));
    fails(&stage, "pool-name-taken", &["pool"]).await;
    stage.ado.faults().clear();
    // The placeholder's name belongs to an agent that is at work.
    let other = stage
        .entra
        .add_identity(&stage.agents.tenant, Kind::ManagedIdentity, "other");
    let id = pool.add_agent(PLACEHOLDER, &[("Agent.OS", "Linux")]);
    let said = stage
        .run("provision", &["placeholder", "--capability", "docker=1"])
        .await;
    let json = said.json();
    assert_eq!(json["phases"][0]["reason"], "placeholder-foreign", "{said:?}");
    assert_eq!(stage.view().agent(POOL, PLACEHOLDER).expect("it is there").id, id);
    drop(other);
    // A federated credential of the name that ours would have.
    assert_eq!(stage.run("provision", &["identity", "credential"]).await.code, Some(0));
    let name = stage.credentials("azp-agent").remove(0);
    let file = stage.path(&format!("az/credentials/azp-agent/{name}.json"));
    let text = std::fs::read_to_string(&file).expect("it is there");
    std::fs::write(&file, text.replace("agents:azp-agent", "agents:changed")).expect("it is writable");
    let said = fails(&stage, "credential-name-taken", &["credential"]).await;
    assert!(said.out.contains("agents:changed"), "{}", said.out);
}

#[tokio::test]
async fn identities_of_another_tenant_are_refused_before_anything_is_asked() {
    let stage = Stage::start().await.expect("a stage");
    let other = "22222222-2222-2222-2222-222222222222";
    stage.entra.add_tenant(other, "fabrikam.example");
    let foreign = stage.entra.add_identity(other, Kind::ManagedIdentity, "azp-agent");
    stage.can_make(&foreign).expect("it is writable");
    let said = fails(&stage, "tenant-mismatch", &[]).await;
    assert!(said.out.contains(other), "{}", said.out);
    assert_eq!(stage.view().count("POST serviceprincipalentitlements"), 0);
    // With a typed ID nobody knows the tenant, and Azure DevOps refuses it with status 200.
    for object_id in [&foreign.object_id, &stage.agents.registration_id] {
        let said = fails(&stage, "user-refused", &["user", "--agents-object-id", object_id]).await;
        assert!(said.out.contains("VS403283"), "{}", said.out);
    }
    // Who signs in there is told which tenant it has to be.
    let administrator = stage.entra.add_identity(other, Kind::User, "administrator");
    stage.sign_in(&administrator).expect("it is writable");
    let said = fails(&stage, "token-refused", &["pool"]).await;
    assert!(said.out.contains(tests::provisioning::TENANT), "{}", said.out);
}

#[tokio::test]
async fn wrong_arguments_are_explained_and_change_nothing() {
    let stage = Stage::start().await.expect("a stage");
    for (arguments, reason) in [
        (&["pool", "--url", "https://127.0.0.1:1/example"][..], "ado-unreachable"),
        (&["pool", "--ca-file", "/etc/hostname"], ""),
        (&["identity", "--resource-group", "other"], "az-failed"),
        (&["credential", "--kubeconfig", "/nonexistent"], "issuer-unknown"),
        (&["role", "--agents-object-id", &stage.agents.object_id], "pool-missing"),
        (&["user", "--agents", "nobody"], "ids-unknown"),
    ] {
        let said = run_with(&stage, arguments).await;
        assert_eq!(said.code, Some(1), "{arguments:?}: {said:?}");
        // Certificates that are none are found before there is a phase, or by the first request.
        if !reason.is_empty() {
            assert_eq!(said.reason(), reason, "{arguments:?}: {said:?}");
        }
    }
    assert_eq!(stage.run("provision", &["nonsense"]).await.code, Some(64));
    assert!(stage.view().pools.is_empty() && stage.identities().is_empty());
    std::fs::remove_file(stage.path("az/signed-in")).expect("it is there");
    let said = stage.run("provision", &["pool"]).await;
    assert!(said.code == Some(1) && said.err.contains("az login"), "{said:?}");
}

/// As [`Stage::run`], where the arguments replace the usual ones of the same name.
async fn run_with(stage: &Stage, arguments: &[&str]) -> Said {
    let (url, ca) = (stage.url(), stage.path("ca.pem"));
    let usual = [
        ("--url", url.as_str()),
        ("--resource-group", "agents"),
        ("--ca-file", ca.to_str().expect("it is text")),
    ];
    let mut all = vec!["provision", "--output=json", "--wait=5s"];
    for (flag, value) in usual {
        if !arguments.contains(&flag) {
            all.extend([flag, value]);
        }
    }
    all.extend(arguments);
    said(stage.command(&all).expect("it is built")).await
}

#[tokio::test]
async fn the_token_stands_on_no_command_line_and_in_no_message() {
    let stage = Stage::start().await.expect("a stage");
    let token = stage.token(&stage.agents);
    std::fs::write(stage.path("az/token"), &token).expect("it is writable");
    let refused = stage.run("provision", &[]).await;
    assert_eq!(refused.code, Some(1), "an identity that is no user cannot add users");
    std::fs::write(stage.path("az/token"), "not a token").expect("it is writable");
    let unusable = stage.run("provision", &["pool"]).await;
    assert_eq!(unusable.code, Some(1), "{unusable:?}");
    let calls = stage.az_calls().join("\n");
    assert!(calls.contains("get-access-token"));
    for text in [&refused.out, &refused.err, &unusable.out, &unusable.err, &calls] {
        assert!(!text.contains(&token) && !text.contains("not a token"), "{text}");
    }
}

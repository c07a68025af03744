//! The reverse: what was made goes, what is used or may be somebody else's stays.

use azure_emulators::ado::{License, Role};
use tests::provisioning::{ORGANIZATION, POOL, Said, Stage};

async fn provisioned() -> Stage {
    let stage = Stage::start().await.expect("a stage");
    let said = stage.run("provision", &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    stage
}

fn reasons(said: &Said) -> Vec<String> {
    let json = said.json();
    let phases = json["phases"].as_array().cloned().unwrap_or_default();
    phases
        .iter()
        .filter_map(|phase| Some(format!("{} {}", phase["phase"].as_str()?, phase["reason"].as_str()?)))
        .collect()
}

#[tokio::test]
async fn everything_goes_in_reverse_and_a_second_run_finds_nothing() {
    let stage = provisioned().await;
    let before = stage.changes();
    let dry = stage
        .run("deprovision", &["--dry-run", "--confirm", "pool/kubernetes"])
        .await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert_eq!(stage.changes(), before);
    let would: Vec<String> = dry.outcomes();
    assert_eq!(
        would.iter().filter(|outcome| outcome.ends_with(" would-ask")).count(),
        10,
        "{would:?}"
    );

    // Nothing tells who made the pool, so it stays without a word for it.
    let said = stage.run("deprovision", &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(reasons(&said), ["pool not-confirmed"], "{said:?}");
    assert!(stage.identities().is_empty());
    assert!(stage.view().agents(POOL).is_empty());
    let pool = stage.view().pool(POOL).cloned().expect("it stayed");
    assert!(!pool.roles.contains_key("azp-agent") && !pool.roles.contains_key("azp-keda"));
    let order = [
        "keda",
        "placeholder",
        "role",
        "role",
        "pool",
        "user",
        "user",
        "credential",
        "credential",
        "identity",
        "identity",
    ];
    let phases: Vec<String> = said
        .outcomes()
        .iter()
        .filter_map(|outcome| Some(outcome.split_once(' ')?.0.to_owned()))
        .collect();
    assert_eq!(phases, order);

    let said = stage.run("deprovision", &["--confirm", "pool/kubernetes"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(stage.view().pools.is_empty());
    let before = stage.changes();
    let said = stage.run("deprovision", &["--confirm", "pool/kubernetes"]).await;
    assert_eq!((said.code, stage.changes()), (Some(0), before), "{said:?}");
    // And there again.
    assert_eq!(stage.run("provision", &[]).await.code, Some(0));
    assert_eq!(stage.role(&stage.agents), Some(Role::Administrator));
}

#[tokio::test]
async fn objects_that_are_in_use_stay() {
    let stage = provisioned().await;
    let pool = stage.ado.pool(ORGANIZATION, POOL).expect("it is there");
    pool.add_agent("agent-1", &[("Agent.OS", "Linux")]);
    let elsewhere = stage.ado.add_pool(ORGANIZATION, "gpu");
    elsewhere.set_role(&stage.keda, Some(Role::Reader));
    let folder = stage.path("az/credentials/azp-agent");
    let foreign = r#"{"name": "other", "issuer": "https://other.example", "subject": "s", "audiences": ["a"]}"#;
    std::fs::write(folder.join("other.json"), foreign).expect("it is writable");

    let confirm = [
        "--confirm",
        "pool/kubernetes",
        "--confirm",
        "user/azp-keda",
        "--confirm",
        "identity/azp-agent",
    ];
    let said = stage.run("deprovision", &confirm).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        reasons(&said),
        [
            "role still-used",
            "role still-used",
            "pool still-used",
            "user still-used",
            "user still-used",
            "identity still-used",
            "identity still-used"
        ],
        "{said:?}"
    );
    let view = stage.view();
    let [agent] = view.agents(POOL) else {
        panic!("only the placeholder goes: {:?}", view.agents(POOL))
    };
    assert_eq!(agent.name, "agent-1");
    assert_eq!(
        stage.role(&stage.agents),
        Some(Role::Administrator),
        "its agents could not be removed otherwise"
    );
    assert_eq!(stage.credentials("azp-agent"), ["other"]);
    assert_eq!(stage.identities(), ["azp-agent", "azp-keda"]);
}

#[tokio::test]
async fn objects_that_others_made_stay_until_they_are_named() {
    let stage = Stage::start().await.expect("a stage");
    // Identities that somebody made by hand carry no tag.
    for identity in [&stage.agents, &stage.keda] {
        let name = &identity.name;
        std::fs::copy(
            stage.path(&format!("az/can/{name}.json")),
            stage.path(&format!("az/identities/{name}.json")),
        )
        .expect("it is writable");
        std::fs::create_dir(stage.path(&format!("az/credentials/{name}"))).expect("it is writable");
        stage.ado.add_member(ORGANIZATION, identity, License::Basic);
    }
    let pool = stage.ado.add_pool(ORGANIZATION, POOL);
    pool.set_role(&stage.agents, Some(Role::Administrator));
    pool.set_role(&stage.keda, Some(Role::Reader));
    let before = stage.changes();
    let said = stage.run("deprovision", &[]).await;
    assert_eq!((said.code, stage.changes()), (Some(0), before), "{said:?}");
    let kept = reasons(&said);
    assert_eq!(
        kept.iter().filter(|kept| kept.ends_with("not-confirmed")).count(),
        3,
        "{kept:?}"
    );
    assert!(
        kept.contains(&"user still-used".to_owned()),
        "their roles stayed: {kept:?}"
    );

    let words = [
        "role/azp-agent",
        "role/azp-keda",
        "user/azp-agent",
        "user/azp-keda",
        "identity/azp-agent",
        "identity/azp-keda",
    ];
    let confirm: Vec<&str> = words.iter().flat_map(|word| ["--confirm", word]).collect();
    let said = stage.run("deprovision", &confirm).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(reasons(&said), ["pool not-confirmed"], "{said:?}");
    assert!(stage.identities().is_empty());
    assert_eq!(stage.view().pools.len(), 1);
}

//! Everything is made, once, whatever comes in between.

use azure_emulators::ado::{JobRefused, JobSpec, License, Role};
use std::process::Stdio;
use tests::provisioning::{ISSUER, ORGANIZATION, PLACEHOLDER, POOL, Said, Stage, said};
use tokio::io::AsyncWriteExt as _;

/// What there is to be in the end.
pub(crate) fn assert_all_is_there(stage: &Stage, said: &Said) {
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.identities(), ["azp-agent", "azp-keda"]);
    for identity in ["azp-agent", "azp-keda"] {
        assert_eq!(stage.credentials(identity).len(), 1, "{identity}");
    }
    assert_eq!(stage.role(&stage.agents), Some(Role::Administrator));
    assert_eq!(stage.role(&stage.keda), Some(Role::Reader));
    let view = stage.view();
    assert_eq!(view.pools.len(), 1);
    let pool = view.pool(POOL).expect("the pool is there");
    assert!(!pool.auto_provision && !pool.auto_update);
    let [placeholder] = view.agents(POOL) else {
        panic!("{:?}", view.agents(POOL))
    };
    assert_eq!(placeholder.name, PLACEHOLDER);
    assert!(placeholder.enabled && !placeholder.online && !placeholder.can_listen);
    assert_eq!(placeholder.version, "4.272.0", "the newest, whatever a job demands");
    assert_eq!(placeholder.system_capabilities["Agent.OS"], "Linux");
    let mark = &placeholder.user_capabilities[cli::keep::PLACEHOLDER_CAPABILITY];
    assert_eq!(mark, cli::keep::MADE_HERE, "keep looks after it");
}

#[tokio::test]
async fn everything_is_made_and_a_second_run_changes_nothing() {
    let stage = Stage::start().await.expect("a stage");
    let first = stage
        .run("provision", &["--capability", "docker=/usr/bin/docker"])
        .await;
    assert_all_is_there(&stage, &first);
    let placeholder = stage.view().agent(POOL, PLACEHOLDER).cloned().expect("it is there");
    assert_eq!(placeholder.system_capabilities["docker"], "/usr/bin/docker");
    assert_eq!(
        first.outcomes(),
        [
            "identity done",
            "identity done",
            "credential done",
            "credential done",
            "user done",
            "user done",
            "pool done",
            "role done",
            "role done",
            "placeholder done",
            "keda there"
        ]
    );
    let json = first.json();
    assert_eq!(
        json["identities"]["agents"]["clientId"],
        stage.agents.client_id.as_str()
    );
    assert_eq!(json["identities"]["keda"]["objectId"], stage.keda.object_id.as_str());
    let manifest = json["documents"]["keda-trigger-authentication.yaml"]
        .as_str()
        .expect("a manifest");
    assert!(
        manifest.contains(&format!("identityId: \"{}\"", stage.keda.client_id)),
        "{manifest}"
    );
    // The trust is in this cluster, byte for byte.
    let credential = &stage.credentials("azp-agent")[0];
    let file = stage.path(&format!("az/credentials/azp-agent/{credential}.json"));
    let credential: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file).expect("it is there")).expect("it is JSON");
    assert_eq!(credential["issuer"], ISSUER);
    assert_eq!(credential["subject"], "system:serviceaccount:agents:azp-agent");
    assert_eq!(credential["audiences"][0], contract::DEFAULT_AUDIENCE);

    let before = stage.changes();
    let second = stage.run("provision", &[]).await;
    assert_all_is_there(&stage, &second);
    assert_eq!(stage.changes(), before, "{second:?}");
    assert!(
        second.outcomes().iter().all(|outcome| outcome.ends_with(" there")),
        "{second:?}"
    );
    // One more capability, and nothing else.
    let third = stage
        .run("provision", &["placeholder", "--capability", "java=17"])
        .await;
    assert_eq!(third.outcomes(), ["placeholder done"]);
    let extended = stage.view().agent(POOL, PLACEHOLDER).cloned().expect("it is there");
    assert_eq!(extended.id, placeholder.id);
    assert_eq!(extended.system_capabilities["docker"], "/usr/bin/docker");
    assert_eq!(extended.system_capabilities["java"], "17");
    assert_eq!(stage.changes(), before + 1);
}

#[tokio::test]
async fn an_empty_pool_refuses_jobs_until_it_has_run() {
    let stage = Stage::start().await.expect("a stage");
    let pool = stage.ado.add_pool(ORGANIZATION, POOL);
    assert!(matches!(
        pool.queue_job(JobSpec::script("true")),
        Err(JobRefused::NoAgent(_))
    ));
    let said = stage.run("provision", &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    // It was there, and stays as it is: what is unwise about it is said.
    let json = said.json();
    let phases = json["phases"].as_array().expect("a list");
    let of_pool = phases
        .iter()
        .find(|phase| phase["phase"] == "pool")
        .expect("it was looked at");
    assert_eq!(of_pool["reason"], "pool-updates-agents");
    pool.queue_job(JobSpec::script("true"))
        .expect("the placeholder could take it");
}

/// Whoever breaks it off, wherever: the next run goes on, and nothing is there twice.
#[tokio::test]
async fn a_dry_run_prints_what_would_be_asked_and_asks_nothing_that_changes() {
    let stage = Stage::start().await.expect("a stage");
    let said = stage.run("provision", &["--dry-run"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.changes(), 0);
    let outcomes = said.outcomes();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| outcome.ends_with(" would-ask"))
            .count(),
        10,
        "{outcomes:?}"
    );
    let json = said.json();
    let asked: Vec<_> = json["phases"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|phase| &phase["asked"][0])
        .collect();
    assert!(
        asked[0]["az"]
            .as_str()
            .is_some_and(|line| line.starts_with("az identity create ")),
        "{asked:?}"
    );
    assert_eq!(asked[6]["method"], "POST");
    assert_eq!(asked[6]["body"]["autoUpdate"], false);
    assert!(
        asked[7]["url"]
            .as_str()
            .is_some_and(|url| url.contains("/resources/POOL_ID?")),
        "{asked:?}"
    );
    assert_eq!(asked[7]["body"][0]["roleName"], "Administrator");

    // For people: the same as lines on standard output, and nothing where all is there.
    let (url, ca) = (stage.url(), stage.path("ca.pem"));
    let ca = ca.to_str().expect("it is text");
    let arguments = [
        "provision",
        "--url",
        &url,
        "--resource-group=agents",
        "--ca-file",
        ca,
        "--dry-run",
    ];
    let lines = said_of(&stage, &arguments).await.out;
    assert!(
        lines.contains("az identity federated-credential create ") && lines.contains("POST https://"),
        "{lines}"
    );
    assert_eq!(stage.changes(), 0);
    assert_eq!(stage.run("provision", &[]).await.code, Some(0));
    let before = stage.changes();
    let again = stage.run("provision", &["--dry-run"]).await;
    assert!(!again.out.contains("would-ask"), "{again:?}");
    assert_eq!(stage.changes(), before);
}

async fn said_of(stage: &Stage, arguments: &[&str]) -> Said {
    said(stage.command(arguments).expect("it is built")).await
}

#[tokio::test]
async fn without_az_its_lines_and_a_template_are_printed_and_the_rest_works_with_ids() {
    let stage = Stage::start().await.expect("a stage");
    let (url, ca) = (stage.url(), stage.path("ca.pem"));
    let token = stage.token(&stage.administrator);
    let run = async |arguments: &[&str]| {
        let usual = [
            "provision",
            "--output=json",
            "--url",
            &url,
            "--ca-file",
            ca.to_str().expect("text"),
        ];
        let arguments = [&usual[..], &["--token-file=-"], arguments].concat();
        let mut command = stage.command(&arguments).expect("it is built");
        command
            .env("PATH", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(token.as_bytes()).await.expect("it reads its token");
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    let said = run(&["--resource-group=agents", "--issuer", ISSUER]).await;
    assert_eq!((said.code, said.reason().as_str()), (Some(1), "az-missing"), "{said:?}");
    let json = said.json();
    let bicep = json["documents"]["identities.bicep"].as_str().expect("a template");
    assert!(bicep.contains(&format!("param issuer string = '{ISSUER}'")), "{bicep}");
    let fix = json["phases"][0]["fix"].as_str().expect("a fix");
    assert!(
        fix.contains("az identity create ") && fix.contains("federated-credential create "),
        "{fix}"
    );

    let ids = [
        "--agents-object-id",
        &stage.agents.object_id,
        "--keda-object-id",
        &stage.keda.object_id,
        "--keda-client-id",
        &stage.keda.client_id,
    ];
    let phases = ["user", "pool", "role", "placeholder", "keda"];
    let said = run(&[&phases[..], &ids[..]].concat()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.role(&stage.agents), Some(Role::Administrator));
    assert!(said.json()["documents"]["keda-trigger-authentication.yaml"].is_string());
}

#[tokio::test]
async fn without_keda_there_is_nothing_of_it() {
    let stage = Stage::start().await.expect("a stage");
    let said = stage.run("provision", &["--without-keda"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.identities(), ["azp-agent"]);
    assert_eq!(stage.role(&stage.agents), Some(Role::Administrator));
    assert_eq!(stage.role(&stage.keda), None);
    assert!(stage.view().agents(POOL).is_empty());
}

#[tokio::test]
async fn a_user_among_many_is_found_and_a_poor_license_is_raised() {
    let stage = Stage::start().await.expect("a stage");
    for number in 0..120 {
        let kind = azure_emulators::entra::Kind::ManagedIdentity;
        let other = stage
            .entra
            .add_identity(&stage.agents.tenant, kind, &format!("a-{number:03}"));
        stage.ado.add_member(ORGANIZATION, &other, License::Basic);
    }
    stage.ado.add_member(ORGANIZATION, &stage.agents, License::Basic);
    stage.ado.add_member(ORGANIZATION, &stage.keda, License::Stakeholder);
    let said = stage.run("provision", &[]).await;
    assert_all_is_there(&stage, &said);
    let users: Vec<String> = said
        .outcomes()
        .into_iter()
        .filter(|outcome| outcome.starts_with("user"))
        .collect();
    assert_eq!(users, ["user there", "user done"]);
    assert_eq!(stage.view().count("POST serviceprincipalentitlements"), 1);
}

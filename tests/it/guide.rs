//! The guide of the Azure side, docs/azure.md, followed as a person follows it, against the emulators and a stub of `az`; and its
//! defaults beside the examples. What it says of the command in detail is in `provision.rs`.

use azure_emulators::ado::Role;
use cli::problem::Word;
use cli::provision::ProvisionReason;
use std::os::unix::fs::PermissionsExt as _;
use tests::kustomize::{documents, find};
use tests::programs::{program, repository};
use tests::provisioning::{PLACEHOLDER, POOL, Stage, default_of, said};
use tokio::process::Command;

fn page() -> String {
    std::fs::read_to_string(repository().join("docs/azure.md")).expect("the page is there")
}

/// The commands of the page's first block that are this project's, as they are typed.
fn commands(page: &str) -> Vec<&str> {
    let block = page.split("```sh\n").nth(1).expect("the page has commands");
    let block = block.split("```").next().unwrap_or_default();
    let ours = |line: &&str| line.starts_with("export ") || line.starts_with("ado-agent ");
    block.lines().filter(ours).collect()
}

#[tokio::test]
async fn the_commands_of_the_page_do_what_the_page_says() {
    let stage = Stage::start().await.expect("a stage");
    // The private CA that stands between a test and Azure is all that is added to what is typed.
    let ado_agent = format!(
        "#!/bin/sh\nexec {} \"$@\" --ca-file {}\n",
        program("ado-agent").expect("it is built").display(),
        stage.path("ca.pem").display()
    );
    let file = stage.path("bin/ado-agent");
    std::fs::write(&file, ado_agent).expect("the folder is writable");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("it is ours");

    let page = page();
    let typed = commands(&page);
    assert!(
        typed.iter().any(|line| line.starts_with("ado-agent provision ")),
        "{typed:?}"
    );
    let script = typed.join("\n").replace("https://dev.azure.com/example", &stage.url());
    assert!(script.contains(&stage.url()), "{script}");
    let mut command = Command::new("bash");
    command.args(["-euc", &script]).current_dir(stage.path("."));
    stage.surround(&mut command);
    let said = said(command).await;
    assert_eq!(said.code, Some(0), "{said:?}");

    assert_eq!(stage.role(&stage.agents), Some(Role::Administrator));
    assert_eq!(stage.role(&stage.keda), Some(Role::Reader));
    assert!(stage.view().agent(POOL, PLACEHOLDER).is_some());
    // The file that the page has applied is the example, with KEDA's client ID.
    let written = std::fs::read_to_string(stage.path("keda.yaml")).expect("the page writes it");
    let written: serde_json::Value = serde_saphyr::from_str(&written).expect("it is YAML");
    let mut example = documents("manifests/examples/keda-trigger-authentication.yaml")
        .expect("it is YAML")
        .remove(0);
    example["spec"]["podIdentity"]["identityId"] = stage.keda.client_id.as_str().into();
    assert_eq!(written, example);
    // And what is left to do is said, with the client ID of the agents.
    let next = format!("{}={}", contract::AZWI_CLIENT_ID_ANNOTATION, stage.agents.client_id);
    assert!(said.err.contains(&next), "{}", said.err);
}

#[test]
fn the_defaults_are_those_of_the_examples() {
    let objects = documents("manifests/examples/deployment.yaml").expect("it is YAML");
    let account = find(&objects, "ServiceAccount", "azp-agent").expect("there is one");
    let metadata = &account["metadata"];
    let account = format!(
        "{}/{}",
        metadata["namespace"].as_str().expect("a namespace"),
        metadata["name"].as_str().expect("a name")
    );
    assert_eq!(default_of("agents-service-account"), account);
    assert_eq!(default_of("keda-service-account"), "keda/keda-operator");
    assert_eq!(default_of("audience"), contract::DEFAULT_AUDIENCE);
    assert_eq!(default_of("placeholder"), PLACEHOLDER);
    let map = find(&objects, "ConfigMap", "azp-agent").expect("there is one");
    let pool = map["data"][contract::AZP_POOL_VARIABLE].as_str().expect("a pool");
    assert_eq!(default_of("pool"), pool);
}

#[test]
fn the_page_explains_every_reason_that_provisioning_gives() {
    let page = page();
    let table = page
        .split("## When a phase fails")
        .nth(1)
        .expect("the page has the table");
    let (own, shared) = (ProvisionReason::WORDS, ProvisionReason::SHARED);
    for Word { word, docs, .. } in own.iter().chain(shared) {
        let row = table.lines().find(|line| line.starts_with(&format!("| `{word}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/azure.md does not explain {word}"));
        let meaning: Vec<&str> = docs.iter().map(|line| line.trim()).collect();
        assert!(row.contains(&meaning.join(" ")), "{row}");
        let advice = row.split('|').nth(3).unwrap_or_default().trim();
        assert!(advice.len() > 10, "{word}: {advice:?} tells nobody what to do");
    }
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, own.len() + shared.len(), "the table has words that nobody says");
}

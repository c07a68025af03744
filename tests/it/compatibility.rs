//! Webhooks and sidecars of different releases. `tests/it/compatibility/RELEASE` holds the sidecar's container as the webhook of that
//! release wrote it, for the cases below. What an older webhook wrote is read by this sidecar; what this webhook writes has all that an
//! older sidecar read. The table in `docs/support.md` says so.

use azure_emulators::tls::install_provider;
use contract::{CONTRACT_VARIABLE, Reason, RefusalReason, SIDECAR_CONTAINER};
use serde_json::Value;
use sidecar::Config;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tests::programs::repository;

const FOLDER: &str = "tests/it/compatibility";
/// Cases of `webhook/inject/testdata` that give the sidecar each kind of what it can be given.
const CASES: [&str; 7] = [
    "azwi-identity-binding",
    "ca-config-map",
    "deployment",
    "gateway",
    "gateway-once",
    "gateway-own-exchange",
    "job",
];
const PAGE: &str = "docs/support.md";
const BEGIN: &str = "<!-- compatibility: rendered by tests/it/compatibility.rs -->\n";
const END: &str = "<!-- compatibility: end -->";

fn refresh() -> bool {
    std::env::var_os("UPDATE_GOLDENS").is_some()
}

/// The sidecar's container as this webhook writes it; the tests of `inject` hold that.
fn current(case: &str) -> Value {
    let file = repository()
        .join("webhook/inject/testdata")
        .join(case)
        .join("pod.patched.json");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let pod: Value = serde_json::from_str(&text).expect("it is JSON");
    let containers = pod["spec"]["initContainers"].as_array().expect("there are some");
    let sidecar = containers
        .iter()
        .find(|container| container["name"] == SIDECAR_CONTAINER);
    sidecar.expect("the webhook added it").clone()
}

/// Every release with its recorded containers, by case. That of this version is refreshed on demand, an older one never.
fn releases() -> BTreeMap<String, BTreeMap<String, Value>> {
    let folder = repository().join(FOLDER);
    if refresh() {
        let this = folder.join(env!("CARGO_PKG_VERSION"));
        std::fs::create_dir_all(&this).expect("the folder is writable");
        for case in CASES {
            let text = serde_json::to_string_pretty(&current(case)).expect("it is JSON");
            std::fs::write(this.join(format!("{case}.json")), format!("{text}\n")).expect("the folder is writable");
        }
    }
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let list = |folder: &PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.expect("it can be listed").path()).collect()
    };
    let mut releases = BTreeMap::new();
    for release in list(&folder) {
        let mut cases = BTreeMap::new();
        for file in list(&release) {
            let text = std::fs::read_to_string(&file).expect("it can be read");
            cases.insert(name(&file), serde_json::from_str(&text).expect("it is JSON"));
        }
        assert!(cases.len() >= CASES.len(), "{}: {:?}", release.display(), cases.keys());
        let release = release.file_name().expect("a name").to_string_lossy().into_owned();
        releases.insert(release, cases);
    }
    assert!(releases.contains_key("0.1.0"), "{:?}", releases.keys());
    releases
}

fn variables(container: &Value) -> BTreeMap<&str, &Value> {
    let variables = container["env"].as_array().expect("it has variables").iter();
    variables
        .map(|variable| (variable["name"].as_str().expect("a name"), variable))
        .collect()
}

fn contract_of(container: &Value) -> String {
    let variable = variables(container)[CONTRACT_VARIABLE];
    variable["value"].as_str().expect("a literal").to_owned()
}

/// What the kubelet makes of the variables, in a pod whose ConfigMap says the organization and the pool and nothing else.
fn environment(container: &Value) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = BTreeMap::new();
    for variable in container["env"].as_array().expect("it has variables") {
        let name = variable["name"].as_str().expect("a name");
        let value = match (&variable["value"], &variable["valueFrom"]) {
            (Value::String(literal), _) => {
                let known = environment.iter();
                Some(known.fold(literal.clone(), |text, (name, value)| {
                    text.replace(&format!("$({name})"), value)
                }))
            }
            (_, from) if from["fieldRef"].is_object() => Some("7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned()),
            (_, from) => match from["configMapKeyRef"]["key"].as_str() {
                Some("AZP_URL") => Some("https://dev.azure.com/example".to_owned()),
                Some("AZP_POOL") => Some("kubernetes".to_owned()),
                _ => None,
            },
        };
        environment.extend(value.map(|value| (name.to_owned(), value)));
    }
    // azwi's, which its own webhook adds with identity binding.
    if environment.contains_key(contract::AZWI_IDENTITY_VARIABLE) {
        for (name, value) in [
            (
                contract::AZURE_CLIENT_ID_VARIABLE,
                "11111111-2222-3333-4444-555555555555",
            ),
            (
                contract::AZURE_TENANT_ID_VARIABLE,
                "99999999-8888-7777-6666-555555555555",
            ),
            (
                contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE,
                "/var/run/secrets/azure/tokens/azure-identity-token",
            ),
            (
                contract::AZURE_AUTHORITY_HOST_VARIABLE,
                "https://login.microsoftonline.com/",
            ),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
    }
    // A file of the pod's, which is not here.
    environment.remove(contract::CA_FILE_VARIABLE);
    environment
}

#[test]
fn this_sidecar_reads_what_every_released_webhook_wrote() {
    install_provider();
    let mut read = 0;
    for (release, cases) in releases() {
        for (case, container) in cases {
            let environment = environment(&container);
            let config = Config::read(|name| environment.get(name).cloned());
            match config {
                Config::Ready { .. } => {
                    assert_eq!(
                        contract_of(&container),
                        contract::VERSION.to_string(),
                        "{release}: {case}"
                    );
                }
                Config::Refused { refusal, .. } => {
                    assert_ne!(
                        contract_of(&container),
                        contract::VERSION.to_string(),
                        "{release}: {case}: {}",
                        refusal.sentence
                    );
                    assert_eq!(refusal.reason, RefusalReason::ContractUnknown, "{release}: {case}");
                }
            }
            read += 1;
        }
    }
    assert!(read >= CASES.len(), "{read}");
}

#[test]
fn a_released_sidecar_finds_all_that_it_read_in_what_this_webhook_writes() {
    for (release, cases) in releases() {
        for (case, released) in cases {
            let place = format!(
                "{release}: {case}: a sidecar of that release would miss something; where that is meant, raise contract::VERSION"
            );
            if contract_of(&released) != contract::VERSION.to_string() {
                continue;
            }
            let current = current(&case);
            for path in [
                "/command",
                "/args",
                "/startupProbe/exec",
                "/readinessProbe/exec",
                "/lifecycle/preStop",
                "/restartPolicy",
            ] {
                assert_eq!(released.pointer(path), current.pointer(path), "{place}: {path}");
            }
            let now = variables(&current);
            for (name, variable) in variables(&released) {
                assert_eq!(Some(&variable), now.get(name), "{place}: {name}");
            }
            let mounts = |container: &Value| -> Vec<Value> {
                let mounts = container["volumeMounts"].as_array().expect("it has mounts").iter();
                mounts.map(|mount| mount["mountPath"].clone()).collect()
            };
            let now = mounts(&current);
            for mount in mounts(&released) {
                assert!(now.contains(&mount), "{place}: {mount}");
            }
        }
    }
}

/// Older or newer, and whatever else the environment says.
#[test]
fn another_contract_lets_no_agent_start() {
    install_provider();
    let mut environment = environment(&current("deployment"));
    for other in [contract::VERSION - 1, contract::VERSION + 1] {
        environment.insert(CONTRACT_VARIABLE.to_owned(), other.to_string());
        let Config::Refused { refusal, .. } = Config::read(|name| environment.get(name).cloned()) else {
            panic!("contract {other} is not ours");
        };
        assert_eq!(refusal.reason, RefusalReason::ContractUnknown);
    }
}

#[test]
fn the_table_says_which_work_together() {
    let reason = Reason::from(RefusalReason::ContractUnknown);
    let word = |same: bool| {
        if same {
            "works".to_owned()
        } else {
            format!("no agent starts: `{}`", reason.as_str())
        }
    };
    let mut table = String::from(
        "| release | contract | its webhook, this sidecar | this webhook, its sidecar |\n| --- | --- | --- | --- |\n",
    );
    for (release, cases) in releases() {
        let contract = contract_of(&cases["deployment"]);
        let said = word(contract == contract::VERSION.to_string());
        table.push_str(&format!("| {release} | {contract} | {said} | {said} |\n"));
    }
    let said = word(false);
    table.push_str(&format!(
        "| any | another than {} | {said} | {said} |\n",
        contract::VERSION
    ));
    let file = repository().join(PAGE);
    let page = std::fs::read_to_string(&file).expect(PAGE);
    let begin = page.find(BEGIN).expect("the page has a place for the table") + BEGIN.len();
    let end = page.find(END).expect("the place has an end");
    let rendered = format!("{}{table}{}", &page[..begin], &page[end..]);
    if refresh() {
        std::fs::write(&file, &rendered).expect("the page is writable");
        return;
    }
    assert!(
        rendered == page,
        "the table in {PAGE} is out of date; refresh it: UPDATE_GOLDENS=1 cargo test -p tests --test compatibility"
    );
}

//! The table of images in `docs/gateway.md`: it is what the code says, and the webhook does what it says.

use contract::{HANDOFF_ANNOTATION, INJECT_LABEL, TICKET, gateway_url};
use inject::{ClusterFacts, Context, Decision, Request, ServiceAccount, Settings};
use serde_json::{Value, json};
use tests::demo::stage::SCRIPTS;
use tests::images::{IMAGES, Image, Place, Verdict, table};
use tests::programs::repository;

#[test]
fn the_table_of_images_is_what_the_code_says() {
    let file = repository().join("docs/gateway.md");
    let page = std::fs::read_to_string(&file).expect("docs/gateway.md");
    let start = page.find("| image |").expect("the page has the table");
    let end = start + page[start..].find("\n\n").expect("something follows the table") + 1;
    let rendered = format!("{}{}{}", &page[..start], table(), &page[end..]);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&file, &rendered).expect("docs/gateway.md is writable");
        return;
    }
    assert!(
        rendered == page,
        "the table in docs/gateway.md is out of date; refresh it: UPDATE_GOLDENS=1 cargo test -p tests --test reference"
    );
}

#[test]
fn every_stand_in_is_a_start_script_that_is_tested() {
    for image in IMAGES {
        assert!(
            image.stand_in.is_none_or(|script| SCRIPTS.contains(&script)),
            "{}",
            image.name
        );
    }
}

/// The pod as its owner wrote it before there was a gateway, with the handoff and the annotations of the table.
fn pod(image: &Image) -> Value {
    let mut annotations = json!({
        HANDOFF_ANNOTATION: "gateway",
        "ado-agent.dev/pool": "kubernetes",
    });
    for (key, value) in image.annotations {
        annotations[*key] = json!(value);
    }
    let mut env = Vec::new();
    match image.url {
        Place::Url(name) => {
            env.push(json!({ "name": name, "value": "https://dev.azure.com/contoso" }));
            if name != "AZDO_URL" {
                annotations["ado-agent.dev/url"] = json!("https://dev.azure.com/contoso");
            }
        }
        Place::Name(name) => env.push(json!({ "name": name, "value": "contoso" })),
        Place::Nowhere => {}
    }
    env.extend(
        image
            .token
            .map(|name| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": "azp", "key": "token" } } })),
    );
    json!({
        "metadata": { "labels": { INJECT_LABEL: "true" }, "annotations": annotations },
        "spec": { "containers": [{ "name": "agent", "env": env }] },
    })
}

/// With the defaults of all settings, and an account that names its client ID.
pub(super) fn decide(pod: &Value) -> Decision {
    let settings = Settings::read(|name| (name == "sidecar-image").then(|| "sidecar:1".to_owned())).expect("right");
    let cluster = ClusterFacts {
        id: "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
        native_sidecars: true,
    };
    let account = ServiceAccount::Found {
        client_id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
        tenant_id: None,
    };
    let context = Context {
        settings: &settings,
        cluster: &cluster,
    };
    inject::decide(pod, &Request::create_pod("agents"), &account, context)
}

#[test]
fn the_webhook_does_what_the_table_says() {
    let mut works = 0;
    for image in IMAGES {
        let name = image.name;
        let mut pod = pod(image);
        let decision = decide(&pod);
        if image.url == Place::Name(contract::VSTS_ACCOUNT_VARIABLE) {
            assert_eq!(decision.reason(), "gateway-impossible", "{name}");
        }
        if let Verdict::Not(_) = image.verdict {
            continue;
        }
        works += 1;
        let Decision::Inject(injection) = decision else {
            panic!("{name}: {decision:?}");
        };
        let patch: json_patch::Patch = serde_json::from_slice(&injection.patch).expect("a patch");
        json_patch::patch(&mut pod, &patch).expect("it applies");
        let env = pod["spec"]["containers"][0]["env"]
            .as_array()
            .expect("variables")
            .clone();
        let value = |name: &str| {
            let last = env.iter().rfind(|entry| entry["name"] == name);
            last.and_then(|entry| entry["value"].as_str()).map(str::to_owned)
        };
        let Place::Url(variable) = image.url else {
            panic!("{name} works, but does not read a URL");
        };
        assert_eq!(value(variable), Some(gateway_url(7649)), "{name}: {variable}");
        match image.token {
            Some(variable) => assert_eq!(value(variable).as_deref(), Some(TICKET), "{name}: {variable}"),
            None => {
                let authority = value(contract::AZURE_AUTHORITY_HOST_VARIABLE);
                assert_eq!(authority.as_deref(), Some("http://127.0.0.1:7649/"), "{name}");
            }
        }
    }
    assert!(works > 15, "{works}");
}

//! Entra: the exchange and every way in which it is refused.

use crate::{Answer, SOON};
use azure_emulators::cluster_issuer::Mint;
use azure_emulators::entra::{AZURE_DEVOPS, CODES, Kind};
use azure_emulators::faults::{Fault, Rule};
use azure_emulators::jwt::Token;
use azure_emulators::world::{Settings, TENANT, World};
use serde_json::Value;
use std::time::Duration;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The form of a right request.
pub(crate) fn form(world: &World, assertion: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", world.agents.client_id.clone()),
        ("scope", format!("{AZURE_DEVOPS}/.default")),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
        ),
        ("client_assertion", assertion.to_owned()),
    ]
}

pub(crate) async fn post(world: &World, tenant: &str, form: &[(&str, String)]) -> Answer {
    let url = format!("{}/{tenant}/oauth2/v2.0/token", world.authority_url());
    Answer::of(world.client().post(url).form(form)).await
}

pub(crate) async fn exchange(world: &World, assertion: &str) -> Answer {
    post(world, TENANT, &form(world, assertion)).await
}

/// The AADSTS code of a refusal, checked for the shape of the whole body.
pub(crate) fn code(answer: &Answer) -> u64 {
    let code = answer.body["error_codes"][0]
        .as_u64()
        .unwrap_or_else(|| panic!("{}", answer.body));
    let text = answer.body["error_description"].as_str().unwrap();
    assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
    for part in ["Trace ID: ", "Correlation ID: ", "Timestamp: "] {
        assert!(text.contains(part), "{text}");
    }
    for member in ["error", "timestamp", "trace_id", "correlation_id", "error_uri"] {
        assert!(answer.body[member].is_string(), "{member} in {}", answer.body);
    }
    code
}

#[tokio::test]
async fn a_projected_token_is_traded_for_one_that_azure_devops_takes() {
    let world = World::start().await.unwrap();
    let answer = exchange(&world, &world.assertion()).await.ok();
    assert_eq!(answer["token_type"], "Bearer");
    let lifetime = answer["expires_in"].as_i64().unwrap();
    assert!((3599..5400).contains(&lifetime), "{lifetime}");
    assert!(answer.get("expires_on").is_none() && answer.get("refresh_in").is_none());

    let token = answer["access_token"].as_str().unwrap();
    let claims = Token::parse(token).unwrap().claims;
    assert_eq!(claims["aud"], AZURE_DEVOPS);
    assert_eq!(claims["tid"], TENANT);
    assert_eq!(claims["appid"], world.agents.client_id);
    assert_eq!(claims["oid"], world.agents.object_id);

    let asker = crate::Asker::new(&world, token.to_owned());
    assert_eq!(asker.get("distributedtask/pools?poolName=LINUX").await.ok()["count"], 1);
}

#[tokio::test]
async fn a_managed_identity_gets_a_day_and_is_told_when_to_refresh() {
    let world = World::with(Settings {
        kind: Kind::ManagedIdentity,
        ..Settings::default()
    })
    .await
    .unwrap();
    let answer = exchange(&world, &world.assertion()).await.ok();
    assert_eq!(answer["expires_in"], 86_399);
    assert_eq!(answer["refresh_in"], 43_199);
}

#[tokio::test]
async fn missing_and_invalid_parameters_are_named() {
    let world = World::start().await.unwrap();
    let assertion = world.assertion();
    let right = form(&world, &assertion);
    let without =
        |name: &str| -> Vec<(&str, String)> { right.iter().filter(|(key, _)| *key != name).cloned().collect() };
    let with = |name: &'static str, value: &str| {
        let mut changed = without(name);
        changed.push((name, value.to_owned()));
        changed
    };
    for name in ["grant_type", "client_id", "scope"] {
        let answer = post(&world, TENANT, &without(name)).await;
        assert_eq!(code(&answer), 900_144);
        assert!(
            answer.body["error_description"]
                .as_str()
                .unwrap()
                .contains(&format!("'{name}'"))
        );
    }
    let nobody = "00000000-0000-4000-8000-000000000000";
    let unknown_resource = format!("{nobody}/.default");
    let scope = |more: &str| format!("{AZURE_DEVOPS}/.default {more}");
    let libraries = with("scope", &scope("openid offline_access profile"));
    post(&world, TENANT, &libraries).await.ok();
    let two_resources = scope(&unknown_resource);
    let newline = format!("{assertion}\n");
    let cases = [
        (without("client_assertion"), 7_000_218),
        (with("grant_type", "authorization_code"), 70_003),
        (with("scope", AZURE_DEVOPS), 70_011),
        (with("scope", &two_resources), 70_011),
        (with("scope", "openid"), 70_011),
        (with("scope", &unknown_resource), 500_011),
        (with("client_id", nobody), 700_016),
        (with("client_assertion", "no.jwt"), 50_027),
        (with("client_assertion", &newline), 50_027),
        (with("client_secret", "hunter2"), 7_000_215),
    ];
    for (form, expected) in cases {
        assert_eq!(code(&post(&world, TENANT, &form).await), expected);
    }
    for (tenant, expected) in [
        ("common", 50_059),
        ("nonsense", 900_023),
        (nobody, 90_002),
        ("x.example", 90_002),
    ] {
        assert_eq!(code(&post(&world, tenant, &right).await), expected, "{tenant}");
    }
    post(&world, "contoso.onmicrosoft.com", &right).await.ok();

    let url = format!("{}/{TENANT}/oauth2/v2.0/token", world.authority_url());
    for bare in [world.client().get(&url), world.client().get(&url).json(&right)] {
        assert_eq!(code(&Answer::of(bare).await), 900_561);
    }
    let json: Value = right
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    assert_eq!(code(&Answer::of(world.client().post(&url).json(&json)).await), 900_144);
}

/// What published start scripts do with curl, word for word but for the address: the form goes as multipart, with POST or
/// with GET.
#[tokio::test]
async fn a_form_is_read_as_multipart_too_and_whatever_the_method() {
    let world = World::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    world.authority.write_pem(&file("ca.pem")).unwrap();
    std::fs::write(file("assertion"), world.assertion()).unwrap();
    for arguments in ["--location --request GET", "--location --request POST", ""] {
        let script = format!(
            r#"curl --silent --show-error --noproxy '*' --cacert "$CA" {arguments} \
            "$AZURE_AUTHORITY_HOST$AZURE_TENANT_ID/oauth2/v2.0/token" \
            --form 'grant_type="client_credentials"' \
            --form 'client_id="'"$AZURE_CLIENT_ID"'"' \
            --form 'scope="499b84ac-1321-427f-aa17-267ca6975798/.default"' \
            --form 'client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer"' \
            --form 'client_assertion="'"$(cat "$AZURE_FEDERATED_TOKEN_FILE")"'"'"#
        );
        let output = tokio::process::Command::new("bash")
            .args(["-c", &script])
            .env("CA", file("ca.pem"))
            .env("AZURE_AUTHORITY_HOST", format!("{}/", world.authority_url()))
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", &world.agents.client_id)
            .env("AZURE_FEDERATED_TOKEN_FILE", file("assertion"))
            .output()
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(answer["access_token"].is_string(), "{arguments}: {output:?}");
    }
}

#[tokio::test]
async fn resources_that_every_tenant_has_get_tokens_for_them() {
    let world = World::start().await.unwrap();
    let assertion = world.assertion();
    for (scope, audience) in [
        (
            "https://management.core.windows.net//.default",
            "https://management.core.windows.net/",
        ),
        ("https://management.azure.com/.default", "https://management.azure.com"),
        ("https://graph.microsoft.com/.default", "https://graph.microsoft.com"),
    ] {
        let mut form = form(&world, &assertion);
        form.retain(|(key, _)| *key != "scope");
        form.push(("scope", scope.to_owned()));
        let answer = post(&world, TENANT, &form).await.ok();
        let token = Token::parse(answer["access_token"].as_str().unwrap()).unwrap();
        assert_eq!(token.text("aud"), Some(audience));
    }
}

#[tokio::test]
async fn the_older_endpoint_takes_a_resource_and_writes_numbers_as_text() {
    let world = World::start().await.unwrap();
    let mut form = form(&world, &world.assertion());
    form.retain(|(key, _)| *key != "scope");
    let url = format!("{}/{TENANT}/oauth2/token", world.authority_url());
    let missing = Answer::of(world.client().post(&url).form(&form)).await;
    assert_eq!(code(&missing), 900_144);
    form.push(("resource", AZURE_DEVOPS.to_owned()));
    let answer = Answer::of(world.client().post(&url).form(&form)).await.ok();
    assert_eq!(answer["resource"], AZURE_DEVOPS);
    assert!(answer["expires_in"].is_string() && answer["expires_on"].is_string());
}

#[tokio::test]
async fn tenants_and_applications_can_be_refused_for_their_own_reasons() {
    let world = World::start().await.unwrap();
    let (entra, client) = (&world.entra, &world.agents.client_id);
    let assertion = world.assertion();

    entra.set_disabled(client, true);
    assert_eq!(code(&exchange(&world, &assertion).await), 7_000_112);
    entra.set_disabled(client, false);

    entra.set_blocked(client, Some(53_003));
    assert_eq!(code(&exchange(&world, &assertion).await), 53_003);
    entra.set_blocked(client, None);

    entra.set_azure_devops_installed(TENANT, false);
    assert_eq!(code(&exchange(&world, &assertion).await), 500_011);
    entra.set_azure_devops_installed(TENANT, true);

    entra.set_token_lifetime(client, Some(Duration::from_secs(5)));
    assert_eq!(exchange(&world, &assertion).await.ok()["expires_in"], 4);
}

#[tokio::test]
async fn every_code_can_be_injected() {
    let world = World::start().await.unwrap();
    let assertion = world.assertion();
    for known in CODES {
        world.entra.faults().once("POST **", Fault::Aadsts { code: known.code });
        let answer = exchange(&world, &assertion).await;
        assert_eq!(code(&answer), u64::from(known.code));
        assert_eq!(answer.status, known.status);
        assert_eq!(answer.body["error"], known.error);
    }
    let retry_after = Some("7".to_owned());
    world
        .entra
        .faults()
        .add(Rule::new(Fault::Throttle { retry_after }).times(1));
    let answer = exchange(&world, &assertion).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "7"));
    exchange(&world, &assertion).await.ok();
}

#[tokio::test]
async fn every_code_that_the_facts_name_is_known() {
    // facts: 5.4 of the Entra reference, in its order.
    let named = [
        90055, 50196, 50033, 50087, 90006, 90012, 90024, 90033, 90090, 90091, 70021, 700_211, 700_212, 700_213,
        7_002_137, 7_002_138, 50166, 90061, 700_024, 7_000_272, 700_027, 700_025, 70023, 700_016, 70001, 700_011,
        7_000_112, 90002, 900_023, 900_382, 900_432, 90038, 500_011, 650_052, 650_057, 70011, 53003, 530_032,
        7_000_215, 900_561, 900_144,
    ];
    for code in named {
        assert!(CODES.iter().any(|known| known.code == code), "{code}");
    }
}

#[tokio::test]
async fn discovery_documents_serve_microsofts_sdks() {
    let world = World::start().await.unwrap();
    let client = world.client();
    let url = format!(
        "{}/common/discovery/instance?api-version=1.1&authorization_endpoint=https%3A%2F%2Flogin.example%2F{TENANT}%2Foauth2%2Fv2.0%2Fauthorize",
        world.authority_url()
    );
    let instance = Answer::of(client.get(url)).await.ok();
    assert_eq!(
        instance["tenant_discovery_endpoint"],
        format!("https://login.example/{TENANT}/v2.0/.well-known/openid-configuration")
    );
    let aliases = |entry: &Value| entry["aliases"].as_array().unwrap().contains(&"login.example".into());
    assert!(instance["metadata"].as_array().unwrap().iter().any(aliases));

    let url = format!(
        "{}/{TENANT}/v2.0/.well-known/openid-configuration",
        world.authority_url()
    );
    let tenant = Answer::of(client.get(url)).await.ok();
    let endpoint = tenant["token_endpoint"].as_str().unwrap();
    Answer::of(client.post(endpoint).form(&form(&world, &world.assertion())))
        .await
        .ok();
    let keys = Answer::of(client.get(tenant["jwks_uri"].as_str().unwrap())).await.ok();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn exchanges_are_recorded_without_secrets() {
    let world = World::start().await.unwrap();
    let assertion = world.assertion();
    exchange(&world, &assertion).await.ok();
    exchange(&world, &world.issuer.mint(&Mint::new("other", "somebody"))).await;
    let view = world
        .entra
        .wait_until("two exchanges", SOON, |view| {
            view.exchanges.len() == 2 && view.requests.len() == 2
        })
        .await
        .unwrap();
    assert_eq!((view.issued(), view.refused(700_213)), (1, 1));
    let first = &view.exchanges[0];
    assert_eq!(first.subject.as_deref(), Some("system:serviceaccount:agents:azp-agent"));
    assert_eq!(first.name.as_deref(), Some("azp-agents"));
    let remembered = serde_json::to_string(&view).unwrap();
    assert!(!remembered.contains(assertion.rsplit('.').next().unwrap()));
}

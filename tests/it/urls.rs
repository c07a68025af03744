//! A URL's user info, query and fragment may hold a password or a token: no program repeats them, wherever the URL came from
//! and whether it is refused or not.

use contract::{HostList, HttpsUrl, OrganizationUrl};
use proptest::prelude::*;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tests::programs::program;

/// What must not appear in any output.
const CANARY: &str = "s3cret";

/// Variables of the sidecar that hold a URL, or a list in which somebody may put one.
const OF_THE_SIDECAR: &[&str] = &[
    contract::URL_VARIABLE,
    // The pod's `envFrom`, which the webhook cannot see.
    "ADO_AGENT_URL_FROM_0",
    contract::URL_DEFAULT_VARIABLE,
    contract::AZURE_AUTHORITY_HOST_VARIABLE,
    contract::AZURE_TOKEN_PROXY_VARIABLE,
    contract::AZURE_SNI_NAME_VARIABLE,
    contract::ALLOWED_HOSTS_VARIABLE,
    contract::ALLOWED_AUTHORITIES_VARIABLE,
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
];

/// The same of the webhook, as flags.
const OF_THE_WEBHOOK: &[&str] = &[
    "url",
    "authority",
    "allowed-hosts",
    "allowed-authorities",
    "https-proxy",
    "no-proxy",
];

/// URLs, whole and broken, with the canary as or in user info, query or fragment.
fn urls() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec![
        "https://",
        "HTTPS://",
        "http://",
        "ftp://",
        "https:\\\\",
        "https:/",
        "://",
        "",
    ]);
    let user_info = prop::sample::select(vec![
        "",
        "s3cret@",
        "u:s3cret@",
        "s3cret:x@",
        "u:p?s3cret@",
        "u:p#s3cret@",
        "u:p/s3cret@",
        "u:p\\s3cret@",
        "u:p%3as3cret@",
        "u@s3cret@",
        "u:s3cret%40",
        "u: s3cret\n@",
    ]);
    let host = prop::sample::select(vec![
        "dev.azure.com",
        "contoso.visualstudio.com",
        "login.microsoftonline.com",
        "tfs.corp.example",
        "dev.azure.com.evil.example",
        "dev.azure.com.",
        "d\u{435}v.azure.com",
        "127.0.0.1",
        "[::1]",
        "",
    ]);
    let port = prop::sample::select(vec!["", ":443", ":8443", ":", ":0", ":99999"]);
    let path = prop::sample::select(vec![
        "",
        "/",
        "/contoso",
        "/contoso/project",
        "/tfs/DefaultCollection",
        "/con toso",
        "//",
    ]);
    let query = prop::sample::select(vec![
        "",
        "?token=s3cret",
        "?s3cret",
        "?a=b&mail=a@s3cret",
        "??s3cret",
        "%3ftoken=s3cret",
        "?a=https://u:s3cret@x/",
    ]);
    let fragment = prop::sample::select(vec!["", "#s3cret", "#a@s3cret", "#/?s3cret", "%23s3cret"]);
    (scheme, user_info, host, port, path, query, fragment)
        .prop_map(|(scheme, user_info, host, port, path, query, fragment)| {
            [scheme, user_info, host, port, path, query, fragment].concat()
        })
        .prop_filter("without a canary nothing is shown by this", |url| url.contains(CANARY))
}

fn sidecar_environment<'a>(variable: &str, url: &'a str) -> impl Fn(&str) -> Option<String> {
    let (variable, url) = (variable.to_owned(), url.to_owned());
    move |name| {
        if name == variable {
            return Some(url.clone());
        }
        let value = match name {
            contract::CONTRACT_VARIABLE => "1",
            contract::HANDOFF_VARIABLE => "token-file",
            contract::OWNER_VARIABLE => "ado-agent/v1/c/n/p-0/u",
            contract::POD_NAME_VARIABLE => "p-0",
            contract::GRACE_SECONDS_VARIABLE => "3600",
            contract::AZURE_CLIENT_ID_VARIABLE => "11111111-1111-1111-1111-111111111111",
            contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE => "/assertion",
            // The proxy of the cluster is only read where the identity is left to azwi.
            contract::AZWI_IDENTITY_VARIABLE => "true",
            contract::AZURE_TOKEN_PROXY_VARIABLE => "https://proxy.cluster",
            // The least that wins, so that every other source is looked at in its turn.
            contract::URL_DEFAULT_VARIABLE => "https://dev.azure.com/contoso",
            _ => return None,
        };
        Some(value.to_owned())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_error_of_the_parsers_that_all_programs_share_does_not_repeat_it(url in urls()) {
        let allowed = HostList::parse(contract::DEFAULT_ALLOWED_HOSTS).expect("hosts");
        if let Err(error) = OrganizationUrl::parse(&url, &allowed) {
            prop_assert!(!format!("{error} {error:?}").contains(CANARY), "{url}: {error:?}");
        }
        if let Err(error) = HttpsUrl::parse(&url) {
            prop_assert!(!format!("{error} {error:?}").contains(CANARY), "{url}: {error:?}");
        }
        if let Err(error) = HostList::parse(&url) {
            prop_assert!(!format!("{error} {error:?}").contains(CANARY), "{url}: {error:?}");
        }
    }

    #[test]
    fn a_denial_of_the_webhook_does_not_repeat_it(url in urls()) {
        let settings = inject::Settings::read(|name| (name == "sidecar-image").then(|| "sidecar:1".to_owned())).expect("settings");
        let cluster = inject::ClusterFacts { id: "cluster".to_owned(), native_sidecars: true };
        let context = inject::Context { settings: &settings, cluster: &cluster };
        let pod = serde_json::json!({
            "metadata": { "labels": { contract::INJECT_LABEL: "true" }, "annotations": { contract::URL_ANNOTATION: url } },
            "spec": { "containers": [{ "name": "agent" }] },
        });
        let account = inject::ServiceAccount::Found {
            client_id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
            tenant_id: None,
        };
        let said = match inject::decide(&pod, &inject::Request::create_pod("team"), &account, context) {
            inject::Decision::Inject(injection) => String::from_utf8(injection.patch).expect("JSON"),
            inject::Decision::Deny(denial) => denial.to_string(),
            inject::Decision::Skip { reason, .. } => panic!("skipped: {reason}"),
        };
        prop_assert!(!said.contains(CANARY), "{url}: {said}");
    }

    #[test]
    fn a_refusal_of_the_sidecar_does_not_repeat_it(url in urls(), variable in prop::sample::select(OF_THE_SIDECAR)) {
        let config = sidecar::Config::read(sidecar_environment(variable, &url));
        let said = format!("{config:?}");
        prop_assert!(!said.contains(CANARY), "{variable}={url}: {said}");
    }

    #[test]
    fn a_refusal_of_the_webhooks_configuration_does_not_repeat_it(url in urls(), flag in prop::sample::select(OF_THE_WEBHOOK)) {
        let image = "--sidecar-image=registry.example/sidecar:1".to_owned();
        let arguments = ["webhook".to_owned(), image, format!("--{flag}={url}")];
        if let Err(error) = webhook::config::Config::read(arguments, |_| None) {
            let said = error.to_string();
            prop_assert!(!said.contains(CANARY), "--{flag}={url}: {said}");
        }
    }
}

/// The words of a process that has to be killed, or has ended.
fn said(output: &Output) -> String {
    [output.stdout.as_slice(), output.stderr.as_slice()]
        .map(String::from_utf8_lossy)
        .concat()
}

#[test]
fn a_sidecar_that_is_given_one_repeats_it_nowhere() {
    let binary = program("ado-agent-sidecar").expect("built");
    for (variable, url) in [
        ("ADO_AGENT_URL_FROM_0", "https://dev.azure.com/contoso?token=s3cret"),
        ("ADO_AGENT_URL_FROM_0", "https://u:p?s3cret@dev.azure.com/contoso"),
        (
            contract::URL_VARIABLE,
            "https://tfs.corp.example/tfs/DefaultCollection#s3cret",
        ),
        (
            contract::AZURE_AUTHORITY_HOST_VARIABLE,
            "https://u:s3cret@login.microsoftonline.com",
        ),
        (contract::AZURE_TOKEN_PROXY_VARIABLE, "https://proxy.cluster?s3cret"),
        // Good ones, to hosts where nobody listens: what the HTTP client says must not name them either.
        ("HTTPS_PROXY", "http://u:s3cret@127.0.0.1:1/?token=s3cret#s3cret"),
        ("HTTPS_PROXY", "https://u:s3cret@127.0.0.1:1"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let termination_log = folder.path().join("termination-log");
        let environment = sidecar_environment(variable, url);
        let names = OF_THE_SIDECAR.iter().copied().chain([
            contract::CONTRACT_VARIABLE,
            contract::HANDOFF_VARIABLE,
            contract::OWNER_VARIABLE,
            contract::POD_NAME_VARIABLE,
            contract::GRACE_SECONDS_VARIABLE,
            contract::AZURE_CLIENT_ID_VARIABLE,
        ]);
        let values = names.filter_map(|name| Some((name, environment(name)?)));
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&binary);
            command
                .args(arguments)
                .env_clear()
                .envs(values.clone())
                .env(contract::LOG_LEVEL_VARIABLE, "trace")
                .env(contract::STATE_DIR_VARIABLE, folder.path())
                .env(contract::HANDOFF_DIR_VARIABLE, folder.path())
                .env(contract::TERMINATION_LOG_VARIABLE, &termination_log)
                .env(
                    contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE,
                    folder.path().join("assertion"),
                );
            command
        };
        std::fs::write(folder.path().join("assertion"), "a.b.c").expect("written");
        let mut run = command(&["run"]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = run.spawn().expect("started");
        let deadline = Instant::now() + Duration::from_secs(20);
        let message = loop {
            let message = std::fs::read_to_string(&termination_log).unwrap_or_default();
            if !message.is_empty() && !message.starts_with("starting") {
                break message;
            }
            assert!(
                Instant::now() < deadline,
                "it says nothing of {variable}={url}: {message}"
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        let probe = command(&["probe"]).output().expect("started");
        running.kill().expect("it is there");
        let log = said(&running.wait_with_output().expect("it is ours"));
        assert!(log.contains("INFO"), "there is something to look through: {log}");
        let everything = [message, said(&probe), log].join("\n");
        assert!(!everything.contains(CANARY), "{variable}={url}: {everything}");
    }
}

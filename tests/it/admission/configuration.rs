//! Flags and variables: which one wins, what is refused, and how that is said.

use serde_json::Value;
use tests::apiserver::webhook::Webhook;
use tests::apiserver::{ApiServer, Mood};
use webhook::config::{Config, Error};

use crate::world::IMAGE;

#[tokio::test]
async fn a_wrong_configuration_ends_with_64_and_names_every_mistake() {
    let api = ApiServer::start().await.unwrap();
    api.set_mood(Mood::Well);
    let Err(error) = Webhook::start(&api, &["--sidecar-cpu=lots", "--grace-period=0"]).await else {
        panic!("it must not start");
    };
    let said = error.to_string();
    for part in [
        "exit status: 64",
        "--sidecar-image (ADO_AGENT_WEBHOOK_SIDECAR_IMAGE) is missing",
        "--sidecar-cpu",
        "lots",
        "--grace-period",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test]
async fn startup_errors_are_logged_in_the_configured_format() {
    let program = tokio::task::spawn_blocking(|| tests::programs::program("ado-agent-webhook"));
    let program = program.await.unwrap().unwrap();
    let here = ["--tls-address=127.0.0.1:0", "--plain-address=127.0.0.1:0"];
    for (flags, code, part) in [
        (
            ["--sidecar-cpu=lots", "", ""],
            64,
            "--sidecar-cpu (ADO_AGENT_WEBHOOK_SIDECAR_CPU) is \"lots\"",
        ),
        (
            [IMAGE, "--kubeconfig=/nonexistent", ""],
            1,
            "the file of --kubeconfig cannot be used",
        ),
        // An address for documentation (RFC 5737), which no machine has.
        (
            [IMAGE, "--kubeconfig=/nonexistent", "--tls-address=192.0.2.1:443"],
            1,
            "cannot listen on 192.0.2.1:443",
        ),
    ] {
        for format in ["json", "text"] {
            let output = tokio::process::Command::new(&program)
                .env_clear()
                .args(here)
                .arg(format!("--log-format={format}"))
                .args(flags.iter().filter(|flag| !flag.is_empty()))
                .stdin(std::process::Stdio::null())
                .output()
                .await
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{said}");
            if format == "json" {
                let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                let last = lines.last().unwrap();
                assert_eq!(last["level"], "ERROR", "{said}");
                assert!(last["message"].as_str().unwrap().contains(part), "{said}");
            } else {
                assert!(said.contains(" ERROR ") && said.contains(part), "{said}");
                assert!(!said.contains("\nError: ") && !said.contains("backtrace"), "{said}");
            }
        }
    }
}

fn read(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let argv = std::iter::once("ado-agent-webhook")
        .chain(flags.iter().copied())
        .map(str::to_owned);
    let lookup = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::read(argv, lookup).map_err(|error| match error {
        Error::Values(_) | Error::Usage(_) => error.to_string(),
    })
}

#[test]
fn a_flag_wins_over_its_variable_and_an_empty_variable_is_absent() {
    let config = read(
        &[IMAGE, "--pool=typed"],
        &[
            ("ADO_AGENT_WEBHOOK_POOL", "variable"),
            ("ADO_AGENT_WEBHOOK_SIDECAR_CPU", "50m"),
            ("ADO_AGENT_WEBHOOK_URL", ""),
        ],
    )
    .unwrap();
    assert_eq!(config.settings.pool.as_deref(), Some("typed"));
    assert_eq!(config.settings.sidecar_cpu, "50m");
    assert_eq!(config.settings.url, None);
    assert!(!config.settings.allow_ca_config_map);
    assert!(
        read(&[IMAGE, "--allow-ca-config-map"], &[])
            .unwrap()
            .settings
            .allow_ca_config_map
    );
    assert!(
        read(&[IMAGE], &[("ADO_AGENT_WEBHOOK_ALLOW_CA_CONFIG_MAP", "true")])
            .unwrap()
            .settings
            .allow_ca_config_map
    );
}

#[test]
fn limits_for_pods_are_off_by_default() {
    let settings = read(&[IMAGE], &[]).unwrap().settings;
    assert_eq!(settings.allowed_sidecar_images, ["*"]);
    assert_eq!((settings.max_sidecar_cpu, settings.max_sidecar_memory), (None, None));
    assert!(settings.allow_sidecar_run_as_user);
    let limits = [
        (
            "ADO_AGENT_WEBHOOK_ALLOWED_SIDECAR_IMAGES",
            "registry.example/team/*, mirror.example/sidecar:1",
        ),
        ("ADO_AGENT_WEBHOOK_MAX_SIDECAR_CPU", "0.1"),
        ("ADO_AGENT_WEBHOOK_MAX_SIDECAR_MEMORY", "64Mi"),
        ("ADO_AGENT_WEBHOOK_MAX_SIDECAR_EPHEMERAL_STORAGE", "16Mi"),
        ("ADO_AGENT_WEBHOOK_ALLOW_SIDECAR_RUN_AS_USER", "false"),
    ];
    let settings = read(&[IMAGE], &limits).unwrap().settings;
    assert_eq!(
        settings.allowed_sidecar_images,
        ["registry.example/team/*", "mirror.example/sidecar:1"]
    );
    assert_eq!(settings.max_sidecar_cpu.as_deref(), Some("0.1"));
    assert_eq!(settings.max_sidecar_memory.as_deref(), Some("64Mi"));
    assert_eq!(settings.sidecar_ephemeral_storage, None);
    assert_eq!(settings.max_sidecar_ephemeral_storage.as_deref(), Some("16Mi"));
    assert!(!settings.allow_sidecar_run_as_user);
    let none = read(&[IMAGE, "--allowed-sidecar-images=none"], &[]).unwrap();
    assert_eq!(none.settings.allowed_sidecar_images, [""; 0]);
}

#[test]
fn each_wrong_value_is_named_with_its_form() {
    for (flag, value, form) in [
        ("sidecar-image", "no image", "image reference"),
        ("sidecar-memory", "32mb", "quantity"),
        ("sidecar-ephemeral-storage", "0", "quantity"),
        ("max-sidecar-ephemeral-storage", "much", "quantity"),
        ("sidecar-log-level", "loud", "trace"),
        ("sidecar-run-as-user", "0", "none"),
        ("allowed-sidecar-images", "registry.example*", "none for no other"),
        ("allowed-sidecar-images", ",", "image references"),
        ("allowed-sidecar-images", "none,a", "image references"),
        ("max-sidecar-cpu", "a lot", "quantity"),
        ("max-sidecar-cpu", "99m", "at least 100m, which --sidecar-cpu"),
        (
            "max-sidecar-memory",
            "33554431",
            "at least 32Mi, which --sidecar-memory",
        ),
        ("allow-sidecar-run-as-user", "no", "\"true\" or \"false\""),
        ("grace-period", "-1", "seconds"),
        ("url", "https://tfs.example/tfs", "tfs.example"),
        ("client-id", "app", "GUID"),
        ("tenant-id", "common", "GUID"),
        ("cluster-id", "a/b", "letters"),
        ("authority", "http://login.microsoftonline.com/", "https"),
        ("authority", "https://evil.example/", "--allowed-authorities"),
        ("allowed-hosts", "https://dev.azure.com", "host names"),
        ("allowed-hosts", ",", "host names"),
        ("ca-file", "/nonexistent.pem", "PEM"),
        ("allow-ca-config-map", "yes", "\"true\" or \"false\""),
        ("federated-token", "maybe", "keep"),
        ("allow-federated-token", "hide,maybe", "keep"),
        ("https-proxy", "http://user:insecure@proxy.example", "without user name"),
        ("tls-address", "10250", "IP address"),
        ("drain-delay", "1h", "seconds"),
        ("log-level", "loud", "trace"),
        ("log-format", "xml", "json"),
    ] {
        let error = read(&[IMAGE, &format!("--{flag}={value}")], &[]).unwrap_err();
        assert!(
            error.contains(&format!("--{flag} (ADO_AGENT_WEBHOOK_")),
            "{flag}: {error}"
        );
        assert!(error.contains(form), "{flag}: {error}");
    }
    assert!(read(&[IMAGE, "--unknown"], &[]).unwrap_err().contains("--unknown"));
}

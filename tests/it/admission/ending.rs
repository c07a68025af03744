//! Starting with a wrong configuration, and ending: row 69.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tests::apiserver::review::{Caller, of_pod};
use tests::apiserver::webhook::Webhook;
use tests::apiserver::{ApiServer, Mood};
use tokio::time::Instant;
use webhook::config::{Config, Error};

use crate::wire::{Wire, head};
use crate::world::{IMAGE, Running, api, deployment_pod, until};

/// What kube-proxy does: new connections go to a replica that is ready.
async fn ready_replica(replicas: &[Webhook]) -> Option<&Webhook> {
    for replica in replicas {
        if matches!(replica.get("/readyz").await, Ok((200, _))) {
            return Some(replica);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_ends_under_load_and_no_call_fails() {
    let api = api().await;
    let flags = [IMAGE, "--drain-delay=6"];
    let mut replicas = vec![
        Webhook::start(&api, &flags).await.unwrap(),
        Webhook::start(&api, &flags).await.unwrap(),
    ];
    let (leaving, staying) = (replicas[0].tls_address(), replicas[1].tls_address());
    let ca = api.authority().pem().to_owned();
    let (moved, stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let caller = |address| Caller::new(address, &ca, Duration::from_secs(10)).unwrap();
            let (old, new) = (caller(leaving), caller(staying));
            let (moved, stop, answered) = (Arc::clone(&moved), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let caller = if moved.load(Ordering::Relaxed) { &new } else { &old };
                    let answer = caller.post(of_pod("team", &deployment_pod()).to_string()).await;
                    assert_eq!(answer.expect("no call fails").status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until("there is load", async || answered.load(Ordering::Relaxed) > 40).await;
    let told = Instant::now();
    replicas[0].terminate().unwrap();
    until("it is not ready any more", async || {
        matches!(replicas[0].get("/readyz").await, Ok((503, _)))
    })
    .await;
    let before = answered.load(Ordering::Relaxed);
    until("it goes on answering", async || {
        answered.load(Ordering::Relaxed) > before + 8
    })
    .await;
    assert!(
        ready_replica(&replicas)
            .await
            .is_some_and(|ready| ready.tls_address() == staying)
    );
    moved.store(true, Ordering::Relaxed);
    let status = replicas[0].wait().await.unwrap();
    assert!(status.success(), "{status}\n{}", replicas[0].log().join("\n"));
    assert!(
        told.elapsed() >= Duration::from_secs(6) && told.elapsed() < Duration::from_secs(25),
        "{:?}",
        told.elapsed()
    );
    let before = answered.load(Ordering::Relaxed);
    until("the other one has the load", async || {
        answered.load(Ordering::Relaxed) > before + 40
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_being_answered_is_answered_and_says_close() {
    let api = api().await;
    let webhook = Running::start(&api, &["--drain-delay=1"], |_| {});
    webhook.wait_until_ready().await;
    let mut idle = Wire::connect(&webhook).await;
    let body = of_pod("team", &deployment_pod()).to_string();
    assert!(
        !idle.post(&body).await.headers.contains_key("connection"),
        "keep-alive as long as it serves"
    );
    // A review that waits for its body while the webhook is told to end.
    let mut waiting = Wire::connect(&webhook).await;
    let length = body.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    waiting
        .send(head("POST", "/mutate?timeout=10s", &headers) + &body[..10])
        .await;
    until("it is in flight", async || {
        webhook.metric("ado_agent_webhook_requests_in_flight").await == 1.0
    })
    .await;
    let plain = webhook.plain;
    let ends = tokio::spawn(webhook.stop());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    until("not ready", async || {
        client
            .get(format!("http://{plain}/readyz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status().as_u16() == 503)
    })
    .await;
    let last = idle.post(&body).await;
    assert_eq!((last.status, last.headers["connection"].as_str()), (200, "close"));
    assert!(idle.ends_silently().await);
    // Past the drain delay the listener is closed, and this one is still answered.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    waiting.send(&body[10..]).await;
    assert_eq!(waiting.answer().await.status, 200);
    ends.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_hangs_does_not_hold_the_end_for_ever() {
    let api = api().await;
    let webhook = Running::start(&api, &[], |limits| limits.drain_deadline = Duration::from_millis(300));
    webhook.wait_until_ready().await;
    let mut hanging = Wire::connect(&webhook).await;
    let headers = [("content-type", "application/json"), ("content-length", "100")];
    hanging.send(head("POST", "/mutate?timeout=30s", &headers)).await;
    until("it is in flight", async || {
        webhook.metric("ado_agent_webhook_requests_in_flight").await == 1.0
    })
    .await;
    let started = Instant::now();
    webhook.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let api = api().await;
    let mut webhook = Webhook::start(&api, &[IMAGE, "--drain-delay=60"]).await.unwrap();
    webhook.terminate().unwrap();
    until("not ready", async || {
        matches!(webhook.get("/readyz").await, Ok((503, _)))
    })
    .await;
    webhook.terminate().unwrap();
    assert_eq!(webhook.wait().await.unwrap().code(), Some(1));
}

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
async fn what_keeps_it_from_starting_is_said_in_the_format_of_the_log() {
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
fn what_pods_may_choose_is_unlimited_unless_the_operator_says_so() {
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

//! The certificate pair: changed under traffic, broken in every way, expired. Rows 61 to 63.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use azure_emulators::tls::Pair;
use contract::INJECT_LABEL;
use tests::apiserver::ApiServer;
use tests::apiserver::review::of_pod;
use tests::apiserver::webhook::{service_name, write_pair};

use crate::wire::{Wire, tls};
use crate::world::{Running, api, deployment_pod, until};

const LOADED: &str = "ado_agent_webhook_tls_reload_total{result=\"loaded\"}";
const FAILED: &str = "ado_agent_webhook_tls_reload_total{result=\"failed\"}";
const POLL: Duration = Duration::from_millis(20);

async fn start(api: &ApiServer) -> Running {
    let webhook = Running::start(api, &[], |limits| limits.certificate_poll = POLL);
    webhook.wait_until_ready().await;
    webhook
}

/// The certificate that a new connection is shown.
async fn served(webhook: &Running) -> Vec<u8> {
    let config = azure_emulators::tls::client_config(&[&webhook.ca]).unwrap();
    let stream = tls(webhook.tls, config, &service_name(), &[]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Puts a pair into a new version of the folder and swaps `..data`, as the kubelet does.
fn swap(folder: &Path, version: usize, pair: &Pair) {
    let data = format!("..version-{version}");
    std::fs::create_dir(folder.join(&data)).unwrap();
    write_pair(&folder.join(&data), pair).unwrap();
    std::os::unix::fs::symlink(&data, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        let link = folder.join(file);
        if !link.is_symlink() {
            std::fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(Path::new("..data").join(file), link).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_changes_under_traffic_and_no_call_fails() {
    let api = api().await;
    let webhook = Arc::new(start(&api).await);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (webhook, stop, answered) = (Arc::clone(&webhook), Arc::clone(&stop), Arc::clone(&answered));
            // A pod that declines is quickly answered.
            let mut pod = deployment_pod();
            if number > 0 {
                pod["metadata"]["labels"][INJECT_LABEL] = "false".into();
            }
            let body = of_pod("team", &pod).to_string();
            tokio::spawn(async move {
                let mut wire = Wire::connect(&webhook).await;
                while !stop.load(Ordering::Relaxed) {
                    // One client shakes hands each time; the others keep their connection.
                    if number == 0 {
                        wire = Wire::connect(&webhook).await;
                    }
                    assert_eq!(wire.post(&body).await.status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let folder = webhook.folder.path().join("tls");
    let mut last = served(&webhook).await;
    let mut rotations = 0;
    while answered.load(Ordering::Relaxed) < 10_000 {
        let before = answered.load(Ordering::Relaxed);
        swap(&folder, rotations, &api.authority().issue(&[service_name()]));
        until("the new certificate is served", async || served(&webhook).await != last).await;
        last = served(&webhook).await;
        rotations += 1;
        until("reviews go on", async || {
            answered.load(Ordering::Relaxed) > before + 100
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(rotations >= 10, "{rotations} rotations");
    assert_eq!(webhook.metric(LOADED).await, (rotations + 1) as f64);
    assert_eq!(webhook.metric(FAILED).await, 0.0);
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_never_replaces_one_that_can() {
    let api = api().await;
    let webhook = start(&api).await;
    let folder = webhook.folder.path().join("tls");
    let first = served(&webhook).await;
    let (one, other) = (
        api.authority().issue(&[service_name()]),
        api.authority().issue(&[service_name()]),
    );
    let half = one.certificate[..one.certificate.len() / 2].to_owned();
    let broken = [
        ("key of another certificate", one.certificate.clone(), other.key.clone()),
        ("half-written certificate", half, one.key.clone()),
        ("empty certificate", String::new(), one.key.clone()),
        ("empty key", one.certificate.clone(), String::new()),
        ("no PEM", "hello".to_owned(), "hello".to_owned()),
        (
            "certificate in place of the key",
            one.certificate.clone(),
            one.certificate.clone(),
        ),
    ];
    for (number, (what, certificate, key)) in broken.into_iter().enumerate() {
        swap(&folder, number, &Pair { certificate, key });
        until(what, async || webhook.metric(FAILED).await == (number + 1) as f64).await;
        assert_eq!(served(&webhook).await, first, "{what}");
        assert_eq!(
            webhook.get("/readyz").await.0,
            200,
            "{what}: the old pair is still good"
        );
    }
    std::fs::remove_file(folder.join("..data")).unwrap();
    until("a missing folder is noticed", async || {
        webhook.metric(FAILED).await == 7.0
    })
    .await;
    assert_eq!(served(&webhook).await, first);
    for _ in 0..10 {
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(
        webhook.metric(FAILED).await,
        7.0,
        "each broken pair counts once, however often it is seen"
    );
    swap(&folder, 99, &one);
    until("a good pair is taken again", async || served(&webhook).await != first).await;
}

/// A pair that ends at a date, signed by itself.
fn until_year(year: i32) -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![service_name()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    Pair {
        certificate: parameters.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

#[tokio::test]
async fn an_expired_certificate_is_not_ready_but_live() {
    let api = api().await;
    let webhook = start(&api).await;
    let folder = webhook.folder.path().join("tls");
    swap(&folder, 0, &until_year(2020));
    until("readyz says that it expired", async || {
        let (status, text) = webhook.get("/readyz").await;
        status == 503 && text.contains("expired")
    })
    .await;
    assert_eq!(webhook.get("/livez").await.0, 200);
    assert_eq!(
        webhook.metric("ado_agent_webhook_cert_not_after_seconds").await,
        1_577_836_800.0
    );
    swap(&folder, 1, &api.authority().issue(&[service_name()]));
    webhook.wait_until_ready().await;
}

#[tokio::test]
async fn without_a_certificate_it_is_live_but_not_ready() {
    let api = api().await;
    let webhook = Running::start(&api, &["--tls-dir=/nonexistent/ado-agent"], |limits| {
        limits.certificate_poll = POLL
    });
    until("readyz says what is missing", async || {
        let (status, text) = webhook.get("/readyz").await;
        status == 503 && text.contains("no usable certificate")
    })
    .await;
    assert_eq!(webhook.get("/livez").await.0, 200);
    let config = azure_emulators::tls::client_config(&[&webhook.ca]).unwrap();
    assert!(tls(webhook.tls, config, &service_name(), &[]).await.is_err());
}

#[test]
fn a_clock_that_jumps_changes_readiness_only() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), &until_year(2030)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut reloader = webhook::tls::Reloader::new(folder.path(), provider, Arc::default());
    reloader.reload();
    let certificates = reloader.certificates();
    let year = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
    assert_eq!(certificates.problem(year(2026)), None);
    assert!(
        certificates
            .problem(year(2031))
            .is_some_and(|problem| problem.contains("expired"))
    );
    assert_eq!(certificates.problem(year(2026)), None);
    assert_eq!(
        certificates.problem(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
        None
    );
}

//! What is shown of proxies, and what becomes of CA bundles.

use super::*;

#[test]
fn proxy_credentials_are_not_shown() {
    let proxies = Proxies::new(
        Some("http://user:hunter2@proxy.corp:3128".into()),
        None,
        Some("a,b".into()),
    )
    .expect("a proxy");
    let http = Http::new(Trust::default(), proxies, "test");
    http.client().expect("a client");
    assert!(!format!("{http:?}").contains("hunter2"), "{http:?}");
    let problem = Proxies::new(Some("http://user:hunter2@[/".into()), None, None).expect_err("no URL");
    assert!(!format!("{problem} {problem:?}").contains("hunter2"));
    let credentials = Some(("user".into(), "hunter2".into()));
    let proxies = Proxies::new(Some("http://proxy.corp:3128".into()), credentials, None).expect("a proxy");
    assert!(!format!("{proxies:?}").contains("hunter2"), "{proxies:?}");
}

#[test]
fn a_ca_file_is_read_again_and_a_broken_one_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.crt");
    let trust = Trust::new(None, Some(file.clone())).expect("nothing to parse");
    let http = Http::new(trust, Proxies::default(), "test");
    assert!(http.client().expect_err("no file").to_string().contains("ca.crt"));
    let bundle = certificate();
    std::fs::write(&file, &bundle).expect("written");
    http.client().expect("a bundle");
    std::fs::write(&file, "half a bun").expect("written");
    http.client().expect("the old client");
    assert_eq!(
        http.built.lock().expect("unpoisoned").as_ref().expect("built").0,
        bundle.as_bytes()
    );
}

fn certificate() -> String {
    let certified = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate");
    certified.cert.pem()
}

/// PEM without a certificate in it.
fn broken() -> &'static str {
    "-----BEGIN CERTIFICATE-----\nMIIBEzCBu6ADAgECAhRs\n-----END CERTIFICATE-----\n"
}

#[test]
fn an_invalid_ca_bundle_is_reported() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIBEzCBu6ADAgECAhRs\n-----END PRIVATE KEY-----\n";
    let huge = "#".repeat((1 << 20) + 1);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.crt");
    for (content, named) in [
        ("", "is empty"),
        (" \n", "is empty"),
        ("\u{0}\u{1}\u{fffd}", "holds no certificate"),
        (key, "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIBEz", "is not PEM"),
        (
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            "is not PEM",
        ),
        (broken(), "none of the 1 certificates"),
        (&huge, "larger than 1 MiB"),
    ] {
        std::fs::write(&file, content).expect("written");
        let trust = Trust::new(None, Some(file.clone())).expect("read later");
        let problem = Http::new(trust, Proxies::default(), "test")
            .client()
            .expect_err(named)
            .to_string();
        assert!(problem.contains(named) && problem.contains("ca.crt"), "{problem}");
        if content.len() < 1000 {
            let problem = Trust::new(Some(content.to_owned()), None).expect_err(named).to_string();
            assert!(problem.contains(named), "{problem}");
        }
    }
    std::fs::write(&file, certificate() + broken()).expect("written");
    let trust = Trust::new(None, Some(file)).expect("read later");
    Http::new(trust, Proxies::default(), "test")
        .client()
        .expect("the one that can be read is trusted");
}

//! The values of the server's own settings.

use std::path::PathBuf;
use std::time::Duration;

use inject::{LogLevel, Problem, Settings};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Config, LogFormat};
use crate::server::Limits;

/// The CA bundle travels in one variable of the sidecar, and Linux takes at most 128 KiB for one (`MAX_ARG_STRLEN`).
const LARGEST_BUNDLE: usize = 96 * 1024;
const ADDRESS: &str = "an IP address and a port, such as [::]:10250 or 127.0.0.1:10250";

/// Values by name, and what is wrong with them. A method gives `None` where the setting is absent or was noted as wrong.
pub(super) struct Values<L> {
    lookup: L,
    problems: Vec<Problem>,
}

impl<L: Fn(&str) -> Option<String>> Values<L> {
    pub(super) fn new(lookup: L) -> Self {
        let problems = Vec::new();
        Self { lookup, problems }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The whole configuration: the settings, and the server's own.
    pub(super) fn config(&mut self) -> Option<Config> {
        let settings = Settings::read(&self.lookup);
        let settings = settings.map_err(|problems| self.problems.extend(problems)).ok();
        let ca_pem = self.certificates("ca-file");
        let tls_address = self.value("tls-address", ADDRESS, |text| text.parse().ok());
        let plain_address = self.value("plain-address", ADDRESS, |text| text.parse().ok());
        let log_level = self.value("log-level", "error, warn, info, debug or trace", LogLevel::parse);
        let log_format = self.value("log-format", "text or json", LogFormat::parse);
        let drain_delay = self.value("drain-delay", "whole seconds from 0 to 300", |text| {
            text.parse().ok().filter(|seconds| (0..=300).contains(seconds))
        });
        Some(Config {
            settings: Settings { ca_pem, ..settings? },
            kubeconfig: self.get("kubeconfig").map(PathBuf::from),
            tls_dir: PathBuf::from(self.get("tls-dir")?),
            tls_address: tls_address?,
            plain_address: plain_address?,
            log_level: tracing_level(log_level?),
            log_format: log_format?,
            limits: Limits {
                drain_delay: Duration::from_secs(drain_delay?),
                ..Limits::default()
            },
        })
    }

    fn get(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    fn value<T>(&mut self, name: &'static str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.get(name).unwrap_or_default();
        let value = parse(&text);
        if value.is_none() {
            self.problems.push(Problem::wrong(name, &text, expected));
        }
        value
    }

    /// Reads the bundle. An operator who changes it restarts the webhook; running pods keep what they were given.
    fn certificates(&mut self, name: &'static str) -> Option<String> {
        let path = self.get(name)?;
        let read = std::fs::read_to_string(&path).map_err(|error| format!("a readable PEM file ({error})"));
        match read.and_then(|pem| check_bundle(&pem).map(|()| pem)) {
            Ok(pem) => Some(pem),
            Err(expected) => {
                self.problems.push(Problem::wrong(name, &path, &expected));
                None
            }
        }
    }
}

/// Whether a text can be the CA bundle: every sidecar that gets it needs at least one certificate that it can trust.
///
/// # Errors
/// What was expected instead, as the end of "expected …".
pub fn check_bundle(pem: &str) -> Result<(), String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("PEM certificates ({error})"))?;
    if certificates.is_empty() {
        return Err("a file with at least one PEM certificate".to_owned());
    }
    if pem.contains("PRIVATE KEY") {
        return Err("certificates without a private key".to_owned());
    }
    if pem.len() > LARGEST_BUNDLE {
        return Err("a bundle of at most 96 KiB".to_owned());
    }
    match RootCertStore::empty().add_parsable_certificates(certificates) {
        (0, _) => Err("a file with at least one certificate that can be read".to_owned()),
        (_, _) => Ok(()),
    }
}

/// The level as `tracing` knows it.
fn tracing_level(level: LogLevel) -> tracing::Level {
    match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_holds_a_certificate_that_can_be_trusted() {
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        let rubbish = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        assert_eq!(check_bundle(&good), Ok(()));
        assert_eq!(check_bundle(&format!("{good}{rubbish}")), Ok(()));
        for (pem, part) in [
            (rubbish.to_owned(), "that can be read"),
            ("hello".to_owned(), "at least one PEM certificate"),
            (format!("{good}{}", key.serialize_pem()), "without a private key"),
            (good.repeat(500), "96 KiB"),
            (
                "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n".to_owned(),
                "PEM certificates (",
            ),
        ] {
            let expected = check_bundle(&pem).unwrap_err();
            assert!(expected.contains(part), "{expected}");
        }
    }
}

//! The forms of the values that an operator types. Each check either gives the value or notes one sentence.

use contract::HostList;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use inject::{FederatedToken, LogLevel, Quantity};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::variable;

/// The CA bundle travels in one variable of the sidecar, and Linux takes at most 128 KiB for one (`MAX_ARG_STRLEN`).
const LARGEST_BUNDLE: usize = 96 * 1024;

/// The sentences about what is wrong.
#[derive(Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn into_sentences(self) -> Vec<String> {
        self.0
    }

    pub(super) fn wrong<T>(&mut self, flag: &str, value: &str, expected: &str) -> Option<T> {
        self.0.push(format!(
            "--{flag} ({}) is {value:?}; expected {expected}",
            variable(flag)
        ));
        None
    }

    pub(super) fn missing<T>(&mut self, flag: &str, expected: &str) -> Option<T> {
        self.0
            .push(format!("--{flag} ({}) is missing; expected {expected}", variable(flag)));
        None
    }

    fn check(&mut self, flag: &str, value: &str, is_right: bool, expected: &str) -> Option<String> {
        if is_right {
            Some(value.to_owned())
        } else {
            self.wrong(flag, value, expected)
        }
    }

    /// The same for a URL, of which user info, query and fragment are not repeated.
    fn check_url(&mut self, flag: &str, value: &str, is_right: bool, expected: &str) -> Option<String> {
        if is_right {
            Some(value.to_owned())
        } else {
            self.wrong(flag, &contract::redacted(value), expected)
        }
    }

    pub(super) fn image(&mut self, flag: &str, value: &str) -> Option<String> {
        self.check(
            flag,
            value,
            inject::is_image(value),
            "an image reference, [HOST[:PORT]/]PATH[:TAG][@DIGEST]",
        )
    }

    pub(super) fn quantity(&mut self, flag: &str, value: &str) -> Option<String> {
        let is_right = inject::quantity(value).is_some_and(|quantity| quantity > Quantity::ZERO);
        self.check(
            flag,
            value,
            is_right,
            "a Kubernetes quantity above zero, such as 100m or 32Mi",
        )
    }

    /// A limit of what pods may ask for, below which the operator's own choice must not lie.
    pub(super) fn limit(&mut self, flag: &str, value: &str, own_flag: &str, own: Option<&str>) -> Option<String> {
        let value = self.quantity(flag, value)?;
        // A wrong one has its own sentence.
        let own = own?;
        let is_right = inject::quantity(&value) >= inject::quantity(own);
        let expected = format!("at least {own}, which --{own_flag} gives every sidecar");
        self.check(flag, &value, is_right, &expected)
    }

    /// A list of patterns; `none` is an empty one.
    pub(super) fn image_patterns(&mut self, flag: &str, value: &str) -> Option<Vec<String>> {
        let patterns: Vec<String> = value
            .split(',')
            .map(|pattern| pattern.trim().to_owned())
            .filter(|pattern| !pattern.is_empty())
            .collect();
        if patterns == ["none"] {
            return Some(Vec::new());
        }
        let is_pattern = |pattern: &String| pattern != "none" && inject::is_image_pattern(pattern);
        if patterns.is_empty() || !patterns.iter().all(is_pattern) {
            let expected = "image references, or beginnings such as registry.example/team/* or registry.example/sidecar:*, \
                            separated by commas; * for any, none for no other than --sidecar-image";
            return self.wrong(flag, value, expected);
        }
        Some(patterns)
    }

    pub(super) fn guid(&mut self, flag: &str, value: &str) -> Option<String> {
        let value = value.trim();
        self.check(
            flag,
            value,
            inject::is_guid(value),
            "a GUID, 8-4-4-4-12 hexadecimal digits",
        )
    }

    pub(super) fn tenant(&mut self, flag: &str, value: &str) -> Option<String> {
        let value = value.trim();
        self.check(
            flag,
            value,
            inject::is_tenant(value),
            "a GUID or the domain name of a tenant",
        )
    }

    pub(super) fn text(&mut self, flag: &str, value: &str) -> Option<String> {
        let is_right = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        self.check(flag, value, is_right, "printable characters without spaces")
    }

    pub(super) fn organization(&mut self, flag: &str, value: &str, allowed: &[String]) -> Option<String> {
        match inject::organization_url(value.trim(), allowed) {
            Ok(url) => Some(url),
            Err(sentence) => {
                self.0.push(format!("--{flag} ({}) is {sentence}", variable(flag)));
                None
            }
        }
    }

    pub(super) fn log_level(&mut self, flag: &str, value: &str) -> Option<LogLevel> {
        LogLevel::parse(value).or_else(|| self.wrong(flag, value, "error, warn, info, debug or trace"))
    }

    pub(super) fn federated_token(&mut self, flag: &str, value: &str) -> Option<FederatedToken> {
        FederatedToken::parse(value).or_else(|| self.wrong(flag, value, "hide or keep"))
    }

    /// The outer `None` is a mistake, the inner one leaves the user to the platform.
    pub(super) fn user(&mut self, flag: &str, value: &str) -> Option<Option<i64>> {
        match value.parse::<u32>() {
            Ok(id) if id > 0 => Some(Some(i64::from(id))),
            Ok(_) | Err(_) if value == "none" => Some(None),
            Ok(_) | Err(_) => self.wrong(flag, value, "a user id above 0, or none"),
        }
    }

    pub(super) fn boolean(&mut self, flag: &str, value: &str) -> Option<bool> {
        value.parse().ok().or_else(|| self.wrong(flag, value, "true or false"))
    }

    pub(super) fn seconds(&mut self, flag: &str, value: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("whole seconds from {} to {}", range.start(), range.end());
        value
            .parse()
            .ok()
            .filter(|seconds| range.contains(seconds))
            .or_else(|| self.wrong(flag, value, &expected))
    }

    pub(super) fn address(&mut self, flag: &str, value: &str) -> Option<SocketAddr> {
        value.parse().ok().or_else(|| {
            self.wrong(
                flag,
                value,
                "an IP address and a port, such as [::]:10250 or 127.0.0.1:10250",
            )
        })
    }

    /// A list of host names; an empty list is a mistake, since nothing would be allowed.
    pub(super) fn hosts(&mut self, flag: &str, value: &str) -> Vec<String> {
        let mut hosts: Vec<String> = value
            .split(',')
            .map(|host| host.trim().to_ascii_lowercase())
            .filter(|host| !host.is_empty())
            .collect();
        if hosts.is_empty() || !hosts.iter().all(|host| contract::is_host_entry(host)) {
            let shown = contract::redacted(value);
            self.wrong::<()>(flag, &shown, "host names without scheme and port, separated by commas");
            // Other sentences repeat the list.
            hosts.retain(|host| contract::is_host_entry(host));
        }
        hosts
    }

    /// The authority must be on the list, or no sidecar would send its assertion anywhere.
    pub(super) fn authority(&mut self, flag: &str, value: &str, allowed: &[String]) -> Option<String> {
        let expected = "an https URL whose host is on --allowed-authorities";
        let is_allowed = match (contract::HttpsUrl::parse(value), HostList::parse(&allowed.join(","))) {
            (Ok(url), Ok(list)) => list.entry_for(&url.host).is_some(),
            (Err(_), _) | (_, Err(_)) => false,
        };
        self.check_url(flag, value, is_allowed, expected)
    }

    pub(super) fn proxy(&mut self, flag: &str, value: &str) -> Option<String> {
        let value = value.trim();
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| value.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        // Sidecars carry it in their pod, where everyone who may read pods reads it.
        let has_password = value.contains('@');
        self.check_url(
            flag,
            value,
            is_url && !has_password,
            "an http or https URL without user name and password",
        )
    }

    /// Reads the bundle. An operator who changes it restarts the webhook; running pods keep what they were given.
    pub(super) fn certificates(&mut self, flag: &str, path: &str) -> Option<String> {
        let pem = match std::fs::read_to_string(path) {
            Ok(pem) => pem,
            Err(error) => return self.wrong(flag, path, &format!("a readable PEM file ({error})")),
        };
        match check_bundle(&pem) {
            Ok(()) => Some(pem),
            Err(expected) => self.wrong(flag, path, &expected),
        }
    }
}

/// Whether a text can be the CA bundle: every sidecar that gets it needs at least one certificate that it can trust.
///
/// # Errors
/// What was expected instead, as the end of a sentence.
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
pub(super) fn tracing_level(level: LogLevel) -> tracing::Level {
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

//! The certificate that the webhook serves, judged as the API server judges it: against the CA bundle of the registration.

use super::CheckReason;
use crate::problem::Finding;
use azure_protocol::ServerTime;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

const SUBJECT: &str = "webhook certificate";
const DAY: i64 = 86_400;
/// cert-manager renews a month before the end: two weeks before it something is wrong.
const ENDING: i64 = 14 * DAY;
/// Further ahead than anybody cares.
const HORIZON: i64 = 3650 * DAY;

/// Judges the chain that was served for `name` by the CA bundle (PEM).
pub(crate) fn finding(chain: &[Vec<u8>], bundle: &[u8], name: &str, now: ServerTime) -> Finding {
    let Some(roots) = roots(bundle) else {
        return ca_missing("The CA bundle of the webhook's registration holds no certificate.");
    };
    let judged = Judge { chain, roots, name };
    match judged.at(now) {
        Ok(()) => {
            let end = judged.end(now);
            let date = end.map_or_else(|| "in more than ten years".to_owned(), |end| format!("on {end}"));
            match end {
                Some(end) if end.0 - now.0 < ENDING => Finding::warning(
                    SUBJECT,
                    format!("The certificate or its CA ends {date}; it should have been renewed."),
                    CheckReason::CertificateEnding.fix(format!(
                        "Look at `kubectl -n {} describe certificate` and at cert-manager's log.",
                        contract::SYSTEM_NAMESPACE
                    )),
                ),
                Some(_) | None => Finding::good(
                    SUBJECT,
                    format!("It is of the registration's CA, for {name}, and ends {date}."),
                ),
            }
        }
        Err(problem) => bad(&problem, name),
    }
}

/// There is no CA to judge by.
pub(crate) fn ca_missing(sentence: &str) -> Finding {
    Finding::bad(
        SUBJECT,
        sentence,
        CheckReason::CaMissing.fix("cert-manager's cainjector writes it: is cert-manager running, and does the registration have its annotation cert-manager.io/inject-ca-from? Just after the installation: wait a minute."),
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls' list grows, and what is not about time or name is about the CA"
)]
fn bad(problem: &CertificateError, name: &str) -> Finding {
    let namespace = contract::SYSTEM_NAMESPACE;
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Finding::bad(
            SUBJECT,
            "The certificate that the webhook serves, or its CA, has expired.",
            CheckReason::CertificateExpired.fix(format!(
                "cert-manager renews it: look at `kubectl -n {namespace} describe certificate`. A new one at once: `kubectl -n {namespace} delete secret ado-agent-webhook-tls`."
            )),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Finding::bad(
            SUBJECT,
            "The certificate that the webhook serves is not valid yet: the clock here, or where it was made, is wrong.",
            CheckReason::CertificateExpired.fix("Correct the clocks (NTP)."),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Finding::bad(
            SUBJECT,
            format!("The certificate that the webhook serves is not for {name}, the name that the API server calls."),
            CheckReason::CertificateName.fix(format!("Let the Certificate name it (`kubectl -n {namespace} get certificate ado-agent-webhook -o yaml`), as the shipped manifests do.")),
        ),
        other => Finding::bad(
            SUBJECT,
            format!("The certificate that the webhook serves is not of the CA in its registration ({other:?}): the API server refuses to call it."),
            CheckReason::CaMismatch.fix(format!(
                "Let the webhook have a leaf of the present root: `kubectl -n {namespace} delete secret ado-agent-webhook-tls`, and wait two minutes. If it stays so, remove the caBundle, which cert-manager then writes again."
            )),
        ),
    }
}

struct Judge<'a> {
    chain: &'a [Vec<u8>],
    roots: Arc<RootCertStore>,
    name: &'a str,
}

impl Judge<'_> {
    /// Whether the chain is good at a point in time.
    fn at(&self, time: ServerTime) -> Result<(), CertificateError> {
        let chain: Vec<_> = self
            .chain
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        let Some((leaf, rest)) = chain.split_first() else {
            return Err(CertificateError::BadEncoding);
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), provider)
            .build()
            .map_err(|_| CertificateError::UnknownIssuer)?;
        let name = ServerName::try_from(self.name).map_err(|_| CertificateError::NotValidForName)?;
        let seconds = u64::try_from(time.0).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match verifier.verify_server_cert(leaf, rest, &name, &[], time) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(problem)) => Err(problem),
            Err(_) => Err(CertificateError::BadEncoding),
        }
    }

    /// When it ends to be good, to the second; `None`: beyond the horizon.
    fn end(&self, now: ServerTime) -> Option<ServerTime> {
        let (mut good, mut bad) = (now.0, now.0 + HORIZON);
        if self.at(ServerTime(bad)).is_ok() {
            return None;
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if self.at(ServerTime(middle)).is_ok() {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Some(ServerTime(bad))
    }
}

fn roots(bundle: &[u8]) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(certificates);
    (added > 0).then(|| Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Level;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    const NAME: &str = "ado-agent-webhook.ado-agent-system.svc";
    /// 2026-06-01.
    const NOW: ServerTime = ServerTime(1_780_272_000);

    /// A root (PEM), and a leaf of it for a name that ends in a year and month.
    fn leaf(name: &str, (year, month): (i32, u8)) -> (String, Vec<Vec<u8>>) {
        let key = KeyPair::generate().expect("a key");
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (root.not_before, root.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 1, 1));
        let pem = root.self_signed(&key).expect("a root").pem();
        let issuer = Issuer::new(root, key);
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2026, 3, 1), date_time_ymd(year, month, 1));
        let leaf = parameters.signed_by(&key, &issuer).expect("a leaf");
        (pem, vec![leaf.der().to_vec()])
    }

    fn judged(name: &str, end: (i32, u8), now: ServerTime) -> (Level, Option<&'static str>, String) {
        let (root, chain) = leaf(name, end);
        let finding = finding(&chain, root.as_bytes(), NAME, now);
        (
            finding.level,
            finding.problem.map(|problem| problem.reason),
            finding.sentence,
        )
    }

    #[test]
    fn a_certificate_is_judged_by_its_end_name_and_root() {
        let good = judged(NAME, (2026, 9), NOW);
        assert_eq!((good.0, good.1), (Level::Good, None), "{}", good.2);
        assert!(good.2.contains("2026-09-01 00:00:0"), "{}", good.2);
        let ending = judged(NAME, (2026, 6), ServerTime(NOW.0 - 7 * DAY));
        assert_eq!(
            (ending.0, ending.1),
            (Level::Warning, Some("certificate-ending")),
            "{}",
            ending.2
        );
        assert_eq!(judged(NAME, (2026, 5), NOW).1, Some("certificate-expired"));
        assert_eq!(
            judged(NAME, (2026, 9), ServerTime(NOW.0 - 120 * DAY)).1,
            Some("certificate-expired")
        );
        assert_eq!(judged("other.example", (2026, 9), NOW).1, Some("certificate-name"));
        let (_, chain) = leaf(NAME, (2026, 9));
        let (other, _) = leaf(NAME, (2026, 9));
        let finding = finding(&chain, other.as_bytes(), NAME, NOW);
        assert_eq!(finding.problem.expect("a problem").reason, "ca-mismatch");
    }

    #[test]
    fn what_is_no_certificate_is_no_ca() {
        let (_, chain) = leaf(NAME, (2026, 9));
        for bundle in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let finding = finding(&chain, bundle.as_bytes(), NAME, NOW);
            assert_eq!(finding.problem.expect("a problem").reason, "ca-missing", "{bundle}");
        }
    }
}

//! Would Entra trade a token of the ServiceAccount? Asked with a token of ten minutes that no pod ever sees.

use super::CheckReason;
use super::intent::Intent;
use super::looked::{Looked, not_given};
use crate::problem::{Finding, Problem, shared};
use azure_protocol::{EntraContext, EntraError};
use contract::{DenyReason, EntraReason};
use std::collections::BTreeMap;

/// What was seen of ServiceAccount and identity.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) intent: &'a Intent,
    /// Annotations of the ServiceAccount.
    pub(crate) account: Looked<BTreeMap<String, String>>,
    /// Whether a token of it could be had; `None`: it does not exist.
    pub(crate) token: Option<Looked<()>>,
    /// Issuer of the token.
    pub(crate) issuer: Option<&'a str>,
    /// What came of the exchange; `None`: it was not tried.
    pub(crate) exchanged: Option<&'a Exchanged>,
}

/// What came of an exchange at Entra.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// The tenant that was asked.
    pub(crate) tenant: String,
    /// Whether Entra issued a token.
    pub(crate) result: Result<(), EntraError>,
}

const ACCOUNT: &str = "ServiceAccount";
const TOKEN: &str = "token request";
const ENTRA: &str = "Entra";

/// What that means.
pub(crate) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = vec![account(facts)];
    match &facts.token {
        Some(Looked::Found(())) => findings.push(Finding::good(
            TOKEN,
            format!(
                "The API server issues a token for {} (audience {}).",
                facts.intent.subject(facts.namespace),
                facts.intent.audience
            ),
        )),
        Some(other) => findings.extend(
            other
                .or_finding(TOKEN, || {
                    let name = &facts.intent.account;
                    Finding::bad(
                        TOKEN,
                        format!("There is no ServiceAccount {name} to ask a token for."),
                        account_fix(facts),
                    )
                })
                .err(),
        ),
        None => {}
    }
    findings.extend(facts.exchanged.map(|exchanged| entra(facts, exchanged)));
    findings
}

fn account_fix(facts: &Facts<'_>) -> Problem {
    let (name, namespace) = (&facts.intent.account, facts.namespace);
    shared(
        DenyReason::AccountMissing,
        format!(
            "`kubectl -n {namespace} create serviceaccount {name}`, or name the one that your agents use with --service-account."
        ),
    )
}

fn account(facts: &Facts<'_>) -> Finding {
    let (name, namespace) = (&facts.intent.account, facts.namespace);
    let missing = || {
        Finding::bad(
            ACCOUNT,
            format!("There is no ServiceAccount {name} in {namespace}."),
            account_fix(facts),
        )
    };
    let annotations = match facts.account.or_finding(ACCOUNT, missing) {
        Ok(annotations) => annotations,
        Err(finding) => return finding,
    };
    let key = contract::AZWI_CLIENT_ID_ANNOTATION;
    match (annotations.get(key), &facts.intent.client_id) {
        (Some(id), _) if !is_guid(id) => Finding::bad(
            ACCOUNT,
            format!("The annotation {key} of {name} is {id:?}, which is no client ID (a GUID)."),
            shared(
                DenyReason::BadIdentity,
                format!("`kubectl -n {namespace} annotate serviceaccount {name} {key}=CLIENT-ID --overwrite`"),
            ),
        ),
        (Some(id), _) => Finding::good(ACCOUNT, format!("{name} is annotated with client ID {id}.")),
        (None, Some(id)) => Finding::good(
            ACCOUNT,
            format!("{name} is there; the client ID {id} comes from elsewhere."),
        ),
        (None, None) => Finding::bad(
            ACCOUNT,
            format!("Nothing names a client ID: {name} has no annotation {key}."),
            shared(
                DenyReason::NoIdentity,
                format!(
                    "`kubectl -n {namespace} annotate serviceaccount {name} {key}=CLIENT-ID`, with the client ID of the agents' identity."
                ),
            ),
        ),
    }
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn entra(facts: &Facts<'_>, exchanged: &Exchanged) -> Finding {
    let client_id = facts.intent.client_id.as_deref().unwrap_or_default();
    match &exchanged.result {
        Ok(()) => Finding::good(
            ENTRA,
            format!("Client ID {client_id} gets a token of tenant {}.", exchanged.tenant),
        ),
        Err(error) => {
            let context = EntraContext {
                client_id,
                tenant: &exchanged.tenant,
            };
            let explained = context.explain(error);
            Finding::bad(
                ENTRA,
                explained.sentence,
                shared(explained.reason, fix(explained.reason, facts)),
            )
        }
    }
}

/// The command or the place where it is mended.
fn fix(reason: EntraReason, facts: &Facts<'_>) -> String {
    let issuer = facts.issuer.unwrap_or("ISSUER");
    let subject = facts.intent.subject(facts.namespace);
    let text = match reason {
        EntraReason::CredentialMissing => {
            return format!(
                "`az identity federated-credential create --identity-name NAME --resource-group GROUP --name {}-{} --issuer {issuer} --subject {subject} --audiences {}`; a new one takes minutes (--wait 10m).",
                facts.namespace, facts.intent.account, facts.intent.audience
            );
        }
        EntraReason::AssertionMissing | EntraReason::AssertionExpired => {
            "Compare the API server's clock with the time (NTP)."
        }
        EntraReason::AssertionRejected => "Publish the cluster's present key set at the issuer's URL.",
        EntraReason::AssertionTooLong => {
            "Look for what raises the lifetime of tokens (--service-account-extend-token-expiration, a webhook)."
        }
        EntraReason::IssuerUnreachable => "Let the issuer's two documents be readable from the internet.",
        EntraReason::ApplicationUnknown => "Correct the client ID (the annotation, or --client-id), or the tenant.",
        EntraReason::TenantUnknown => {
            "Correct the tenant (the annotation, or --tenant-id), or remove it: the organization is then asked."
        }
        EntraReason::ResourceUnknown => {
            "Connect the organization to this tenant (Organization settings > Microsoft Entra)."
        }
        EntraReason::ConditionalAccess => "Ask whoever owns the policy to let this workload identity pass.",
        EntraReason::EntraRefused => "Look the AADSTS code up in Microsoft's list.",
        EntraReason::EntraUnreachable => {
            "Check DNS, proxy (HTTPS_PROXY) and trusted certificates (--ca-file) of this machine; the pods have their own."
        }
        EntraReason::EntraUnavailable | EntraReason::EntraThrottled => "Wait a minute and run this again.",
        EntraReason::BindingRefused => "Bind the ClusterRole with the verb use-managed-identity to the ServiceAccount.",
    };
    text.to_owned()
}

/// Which of the namespace's ServiceAccounts is looked at: the one that was named, else the only one with a client ID.
///
/// # Errors
/// Why none can be chosen.
pub(crate) fn choose(
    said: Option<&str>,
    namespace: &str,
    accounts: &Looked<Vec<(String, BTreeMap<String, String>)>>,
) -> Result<String, Finding> {
    if let Some(said) = said {
        return Ok(said.to_owned());
    }
    let accounts = accounts.or_finding(ACCOUNT, || {
        not_given(
            ACCOUNT,
            format!("Not looked at: {namespace} has no ServiceAccounts."),
            "Name one with --service-account.",
        )
    })?;
    let annotated: Vec<_> = accounts
        .iter()
        .filter(|(_, annotations)| annotations.contains_key(contract::AZWI_CLIENT_ID_ANNOTATION))
        .map(|(name, _)| name.as_str())
        .collect();
    match annotated.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Finding::bad(
            ACCOUNT,
            format!("No ServiceAccount of {namespace} is annotated with a client ID."),
            shared(
                DenyReason::NoIdentity,
                format!(
                    "`kubectl -n {namespace} annotate serviceaccount NAME {}=CLIENT-ID`, or name the one that your agents use with --service-account.",
                    contract::AZWI_CLIENT_ID_ANNOTATION
                ),
            ),
        )),
        several => Err(not_given(
            ACCOUNT,
            format!(
                "Not looked at: {namespace} has several with a client ID: {}.",
                several.join(", ")
            ),
            "Name one with --service-account; run this once for each.",
        )),
    }
}

/// Nothing could be exchanged, since a word is missing.
pub(crate) fn not_exchanged(what: &str) -> Finding {
    not_given(
        ENTRA,
        format!("Not asked: {what}"),
        "Pass --url (or AZP_URL), or --tenant-id, and --client-id where nothing in the cluster names them.",
    )
}

/// The authority is no https URL.
pub(crate) fn bad_authority(problem: &str) -> Finding {
    Finding::bad(
        ENTRA,
        format!("The authority cannot be used: {problem}"),
        CheckReason::NotGiven.fix("Correct --authority."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_annotated_account_is_chosen() {
        let account = |name: &str, id: Option<&str>| {
            let annotations = id.map(|id| (contract::AZWI_CLIENT_ID_ANNOTATION.to_owned(), id.to_owned()));
            (name.to_owned(), annotations.into_iter().collect::<BTreeMap<_, _>>())
        };
        let chosen = |said: Option<&str>, accounts: Vec<_>| {
            choose(said, "agents", &Looked::Found(accounts))
                .map_err(|finding| finding.problem.expect("a problem").reason)
        };
        let one = vec![account("default", None), account("azp", Some("id"))];
        assert_eq!(chosen(None, one.clone()), Ok("azp".to_owned()));
        assert_eq!(chosen(Some("other"), one), Ok("other".to_owned()));
        assert_eq!(chosen(None, vec![account("default", None)]), Err("no-identity"));
        let two = vec![account("a", Some("id")), account("b", Some("id"))];
        assert_eq!(chosen(None, two), Err("not-given"));
    }

    #[test]
    fn a_guid_is_told_from_a_name() {
        assert!(is_guid("11111111-2222-3333-4444-555555555555"));
        assert!(!is_guid("azp-agents") && !is_guid("") && !is_guid("g1111111-2222-3333-4444-555555555555"));
    }
}

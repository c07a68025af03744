//! Federated credentials of the identity, counted against the 20 that Entra takes, where somebody gave a token to read them.

use super::CheckReason;
use super::looked::not_given;
use crate::problem::{Finding, shared};
use contract::EntraReason;
use serde_json::Value;

/// Most federated credentials of one identity (Microsoft Entra, workload identity federation, considerations).
const MOST: usize = 20;
/// From here on somebody should plan for a second identity.
const NEARLY: usize = 18;
const SUBJECT: &str = "federated credentials";

/// What Microsoft Graph answered.
#[derive(Debug, Clone)]
pub(crate) enum Listed {
    /// There was no token for it, or no client ID.
    NotAsked,
    /// The list's `value`.
    Found(Vec<Value>),
    /// No application of this client ID: a managed identity, which Graph does not list.
    NoApplication,
    /// Anything else.
    Failed(String),
}

/// What has to be among them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) subject: &'a str,
    pub(crate) audience: &'a str,
}

/// What that means.
pub(crate) fn findings(listed: &Listed, wanted: Wanted<'_>) -> Vec<Finding> {
    let by_hand = "Of a managed identity: `az identity federated-credential list --identity-name NAME --resource-group GROUP`. Of an application: pass --graph-token-file (`az account get-access-token --resource https://graph.microsoft.com`).";
    let finding = match listed {
        Listed::NotAsked => not_given(
            SUBJECT,
            "Not looked at: that takes a token for Microsoft Graph.",
            by_hand,
        ),
        Listed::NoApplication => not_given(
            SUBJECT,
            "Not looked at: Microsoft Graph knows no application of this client ID; it is a managed identity's, or is wrong.",
            by_hand,
        ),
        Listed::Failed(why) => not_given(SUBJECT, format!("Not looked at: {why}"), by_hand),
        Listed::Found(credentials) => counted(credentials, wanted),
    };
    vec![finding]
}

fn counted(credentials: &[Value], wanted: Wanted<'_>) -> Finding {
    let count = credentials.len();
    let is_ours = |credential: &&Value| {
        credential["subject"] == wanted.subject
            && wanted.issuer.is_none_or(|issuer| credential["issuer"] == issuer)
            && credential["audiences"]
                .as_array()
                .is_some_and(|list| list.iter().any(|one| one == wanted.audience))
    };
    let is_there = credentials.iter().any(|credential| is_ours(&credential));
    let issuer = wanted.issuer.unwrap_or("the cluster's issuer");
    match (is_there, count) {
        (false, MOST..) => Finding::bad(
            SUBJECT,
            format!("All {MOST} are in use, and none is for {} of {issuer}.", wanted.subject),
            CheckReason::CredentialsFull.fix(
                "Delete those of clusters that are gone, or use a second identity (docs/azure.md shows how to count).",
            ),
        ),
        (false, _) => Finding::bad(
            SUBJECT,
            format!(
                "None of the {count} is for {} of {issuer} with audience {}.",
                wanted.subject, wanted.audience
            ),
            shared(
                EntraReason::CredentialMissing,
                "Create it with exactly these three values; letters' case and a slash at the end count.",
            ),
        ),
        (true, NEARLY..) => Finding::warning(
            SUBJECT,
            format!("{count} of {MOST} are in use, this account's among them."),
            CheckReason::CredentialsFull.fix("Plan for a second identity before the next cluster."),
        ),
        (true, _) => Finding::good(
            SUBJECT,
            format!("{count} of {MOST} are in use, this account's among them."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Level;
    use serde_json::json;

    fn found(count: usize, ours: bool) -> (Level, Option<&'static str>) {
        let mut list: Vec<_> = (0..count)
            .map(|number| json!({"issuer": "i", "subject": format!("other-{number}"), "audiences": ["a"]}))
            .collect();
        if ours {
            list[0]["subject"] = json!("s");
        }
        let wanted = Wanted {
            issuer: Some("i"),
            subject: "s",
            audience: "a",
        };
        let finding = findings(&Listed::Found(list), wanted).remove(0);
        (finding.level, finding.problem.map(|problem| problem.reason))
    }

    #[test]
    fn twenty_are_the_end() {
        assert_eq!(found(1, true), (Level::Good, None));
        assert_eq!(found(17, true), (Level::Good, None));
        assert_eq!(found(18, true), (Level::Warning, Some("credentials-full")));
        assert_eq!(found(20, true), (Level::Warning, Some("credentials-full")));
        assert_eq!(found(20, false), (Level::Bad, Some("credentials-full")));
        assert_eq!(found(0, false), (Level::Bad, Some("credential-missing")));
    }
}

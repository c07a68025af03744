//! What is looked at, in which order, and what is needed for what.

use super::gather::{Depth, Scout, Seen};
use super::group::Group;
use super::{Check, Section, Stage};
use super::{cluster, credentials, identity, issuer, keda, organization, pod, webhook};
use crate::problem::Finding;
use azure_protocol::AdoContext;

/// One look at everything that was asked for.
pub(crate) async fn look(check: &Check, scout: &Scout) -> Vec<Section> {
    let stage = if check.pre {
        Stage::BeforeInstall
    } else {
        Stage::Installed
    };
    let groups: Vec<Group> = Group::ALL
        .into_iter()
        .filter(|group| check.only.is_empty() || check.only.contains(group))
        .filter(|group| stage == Stage::Installed || *group != Group::Webhook)
        .collect();
    let seen = if groups.iter().any(|group| group.needs_intent()) {
        let depth = if groups.iter().any(|group| group.needs_token()) {
            Depth::Azure
        } else {
            Depth::Pod
        };
        Some(scout.seen(stage, depth).await)
    } else {
        None
    };
    let mut sections = Vec::new();
    for group in groups {
        let findings = match (group, &seen) {
            (Group::Cluster, _) => cluster::findings(&scout.cluster(stage).await),
            (Group::Webhook, _) => webhook::findings(&scout.webhook().await),
            (Group::Keda, _) => keda::findings(&scout.keda().await),
            (Group::Pod, Some(seen)) => pod::findings(&seen.pod),
            (Group::Issuer, Some(seen)) => issuer::findings(&scout.issuer(seen).await),
            (Group::Identity, Some(seen)) => of_identity(scout, seen),
            (Group::Organization, Some(seen)) => of_organization(seen),
            (Group::Credentials, Some(seen)) => of_credentials(scout, seen).await,
            // Groups that need it have made it be seen.
            (Group::Pod | Group::Issuer | Group::Identity | Group::Organization | Group::Credentials, None) => {
                Vec::new()
            }
        };
        sections.push(Section { group, findings });
    }
    sections
}

fn of_identity(scout: &Scout, seen: &Seen) -> Vec<Finding> {
    let account = match &seen.account {
        Ok(account) => account,
        Err(finding) => return vec![finding.clone()],
    };
    let mut findings = identity::findings(&identity::Facts {
        namespace: scout.namespace(),
        intent: &seen.intent,
        account: account.clone(),
        token: seen.token.as_ref().map(|token| token.clone().map(|_| ())),
        issuer: seen.claimed.as_ref().map(|claimed| claimed.url.as_str()),
        exchanged: seen.azure.exchanged.as_ref(),
    });
    findings.extend(seen.azure.not_exchanged.clone());
    findings
}

fn of_organization(seen: &Seen) -> Vec<Finding> {
    let intent = &seen.intent;
    let context = AdoContext {
        url: intent.url.as_deref().unwrap_or_default(),
        pool: &intent.pool,
        client_id: intent.client_id.as_deref().unwrap_or_default(),
        tenant: seen.azure.exchanged.as_ref().map(|exchanged| exchanged.tenant.as_str()),
    };
    organization::findings(&seen.azure.asked, &context)
}

async fn of_credentials(scout: &Scout, seen: &Seen) -> Vec<Finding> {
    let intent = &seen.intent;
    let listed = scout.credentials(intent).await;
    let wanted = credentials::Wanted {
        issuer: seen.claimed.as_ref().map(|claimed| claimed.url.as_str()),
        subject: &intent.subject(scout.namespace()),
        audience: &intent.audience,
    };
    credentials::findings(&listed, wanted)
}

//! Entra, Azure DevOps and Microsoft Graph.

use super::super::credentials::Listed;
use super::super::identity::{Exchanged, bad_authority, not_exchanged};
use super::super::intent::Intent;
use super::super::organization::Asked;
use super::{AzureSeen, Depth, PATIENCE, Scout};
use crate::organization::own_host;
use ::azure::{AssertionSource, Authority, AzureDevOps, Entra, Http, Identity, Secret};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, PoolId};
use contract::OrganizationUrl;
use std::sync::Arc;

impl Scout {
    /// What a token of the ServiceAccount is good for.
    pub(super) async fn azure(&self, intent: &Intent, assertion: Option<&Secret>, depth: Depth) -> AzureSeen {
        let nothing = |asked| AzureSeen {
            exchanged: None,
            not_exchanged: None,
            asked,
        };
        if depth == Depth::Pod {
            return nothing(Asked::NoToken);
        }
        let http = match self.network.http_with(intent.ca.clone()) {
            Ok(http) => http,
            Err(error) => return nothing(Asked::BadUrl(format!("{error:#}"))),
        };
        let organization = intent.url.as_deref().map(|url| organization(url, &http));
        let tenant = match (&intent.tenant, &organization) {
            (Some(tenant), _) => Ok(tenant.clone()),
            (None, Some(Ok(organization))) => tenant(organization).await,
            (None, Some(Err(_)) | None) => Err(Asked::NoUrl),
        };
        let tenant = match tenant {
            Ok(tenant) => tenant,
            Err(asked) => {
                return AzureSeen {
                    not_exchanged: Some(not_exchanged("the tenant is not known.")),
                    ..nothing(match organization {
                        Some(Err(why)) => Asked::BadUrl(why),
                        Some(Ok(_)) | None => asked,
                    })
                };
            }
        };
        let mut seen = nothing(Asked::NoToken);
        let token = match (assertion, &intent.client_id) {
            (Some(assertion), Some(client_id)) => match authority(&intent.authority) {
                Ok(authority) => {
                    let identity = Identity {
                        client_id: client_id.clone(),
                        scope: intent.scope.clone(),
                        assertion: AssertionSource::Held(assertion.clone()),
                        authority,
                        binding: None,
                    };
                    let issued = Entra::new(identity, Arc::clone(&http)).exchange(&tenant).await;
                    let token = issued.as_ref().ok().map(|issued| issued.token.clone());
                    seen.exchanged = Some(Exchanged {
                        tenant,
                        result: issued.map(|_| ()),
                    });
                    token
                }
                Err(problem) => {
                    seen.not_exchanged = Some(bad_authority(&problem));
                    None
                }
            },
            (None, _) => {
                seen.not_exchanged = Some(not_exchanged("there is no token of the ServiceAccount."));
                None
            }
            (Some(_), None) => {
                seen.not_exchanged = Some(not_exchanged("no client ID is known."));
                None
            }
        };
        seen.asked = match (organization, token) {
            (None, _) => Asked::NoUrl,
            (Some(Err(why)), _) => Asked::BadUrl(why),
            (Some(Ok(_)), None) => Asked::NoToken,
            (Some(Ok(organization)), Some(token)) => rights(&organization, &intent.pool, &token).await,
        };
        seen
    }

    /// The federated credentials of the identity.
    pub(crate) async fn credentials(&self, intent: &Intent) -> Listed {
        let (Some(token), Some(client_id)) = (&self.graph_token, &intent.client_id) else {
            return Listed::NotAsked;
        };
        let url = format!(
            "{}/v1.0/applications(appId='{client_id}')/federatedIdentityCredentials",
            self.graph
        );
        let http = match self.network.http() {
            Ok(http) => http,
            Err(error) => return Listed::Failed(format!("{error:#}")),
        };
        match http.document(&url, Some(token), PATIENCE).await {
            Err(error) => Listed::Failed(format!(
                "Microsoft Graph could not be reached: {}",
                token.redact(&error.to_string())
            )),
            Ok(answer) if answer.status == 404 => Listed::NoApplication,
            Ok(answer) if answer.status != 200 => Listed::Failed(format!(
                "Microsoft Graph answers {}; is the token for it, and may it read the application?",
                answer.status
            )),
            Ok(answer) => match serde_json::from_slice::<serde_json::Value>(&answer.body) {
                Ok(list) => Listed::Found(list["value"].as_array().cloned().unwrap_or_default()),
                Err(_) => Listed::Failed("what Microsoft Graph answers is no JSON".to_owned()),
            },
        }
    }
}

fn authority(url: &str) -> Result<Authority, String> {
    let host = own_host(url).map_err(|error| format!("{error:#}"))?;
    Authority::parse(url, &host).map_err(|error| error.to_string())
}

fn organization(url: &str, http: &Arc<Http>) -> Result<AzureDevOps, String> {
    let host = own_host(url).map_err(|error| format!("{error:#}"))?;
    let url = OrganizationUrl::parse(url, &host).map_err(|error| error.to_string())?;
    AzureDevOps::new(&url, Arc::clone(http)).map_err(|error| error.to_string())
}

async fn tenant(organization: &AzureDevOps) -> Result<String, Asked> {
    match organization.call(&AdoRequest::Tenant, None, PATIENCE).await.result {
        Ok(AdoResponse::Tenant(Some(tenant))) => Ok(tenant),
        Ok(_) => Err(Asked::TenantUnsaid),
        Err(error) => Err(Asked::NoTenant(error)),
    }
}

/// Pool and role.
async fn rights(organization: &AzureDevOps, pool: &str, token: &Secret) -> Asked {
    let find = AdoRequest::PoolByName(pool.to_owned());
    let pool: PoolId = match organization.call(&find, Some(token), PATIENCE).await.result {
        Ok(AdoResponse::Pool(Some(pool))) => pool,
        Ok(AdoResponse::Pool(None)) => return Asked::NoPool,
        Ok(_) => return Asked::Failed(find, unexpected()),
        Err(error) => return Asked::Failed(find, error),
    };
    let ask = AdoRequest::MayManage(pool);
    match organization.call(&ask, Some(token), PATIENCE).await.result {
        Ok(AdoResponse::MayManage(may)) => Asked::MayManage(may),
        Ok(_) => Asked::Failed(ask, unexpected()),
        Err(error) => Asked::Failed(ask, error),
    }
}

fn unexpected() -> AdoError {
    AdoError::new(AdoErrorKind::UnexpectedResponse, "an answer to another question")
}

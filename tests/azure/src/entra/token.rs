//! The token endpoints with a federated assertion, and nothing else: `POST /{tenant}/oauth2/v2.0/token` with a scope, and
//! the older `POST /{tenant}/oauth2/token` with a resource.
//!
//! Published scripts send a multipart form (curl's `--form`), several with GET (`curl --location --request GET --form …`,
//! which is how the article that this project comes from signs in); so a form is read whatever the method and in both
//! encodings. A JSON body is not read (AADSTS900144, microsoftgraph/microsoft-graph-docs#20272), and GET without a form is
//! refused (AADSTS900561).

use super::directory::{Identity, Kind};
use super::errors::{Refusal, refuse};
use super::{AZURE_DEVOPS, Entra, Exchange, federation};
use crate::clock::Timestamp;
use crate::guid;
use crate::http::{Reply, Request};
use crate::jwt::Token;
use crate::recording::fingerprint;
use serde_json::json;
use std::time::Duration;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Which of the two endpoints was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    V1,
    V2,
}

/// The parameters that the exchange needs.
struct Form {
    client_id: String,
    resource: String,
    assertion: Token,
}

impl Entra {
    /// Answers a request for a token, and remembers how it went.
    pub(super) async fn exchange(
        &self,
        tenant: &str,
        endpoint: Endpoint,
        request: &Request,
    ) -> (Reply, Option<String>) {
        let now = self.clock().now();
        let mut exchange = Exchange::new(now, tenant);
        let result = self.grant(tenant, endpoint, request, now, &mut exchange).await;
        let reply = match result {
            Ok(granted) => {
                exchange.name = Some(granted.identity.name.clone());
                match endpoint {
                    Endpoint::V1 => granted.reply_v1(now),
                    Endpoint::V2 => granted.reply(),
                }
            }
            Err(refusal) => {
                exchange.code = Some(refusal.code);
                refusal.reply(request, now)
            }
        };
        let name = exchange.name.clone();
        self.lock().exchanges.push(exchange);
        (reply, name)
    }

    async fn grant(
        &self,
        tenant: &str,
        endpoint: Endpoint,
        request: &Request,
        now: Timestamp,
        exchange: &mut Exchange,
    ) -> Result<Granted, Refusal> {
        let form = request.form().or_else(|| request.multipart());
        let form = form.filter(|form| !form.is_empty());
        if request.method != "POST" && form.is_none() {
            return refuse(900_561, &request.method);
        }
        let tenant = self.known_tenant(tenant)?;
        let form = read(&form.unwrap_or_default(), endpoint, exchange)?;
        let identity = self.trusted(&tenant, &form, now)?;
        let issuer = form.assertion.text("iss").unwrap_or_default();
        let key_id = form.assertion.key_id().unwrap_or_default();
        let key = self.inner.issuers.key(issuer, key_id, now).await?;
        if !key.is_some_and(|key| form.assertion.is_signed_by(&key)) {
            return refuse(7_000_272, format!("Issuer: '{issuer}', key identifier: '{key_id}'."));
        }
        let state = self.lock();
        federation::is_timely(&form.assertion, now, state.leeway)?;
        let entry = state.directory.client(&form.client_id);
        if let Some(code) = entry.and_then(|entry| entry.blocked) {
            return refuse(code, "");
        }
        let lifetime = entry
            .and_then(|entry| entry.lifetime)
            .unwrap_or_else(|| usual_lifetime(identity.kind));
        drop(state);
        let token = self.sign_token(&identity, &form.resource, now, lifetime);
        Ok(Granted {
            identity,
            resource: form.resource,
            token,
            lifetime,
        })
    }

    /// The tenant's id.
    fn known_tenant(&self, name: &str) -> Result<String, Refusal> {
        if ["common", "organizations", "consumers"].contains(&name) {
            return refuse(50059, "");
        }
        if !guid::is_guid(name) && !name.contains('.') {
            return refuse(900_023, name);
        }
        match self.lock().directory.tenant(name) {
            Some(tenant) => Ok(tenant.id.clone()),
            None => refuse(90002, name),
        }
    }

    /// The client, if it may have a token for this resource and trusts this assertion.
    fn trusted(&self, tenant: &str, form: &Form, now: Timestamp) -> Result<Identity, Refusal> {
        let state = self.lock();
        let entry = state
            .directory
            .client(&form.client_id)
            .filter(|entry| entry.identity.tenant == tenant);
        let Some(entry) = entry else {
            return refuse(700_016, &form.client_id);
        };
        if entry.disabled {
            return refuse(7_000_112, &form.client_id);
        }
        let installed = state
            .directory
            .tenant(tenant)
            .is_some_and(|tenant| tenant.has_azure_devops || form.resource != AZURE_DEVOPS);
        let exists = exists(&form.resource);
        if !installed || !exists {
            return refuse(500_011, &form.resource);
        }
        federation::trusts(entry, &form.assertion, now)?;
        Ok(entry.identity.clone())
    }

    /// An access token of the shape that Azure DevOps gets (version 1.0).
    pub(super) fn sign_token(&self, who: &Identity, resource: &str, now: Timestamp, lifetime: Duration) -> String {
        let (tenant, seconds) = (&who.tenant, now.seconds());
        let mut claims = json!({
            "aud": resource,
            "iss": format!("https://sts.windows.net/{tenant}/"),
            "iat": seconds, "nbf": seconds, "exp": seconds + lifetime.as_secs() as i64,
            "appid": who.client_id,
            "oid": who.object_id, "sub": who.object_id, "tid": tenant,
            "uti": guid::random(), "ver": "1.0",
        });
        let kind = match who.kind {
            Kind::User => json!({ "name": who.name, "unique_name": who.name, "scp": "user_impersonation" }),
            Kind::Application | Kind::ManagedIdentity => {
                json!({ "appidacr": "2", "idtyp": "app", "idp": format!("https://sts.windows.net/{tenant}/") })
            }
        };
        if let (Some(claims), Some(kind)) = (claims.as_object_mut(), kind.as_object()) {
            claims.extend(kind.clone());
        }
        self.inner.key.sign(&claims)
    }
}

/// 24 hours for a managed identity (Azure/login#180, Azure/azure-cli#28915); a random 60 to 90 minutes for an application
/// (Microsoft Entra documentation, "Configurable token lifetimes").
fn usual_lifetime(kind: Kind) -> Duration {
    match kind {
        Kind::ManagedIdentity => Duration::from_secs(86_400),
        Kind::Application | Kind::User => Duration::from_secs(3600 + guid::below(1800)),
    }
}

/// A token and whose it is.
struct Granted {
    identity: Identity,
    resource: String,
    token: String,
    lifetime: Duration,
}

impl Granted {
    fn reply(&self) -> Reply {
        let seconds = self.lifetime.as_secs().saturating_sub(1);
        let mut body = json!({
            "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": self.token,
        });
        if self.identity.kind == Kind::ManagedIdentity && seconds > 7200 {
            body["refresh_in"] = (seconds / 2).into();
        }
        Reply::json(200, &body)
    }

    /// The older endpoint writes its numbers as text and names the resource.
    fn reply_v1(&self, now: Timestamp) -> Reply {
        let seconds = self.lifetime.as_secs().saturating_sub(1);
        let expires = now.seconds() + i64::try_from(seconds).unwrap_or(i64::MAX);
        Reply::json(
            200,
            &json!({
                "token_type": "Bearer", "expires_in": seconds.to_string(), "ext_expires_in": seconds.to_string(),
                "expires_on": expires.to_string(), "not_before": now.seconds().to_string(),
                "resource": self.resource, "access_token": self.token,
            }),
        )
    }
}

/// Resources that exist in every tenant, by each of their names: Azure DevOps, Microsoft Graph, Azure Resource Manager.
const RESOURCES: &[&str] = &[
    AZURE_DEVOPS,
    "00000003-0000-0000-c000-000000000000",
    "https://graph.microsoft.com",
    "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    "https://management.azure.com",
    "https://management.core.windows.net",
];

/// Names that are addresses are the same with and without a slash at their end; `az login` writes one.
fn exists(resource: &str) -> bool {
    RESOURCES.contains(&resource)
        || resource.starts_with("https://") && resource.strip_suffix('/').is_some_and(|name| RESOURCES.contains(&name))
}

/// Scopes that mean nothing to a client without a user, and do no harm.
const OPENID_SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];

/// Reads the form in the order in which Entra complains.
fn read(form: &[(String, String)], endpoint: Endpoint, exchange: &mut Exchange) -> Result<Form, Refusal> {
    let parameter = |name: &str| -> Result<String, Refusal> {
        match form.iter().find(|(key, value)| key == name && !value.is_empty()) {
            Some((_, value)) => Ok(value.clone()),
            None => refuse(900_144, name),
        }
    };
    let grant = parameter("grant_type")?;
    let client_id = parameter("client_id")?;
    exchange.client_id = Some(client_id.clone());
    if grant != "client_credentials" {
        return refuse(70003, grant);
    }
    let resource = match endpoint {
        Endpoint::V1 => parameter("resource")?,
        Endpoint::V2 => resource_of(&parameter("scope")?)?,
    };
    if parameter("client_secret").is_ok() {
        return refuse(7_000_215, client_id);
    }
    let (Ok(kind), Ok(assertion)) = (parameter("client_assertion_type"), parameter("client_assertion")) else {
        return refuse(7_000_218, "");
    };
    if kind != ASSERTION_TYPE {
        return refuse(7_000_218, "");
    }
    exchange.assertion = Some(fingerprint(&assertion));
    // Strictly: white space around it, such as a file's last newline, makes it malformed.
    let Some(assertion) = Token::parse(&assertion) else {
        return refuse(50027, "");
    };
    exchange.issuer = assertion.text("iss").map(str::to_owned);
    exchange.key = assertion.key_id().map(str::to_owned);
    exchange.subject = assertion.text("sub").map(str::to_owned);
    Ok(Form {
        client_id,
        resource,
        assertion,
    })
}

/// The one resource of a scope `RESOURCE/.default`.
fn resource_of(scope: &str) -> Result<String, Refusal> {
    // Microsoft's library for Go, which KEDA uses, adds those of OpenID Connect to every request.
    let mut scopes = scope.split(' ').filter(|scope| !OPENID_SCOPES.contains(scope));
    let resource = scopes.next().and_then(|scope| scope.strip_suffix("/.default"));
    match (resource, scopes.next()) {
        (Some(resource), None) => Ok(resource.to_owned()),
        _ => refuse(70011, scope),
    }
}

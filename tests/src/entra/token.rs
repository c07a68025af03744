//! The token endpoint: `POST /{tenant}/oauth2/v2.0/token` with a federated assertion, and nothing else.

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

/// The parameters that the exchange needs.
struct Form {
    client_id: String,
    resource: String,
    assertion: Token,
}

impl Entra {
    /// Answers a request for a token, and remembers how it went.
    pub(super) async fn exchange(&self, tenant: &str, request: &Request) -> (Reply, Option<String>) {
        let now = self.clock().now();
        let mut exchange = Exchange::new(now, tenant);
        let result = self.grant(tenant, request, now, &mut exchange).await;
        let reply = match result {
            Ok((identity, token, lifetime)) => {
                exchange.name = Some(identity.name.clone());
                success(&identity, &token, lifetime)
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
        request: &Request,
        now: Timestamp,
        exchange: &mut Exchange,
    ) -> Result<(Identity, String, Duration), Refusal> {
        if request.method != "POST" {
            return refuse(900_561, &request.method);
        }
        let tenant = self.known_tenant(tenant)?;
        let form = read(request, exchange)?;
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
        Ok((identity, token, lifetime))
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
        let exists = [AZURE_DEVOPS, "https://graph.microsoft.com"].contains(&form.resource.as_str());
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

/// 24 hours for a managed identity; a random 60 to 90 minutes for an application.
fn usual_lifetime(kind: Kind) -> Duration {
    match kind {
        Kind::ManagedIdentity => Duration::from_secs(86_400),
        Kind::Application | Kind::User => Duration::from_secs(3600 + guid::below(1800)),
    }
}

fn success(who: &Identity, token: &str, lifetime: Duration) -> Reply {
    let seconds = lifetime.as_secs().saturating_sub(1);
    let mut body = json!({
        "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
    });
    if who.kind == Kind::ManagedIdentity && seconds > 7200 {
        body["refresh_in"] = (seconds / 2).into();
    }
    Reply::json(200, &body)
}

/// Scopes that mean nothing to a client without a user, and do no harm.
const OPENID_SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];

/// Reads the form in the order in which Entra complains.
fn read(request: &Request, exchange: &mut Exchange) -> Result<Form, Refusal> {
    let form = request.form().unwrap_or_default();
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
    let scope = parameter("scope")?;
    // Microsoft's library for Go, which KEDA uses, adds those of OpenID Connect to every request.
    let mut scopes = scope.split(' ').filter(|scope| !OPENID_SCOPES.contains(scope));
    let (Some(resource), None) = (
        scopes.next().and_then(|scope| scope.strip_suffix("/.default")),
        scopes.next(),
    ) else {
        return refuse(70011, scope);
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
        resource: resource.to_owned(),
        assertion,
    })
}

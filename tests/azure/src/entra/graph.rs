//! As much of Microsoft Graph as setting up an identity needs: applications, service principals, federated credentials.

use super::directory::{CredentialRefused, Directory, FederatedCredential, Kind, Visible};
use super::{Entra, Identity};
use crate::http::{Reply, Request};
use crate::jwt::Token;
use serde_json::{Value, json};

impl Entra {
    /// Answers below `/v1.0`. Any valid token of a person for Graph may do everything.
    pub(super) fn graph(&self, request: &Request) -> Reply {
        let Some(tenant) = self.graph_tenant(request) else {
            return error(401, "InvalidAuthenticationToken", "Access token is empty or not valid.");
        };
        let segments: Vec<&str> = request.segments.iter().flat_map(|segment| by_key(segment)).collect();
        let now = self.clock().now();
        let mut state = self.lock();
        let directory = &mut state.directory;
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", [_, "applications"]) => list(directory, &tenant, request, application),
            ("POST", [_, "applications"]) => match text(request, "displayName") {
                Some(name) => Reply::json(
                    201,
                    &application(&directory.add(&tenant, Kind::Application, &name, None)),
                ),
                None => error(400, "Request_BadRequest", "displayName is missing."),
            },
            ("GET", [_, "servicePrincipals"]) => list(directory, &tenant, request, service_principal),
            ("POST", [_, "servicePrincipals"]) => {
                let wanted = text(request, "appId").unwrap_or_default();
                match directory.client(&wanted) {
                    Some(entry) => Reply::json(201, &service_principal(&entry.identity)),
                    None => error(
                        400,
                        "Request_BadRequest",
                        "The appId does not reference a valid application object.",
                    ),
                }
            }
            ("GET", [_, "applications", id, "federatedIdentityCredentials"]) => match find(directory, id) {
                Some(client) => {
                    let entry = directory.client(&client);
                    let credentials = entry.into_iter().flat_map(|entry| &entry.credentials);
                    Reply::json(
                        200,
                        &json!({ "value": credentials.map(credential).collect::<Vec<_>>() }),
                    )
                }
                None => not_found(id),
            },
            ("POST", [_, "applications", id, "federatedIdentityCredentials"]) => {
                let (Some(client), Some(new)) = (find(directory, id), read(request)) else {
                    return not_found(id);
                };
                match directory.add_credential(&client, new, now) {
                    Ok(id) => created(directory, &client, &id),
                    Err(refused) => refuse(refused),
                }
            }
            ("DELETE", [_, "applications", id, "federatedIdentityCredentials", key]) => {
                let client = find(directory, id);
                let Some(entry) = client.and_then(|client| directory.client_mut(&client)) else {
                    return not_found(id);
                };
                let before = entry.credentials.len();
                entry
                    .credentials
                    .retain(|visible| visible.id != *key && visible.credential.name != *key);
                if entry.credentials.len() == before {
                    not_found(key)
                } else {
                    Reply::empty(204)
                }
            }
            _ => error(
                404,
                "ResourceNotFound",
                "The emulator does not have this part of Microsoft Graph.",
            ),
        }
    }

    fn graph_tenant(&self, request: &Request) -> Option<String> {
        let token = Token::parse(request.header("authorization")?.strip_prefix("Bearer ")?)?;
        let valid = token.is_signed_by(&self.public_key())
            && token.is_for("https://graph.microsoft.com")
            && token.number("exp")? > self.clock().now().seconds();
        valid.then_some(token.text("tid")?.to_owned())
    }
}

/// `applications(appId='…')`, the alternate key, as `applications/…`.
fn by_key(segment: &str) -> Vec<&str> {
    match segment
        .strip_suffix("')")
        .and_then(|segment| segment.split_once("(appId='"))
    {
        Some((collection, id)) => vec![collection, id],
        None => vec![segment],
    }
}

/// `applications/{object id}` or `applications(appId='…')`, as a client ID.
fn find(directory: &Directory, id: &str) -> Option<String> {
    let found = directory.entries.iter().map(|entry| &entry.identity);
    let mut found =
        found.filter(|who| who.kind != Kind::User && [&who.registration_id, &who.client_id].contains(&&id.to_owned()));
    found.next().map(|who| who.client_id.clone())
}

fn list(directory: &Directory, tenant: &str, request: &Request, shape: fn(&Identity) -> Value) -> Reply {
    let wanted = request.parameter("$filter").and_then(|filter| {
        let (member, value) = filter.split_once(" eq ")?;
        Some((member.trim().to_owned(), value.trim().trim_matches('\'').to_owned()))
    });
    let shapes = directory
        .entries
        .iter()
        .filter(|entry| entry.identity.tenant == tenant && entry.identity.kind != Kind::User)
        .map(|entry| shape(&entry.identity))
        .filter(|shape| match &wanted {
            Some((member, value)) => shape.get(member).is_some_and(|found| found == value),
            None => true,
        });
    Reply::json(200, &json!({ "value": shapes.collect::<Vec<_>>() }))
}

fn application(who: &Identity) -> Value {
    json!({ "id": who.registration_id, "appId": who.client_id, "displayName": who.name })
}

fn service_principal(who: &Identity) -> Value {
    json!({ "id": who.object_id, "appId": who.client_id, "displayName": who.name, "appOwnerOrganizationId": who.tenant })
}

fn credential(visible: &Visible) -> Value {
    let FederatedCredential {
        name,
        issuer,
        subject,
        audiences,
    } = &visible.credential;
    json!({ "id": visible.id, "name": name, "issuer": issuer, "subject": subject, "audiences": audiences })
}

fn created(directory: &Directory, client: &str, id: &str) -> Reply {
    let entry = directory.client(client);
    let found = entry.and_then(|entry| entry.credentials.iter().find(|visible| visible.id == id));
    Reply::json(201, &found.map_or(Value::Null, credential))
}

fn read(request: &Request) -> Option<FederatedCredential> {
    let body = request.json()?;
    let text = |member: &str| Some(body.get(member)?.as_str()?.to_owned());
    let audiences = body.get("audiences")?.as_array()?.iter();
    Some(FederatedCredential {
        name: text("name")?,
        issuer: text("issuer")?,
        subject: text("subject")?,
        audiences: audiences
            .filter_map(|audience| Some(audience.as_str()?.to_owned()))
            .collect(),
    })
}

fn text(request: &Request, member: &str) -> Option<String> {
    Some(request.json()?.get(member)?.as_str()?.to_owned())
}

fn refuse(refused: CredentialRefused) -> Reply {
    match refused {
        CredentialRefused::NoSuchIdentity => not_found("application"),
        CredentialRefused::Limit => error(
            400,
            "Request_BadRequest",
            "Maximum number of federated identity credentials reached (20).",
        ),
        CredentialRefused::Exists => error(
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            "FederatedIdentityCredential with name, or issuer and subject, already exists.",
        ),
        CredentialRefused::Audience => error(400, "Request_BadRequest", "Exactly one audience is allowed."),
        CredentialRefused::ConcurrentWrite => concurrent_write(),
    }
}

pub(super) fn concurrent_write() -> Reply {
    error(
        409,
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        "Too many Federated Identity Credentials are written concurrently for the identity. Concurrent writes are not supported.",
    )
}

fn not_found(what: &str) -> Reply {
    error(
        404,
        "Request_ResourceNotFound",
        &format!("Resource '{what}' does not exist."),
    )
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": code, "message": message } }))
}

//! What Entra knows: tenants, identities, federated credentials.

use crate::clock::Timestamp;
use crate::guid;
use serde::Serialize;
use std::time::Duration;

/// How many federated credentials an identity holds at most.
pub const FEDERATED_CREDENTIAL_LIMIT: usize = 20;

/// What kind of identity somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An application registration with its enterprise application: tokens live 60 to 90 minutes.
    Application,
    /// A user-assigned managed identity: tokens live 24 hours.
    ManagedIdentity,
    /// A person.
    User,
}

/// An identity of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// What it is.
    pub kind: Kind,
    /// Tenant id.
    pub tenant: String,
    /// Display name.
    pub name: String,
    /// Client id (`appId`); a person's is that of the Azure CLI, as a real one's tokens say.
    pub client_id: String,
    /// Object id of the service principal (enterprise application, managed identity) or of the person: what Azure
    /// DevOps is told.
    pub object_id: String,
    /// Object id of the application registration, which Azure DevOps does **not** take.
    pub registration_id: String,
}

/// Trust in one issuer, subject and audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FederatedCredential {
    /// Name, unique within the identity.
    pub name: String,
    /// Issuer, byte for byte.
    pub issuer: String,
    /// Subject, byte for byte.
    pub subject: String,
    /// Audiences, of which Entra takes exactly one.
    pub audiences: Vec<String>,
}

impl FederatedCredential {
    /// Trust in one service account of a cluster.
    pub fn for_service_account(issuer: &str, namespace: &str, account: &str) -> Self {
        Self {
            name: format!("{namespace}-{account}"),
            issuer: issuer.to_owned(),
            subject: format!("system:serviceaccount:{namespace}:{account}"),
            audiences: vec![crate::cluster_issuer::ENTRA_AUDIENCE.to_owned()],
        }
    }
}

/// Why a federated credential was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialRefused {
    /// There is no such identity, or it is a person.
    NoSuchIdentity,
    /// There are twenty.
    Limit,
    /// The name, or issuer and subject, are taken.
    Exists,
    /// Another one is being written.
    ConcurrentWrite,
    /// There is not exactly one audience.
    Audience,
}

pub(super) struct Tenant {
    pub(super) id: String,
    pub(super) domain: String,
    /// Azure DevOps was used once, so its service principal exists here.
    pub(super) has_azure_devops: bool,
}

pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) credentials: Vec<Visible>,
    pub(super) disabled: bool,
    /// An AADSTS code of a conditional access policy.
    pub(super) blocked: Option<u32>,
    pub(super) lifetime: Option<Duration>,
    /// Until when a federated credential is being written.
    pub(super) writing_until: Timestamp,
}

/// A federated credential and from when the token endpoint knows it.
pub(super) struct Visible {
    pub(super) id: String,
    pub(super) credential: FederatedCredential,
    pub(super) from: Timestamp,
}

#[derive(Default)]
pub(super) struct Directory {
    pub(super) tenants: Vec<Tenant>,
    pub(super) entries: Vec<Entry>,
    pub(super) propagation: Duration,
    pub(super) write_time: Duration,
}

/// The public client ID of the Azure CLI, which a person's tokens name.
const AZURE_CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

impl Directory {
    /// A tenant by id or domain.
    pub(super) fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants
            .iter()
            .find(|tenant| tenant.id.eq_ignore_ascii_case(name) || tenant.domain.eq_ignore_ascii_case(name))
    }

    /// An application or managed identity by client ID.
    pub(super) fn client(&self, client_id: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.identity.kind != Kind::User && entry.identity.client_id.eq_ignore_ascii_case(client_id))
    }

    pub(super) fn client_mut(&mut self, client_id: &str) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.identity.kind != Kind::User && entry.identity.client_id.eq_ignore_ascii_case(client_id))
    }

    pub(super) fn add(&mut self, tenant: &str, kind: Kind, name: &str, client_id: Option<&str>) -> Identity {
        let identity = Identity {
            kind,
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            client_id: match kind {
                Kind::User => AZURE_CLI.to_owned(),
                Kind::Application | Kind::ManagedIdentity => client_id.map_or_else(guid::random, str::to_owned),
            },
            object_id: guid::random(),
            registration_id: guid::random(),
        };
        self.entries.push(Entry {
            identity: identity.clone(),
            credentials: Vec::new(),
            disabled: false,
            blocked: None,
            lifetime: None,
            writing_until: Timestamp(0),
        });
        identity
    }

    /// Adds a federated credential, visible to the token endpoint after the propagation time. Returns its id.
    pub(super) fn add_credential(
        &mut self,
        client_id: &str,
        credential: FederatedCredential,
        now: Timestamp,
    ) -> Result<String, CredentialRefused> {
        let (propagation, write_time) = (self.propagation, self.write_time);
        let entry = self.client_mut(client_id).ok_or(CredentialRefused::NoSuchIdentity)?;
        if credential.audiences.len() != 1 {
            return Err(CredentialRefused::Audience);
        }
        if now < entry.writing_until {
            return Err(CredentialRefused::ConcurrentWrite);
        }
        let taken = entry.credentials.iter().any(|Visible { credential: other, .. }| {
            other.name == credential.name || (other.issuer == credential.issuer && other.subject == credential.subject)
        });
        if taken {
            return Err(CredentialRefused::Exists);
        }
        if entry.credentials.len() >= FEDERATED_CREDENTIAL_LIMIT {
            return Err(CredentialRefused::Limit);
        }
        entry.writing_until = now.plus(write_time);
        let id = guid::random();
        entry.credentials.push(Visible {
            id: id.clone(),
            credential,
            from: now.plus(propagation),
        });
        Ok(id)
    }
}

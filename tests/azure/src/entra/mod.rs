//! An emulator of Microsoft Entra ID: federated token exchange, discovery for Microsoft's SDKs, a little of Graph.
//!
//! What it refuses, it refuses with the body of the real service. What is inferred stands in [`crate::assumptions`].

mod directory;
mod discovery;
mod errors;
mod federation;
mod graph;
mod router;
mod token;

pub use directory::{CredentialRefused, FEDERATED_CREDENTIAL_LIMIT, FederatedCredential, Identity, Kind};
pub use errors::{CODES, Code};

use crate::clock::{Clock, Timestamp};
use crate::faults::Faults;
use crate::http::{Listen, Server};
use crate::jwt::{INSECURE_ENTRA_KEY, PublicKey, SigningKey};
use crate::recording::{Record, Recording, TimedOut, summary, wait_until};
use crate::tls::Authority;
use directory::{Directory, Tenant};
use federation::Issuers;
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The resource Azure DevOps, as in the scope `499b84ac-1321-427f-aa17-267ca6975798/.default`.
pub const AZURE_DEVOPS: &str = "499b84ac-1321-427f-aa17-267ca6975798";

/// Host names under which the emulator may be asked, beside the loopback's.
pub const HOSTS: &[&str] = &[
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "graph.microsoft.com",
];

/// The emulator. Clones are the same; it runs until the last is dropped.
#[derive(Clone)]
pub struct Entra {
    inner: Arc<Inner>,
    /// Absent in the handle that the server itself holds: it would never be dropped.
    server: Option<Arc<Server>>,
}

struct Inner {
    clock: Clock,
    key: SigningKey,
    faults: Faults,
    recording: Recording,
    issuers: Issuers,
    state: Mutex<State>,
}

struct State {
    directory: Directory,
    exchanges: Vec<Exchange>,
    leeway: Duration,
}

/// One request for a token.
#[derive(Debug, Clone, Serialize)]
pub struct Exchange {
    /// When it came.
    pub time: Timestamp,
    /// Tenant as it stands in the path.
    pub tenant: String,
    /// `client_id`, where the form had one.
    pub client_id: Option<String>,
    /// Issuer of the assertion.
    pub issuer: Option<String>,
    /// Name of the key that the assertion says it is signed with.
    pub key: Option<String>,
    /// Subject of the assertion.
    pub subject: Option<String>,
    /// First eight hexadecimal digits of the assertion's SHA-256: tells assertions apart without showing them.
    pub assertion: Option<String>,
    /// Display name of the identity that got a token.
    pub name: Option<String>,
    /// AADSTS code; `None`: a token was issued.
    pub code: Option<u32>,
}

impl Exchange {
    fn new(time: Timestamp, tenant: &str) -> Self {
        Self {
            time,
            tenant: tenant.to_owned(),
            client_id: None,
            issuer: None,
            key: None,
            subject: None,
            assertion: None,
            name: None,
            code: None,
        }
    }
}

/// What can be waited for.
#[derive(Debug, Clone, Serialize)]
pub struct EntraView {
    /// Requests for tokens, oldest first. Those that a fault kept from being looked at are in `requests` only.
    pub exchanges: Vec<Exchange>,
    /// All requests, oldest first.
    pub requests: Vec<Record>,
}

impl EntraView {
    /// How many tokens were issued.
    pub fn issued(&self) -> usize {
        self.exchanges.iter().filter(|exchange| exchange.code.is_none()).count()
    }

    /// How many exchanges were refused with this code.
    pub fn refused(&self, code: u32) -> usize {
        self.exchanges
            .iter()
            .filter(|exchange| exchange.code == Some(code))
            .count()
    }
}

impl Entra {
    /// Starts the emulator with nobody in it. It trusts issuers whose certificates come from `authority`.
    pub async fn start(listen: &Listen, authority: &Authority, clock: &Clock) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            clock: clock.child(),
            key: SigningKey::from_pem(INSECURE_ENTRA_KEY),
            faults: Faults::default(),
            recording: Recording::new(),
            issuers: Issuers::new(&[authority.pem()])?,
            state: Mutex::new(State {
                directory: Directory::default(),
                exchanges: Vec::new(),
                leeway: Duration::from_secs(300),
            }),
        });
        let names = listen.names(HOSTS);
        let service = Arc::new(Self {
            inner: Arc::clone(&inner),
            server: None,
        });
        let tls = authority.issue(&names).server_config();
        let server = Server::start(listen.address, Some(tls), service).await?;
        Ok(Self {
            inner,
            server: Some(Arc::new(server)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let server = self.server.as_ref().expect("only the server's own handle lacks it");
        server.address()
    }

    /// The authority, as for `AZURE_AUTHORITY_HOST`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Adds a tenant; Azure DevOps is installed in it.
    pub fn add_tenant(&self, id: &str, domain: &str) {
        self.lock().directory.tenants.push(Tenant {
            id: id.to_owned(),
            domain: domain.to_owned(),
            has_azure_devops: true,
        });
    }

    /// Whether the tenant has a service principal of Azure DevOps; without one tokens for it are refused (500011).
    pub fn set_azure_devops_installed(&self, tenant: &str, installed: bool) {
        let mut state = self.lock();
        let tenants = state.directory.tenants.iter_mut();
        for found in tenants.filter(|found| found.id == tenant) {
            found.has_azure_devops = installed;
        }
    }

    /// Adds an identity to a tenant.
    pub fn add_identity(&self, tenant: &str, kind: Kind, name: &str) -> Identity {
        self.lock().directory.add(tenant, kind, name, None)
    }

    /// Adds an identity with a client ID that is known beforehand, as manifests need it.
    pub fn add_identity_with(&self, tenant: &str, kind: Kind, name: &str, client_id: &str) -> Identity {
        self.lock().directory.add(tenant, kind, name, Some(client_id))
    }

    /// Everybody.
    pub fn identities(&self) -> Vec<Identity> {
        let state = self.lock();
        state
            .directory
            .entries
            .iter()
            .map(|entry| entry.identity.clone())
            .collect()
    }

    /// The service principal or person with this object id. A registration's object id finds nobody.
    pub fn principal(&self, object_id: &str) -> Option<Identity> {
        let found = self.identities().into_iter();
        found
            .into_iter()
            .find(|who| who.object_id.eq_ignore_ascii_case(object_id))
    }

    /// Adds a federated credential. The token endpoint knows it after the propagation time.
    pub fn add_federated_credential(
        &self,
        client_id: &str,
        credential: FederatedCredential,
    ) -> Result<(), CredentialRefused> {
        let now = self.clock().now();
        self.lock()
            .directory
            .add_credential(client_id, credential, now)
            .map(|_| ())
    }

    /// Removes a federated credential by name; whether there was one.
    pub fn remove_federated_credential(&self, client_id: &str, name: &str) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.directory.client_mut(client_id) else {
            return false;
        };
        let before = entry.credentials.len();
        entry.credentials.retain(|visible| visible.credential.name != name);
        entry.credentials.len() < before
    }

    /// An identity's federated credentials, visible to the token endpoint or not yet.
    pub fn federated_credentials(&self, client_id: &str) -> Vec<FederatedCredential> {
        let state = self.lock();
        let entry = state.directory.client(client_id);
        let credentials = entry.into_iter().flat_map(|entry| &entry.credentials);
        credentials.map(|visible| visible.credential.clone()).collect()
    }

    /// How long a new federated credential stays unknown to the token endpoint. Default: not at all.
    pub fn set_propagation(&self, propagation: Duration) {
        self.lock().directory.propagation = propagation;
    }

    /// How long writing a federated credential takes; a second write within it gets 409. Default: not at all.
    pub fn set_write_time(&self, write_time: Duration) {
        self.lock().directory.write_time = write_time;
    }

    /// Disables an application (7000112), or enables it again.
    pub fn set_disabled(&self, client_id: &str, disabled: bool) {
        if let Some(entry) = self.lock().directory.client_mut(client_id) {
            entry.disabled = disabled;
        }
    }

    /// Lets conditional access block an application with this code (53003, 530032), or not.
    pub fn set_blocked(&self, client_id: &str, code: Option<u32>) {
        if let Some(entry) = self.lock().directory.client_mut(client_id) {
            entry.blocked = code;
        }
    }

    /// How long an identity's tokens live; `None`: as the real ones of its kind.
    pub fn set_token_lifetime(&self, client_id: &str, lifetime: Option<Duration>) {
        if let Some(entry) = self.lock().directory.client_mut(client_id) {
            entry.lifetime = lifetime;
        }
    }

    /// Which certificates of issuers' servers are trusted, as PEM bundles, instead of the authority given at the start.
    pub fn trust_issuers(&self, bundles: &[&str]) -> io::Result<()> {
        self.inner.issuers.trust(bundles)
    }

    /// Uses this key set (RFC 7517) for an issuer without asking it: for clusters whose issuer cannot be reached.
    pub fn pin_issuer(&self, issuer: &str, key_set: &Value) {
        self.inner.issuers.pin(issuer, key_set);
    }

    /// A token for Azure DevOps without an exchange, for people and for tests that begin behind it.
    pub fn mint_token(&self, who: &Identity, lifetime: Duration) -> String {
        self.sign_token(who, AZURE_DEVOPS, self.clock().now(), lifetime)
    }

    /// The same for another resource.
    pub fn mint_token_for(&self, who: &Identity, resource: &str, lifetime: Duration) -> String {
        self.sign_token(who, resource, self.clock().now(), lifetime)
    }

    /// The key that checks access tokens.
    pub fn public_key(&self) -> PublicKey {
        self.inner.key.public()
    }

    /// Requests and exchanges so far.
    pub fn view(&self) -> EntraView {
        EntraView {
            exchanges: self.lock().exchanges.clone(),
            requests: self.inner.recording.all(),
        }
    }

    /// Forgets requests and exchanges.
    pub fn forget_requests(&self) {
        self.lock().exchanges.clear();
        self.inner.recording.clear();
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// After `within`, naming what was waited for and the last requests.
    pub async fn wait_until(
        &self,
        what: &str,
        within: Duration,
        holds: impl Fn(&EntraView) -> bool,
    ) -> Result<EntraView, TimedOut> {
        let describe = |view: &EntraView| summary(&view.requests);
        wait_until(what, within, &self.inner.recording, || self.view(), holds, describe).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("the emulator does not panic")
    }
}

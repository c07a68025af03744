//! All emulators at once, with one organization, one pool and the identities that a user of the product would set up.

mod control;

use crate::ado::{Ado, License, Pool, Role};
use crate::clock::Clock;
use crate::cluster_issuer::{ClusterIssuer, Mint};
use crate::entra::{Entra, FederatedCredential, Identity, Kind};
use crate::http::{Listen, Server};
use crate::tls::{self, Authority};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The organization, unless another is asked for.
pub const ORGANIZATION: &str = "contoso";
/// The tenant, unless another is asked for.
pub const TENANT: &str = "7e4a0000-0000-4000-8000-000000000001";
/// The pool, unless another is asked for.
pub const POOL: &str = "linux";
/// Namespace of the agents' pods, unless another is asked for.
pub const NAMESPACE: &str = "agents";
/// Their service account, unless another is asked for.
pub const SERVICE_ACCOUNT: &str = "azp-agent";

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the emulator of Entra listens.
    pub entra: Listen,
    /// Where the emulator of Azure DevOps listens.
    pub ado: Listen,
    /// Where the cluster's issuer listens, and its host name.
    pub issuer: (SocketAddr, String),
    /// Tenant id.
    pub tenant: String,
    /// Organization.
    pub organization: String,
    /// Pool.
    pub pool: String,
    /// Namespace of the agents.
    pub namespace: String,
    /// Service account of the agents.
    pub service_account: String,
    /// What the agents' identity is.
    pub kind: Kind,
    /// Client id of the agents' identity; a random one if absent.
    pub client_id: Option<String>,
    /// Client id of KEDA's identity; a random one if absent.
    pub keda_client_id: Option<String>,
    /// Whether the agents' identity trusts their service account.
    pub federated: bool,
    /// Whether the agents' identity is a user of the organization.
    pub member: bool,
    /// Its role on the pool.
    pub role: Option<Role>,
    /// Another issuer that the federated credentials name instead of the imaginary cluster's.
    pub other_issuer: Option<String>,
}

impl Default for Settings {
    /// As everything should be set up.
    fn default() -> Self {
        Self {
            entra: Listen::default(),
            ado: Listen::default(),
            issuer: (Listen::default().address, "127.0.0.1".to_owned()),
            tenant: TENANT.to_owned(),
            organization: ORGANIZATION.to_owned(),
            pool: POOL.to_owned(),
            namespace: NAMESPACE.to_owned(),
            service_account: SERVICE_ACCOUNT.to_owned(),
            kind: Kind::Application,
            client_id: None,
            keda_client_id: None,
            federated: true,
            member: true,
            role: Some(Role::Administrator),
            other_issuer: None,
        }
    }
}

/// All emulators at once. Clones are the same; they run until the last is dropped.
#[derive(Clone)]
pub struct World {
    /// Who vouches for all servers here.
    pub authority: Arc<Authority>,
    /// The clock that all emulators follow; each has one of its own that can be shifted alone.
    pub clock: Clock,
    /// The cluster's token issuer.
    pub issuer: ClusterIssuer,
    /// Entra.
    pub entra: Entra,
    /// Azure DevOps.
    pub ado: Ado,
    /// The pool.
    pub pool: Pool,
    /// The identity of the agents' sidecars.
    pub agents: Identity,
    /// The identity of KEDA: Reader on the pool, trusts `keda/keda-operator`.
    pub keda: Identity,
    /// A person who administers the organization.
    pub admin: Identity,
    /// What it was made of.
    pub settings: Settings,
}

impl World {
    /// A world in which everything is set up as it should be.
    pub async fn start() -> io::Result<Self> {
        Self::with(Settings::default()).await
    }

    /// A world in which something differs: `World::with(Settings { role: None, ..Settings::default() })`.
    pub async fn with(settings: Settings) -> io::Result<Self> {
        let authority = Arc::new(Authority::new());
        let clock = Clock::new();
        let (address, host) = &settings.issuer;
        let issuer = ClusterIssuer::start_on(*address, host, &authority, &clock).await?;
        let entra = Entra::start(&settings.entra, &authority, &clock).await?;
        let ado = Ado::start(&settings.ado, &authority, &clock, &entra).await?;

        entra.add_tenant(&settings.tenant, &format!("{}.onmicrosoft.com", settings.organization));
        let admin = entra.add_identity(&settings.tenant, Kind::User, "Ada Administrator");
        let identity = |kind: Kind, name: &str, client_id: &Option<String>| match client_id {
            Some(client_id) => entra.add_identity_with(&settings.tenant, kind, name, client_id),
            None => entra.add_identity(&settings.tenant, kind, name),
        };
        let keda = identity(Kind::ManagedIdentity, "keda", &settings.keda_client_id);
        let agents = identity(settings.kind, "azp-agents", &settings.client_id);
        let trusted = settings.other_issuer.as_deref().unwrap_or_else(|| issuer.url());
        let trust = |who: &Identity, namespace: &str, account: &str| {
            let credential = FederatedCredential::for_service_account(trusted, namespace, account);
            entra
                .add_federated_credential(&who.client_id, credential)
                .expect("a new identity takes a federated credential");
        };
        trust(&keda, "keda", "keda-operator");
        if settings.federated {
            trust(&agents, &settings.namespace, &settings.service_account);
        }

        ado.add_organization(&settings.organization, &settings.tenant);
        let pool = ado.add_pool(&settings.organization, &settings.pool);
        ado.add_member(&settings.organization, &admin, License::Basic);
        ado.set_administrator(&settings.organization, &admin, true);
        ado.add_member(&settings.organization, &keda, License::Basic);
        pool.set_role(&keda, Some(Role::Reader));
        if settings.member {
            ado.add_member(&settings.organization, &agents, License::Basic);
            pool.set_role(&agents, settings.role);
        }
        Ok(Self {
            authority,
            clock,
            issuer,
            entra,
            ado,
            pool,
            agents,
            keda,
            admin,
            settings,
        })
    }

    /// The organization's URL by address: `https://127.0.0.1:PORT/contoso`.
    pub fn organization_url(&self) -> String {
        self.ado.organization_url(&self.settings.organization)
    }

    /// The authority's URL by address, as for `AZURE_AUTHORITY_HOST`.
    pub fn authority_url(&self) -> String {
        self.entra.url()
    }

    /// A service-account token of the agents, as the kubelet would project it, valid for 24 hours.
    pub fn assertion(&self) -> String {
        let Settings {
            namespace,
            service_account,
            ..
        } = &self.settings;
        let mint = Mint::new(namespace, service_account).lifetime(Duration::from_secs(86_400));
        self.issuer.mint(&mint)
    }

    /// A token of the agents' identity for Azure DevOps, without an exchange.
    pub fn access_token(&self) -> String {
        self.entra.mint_token(&self.agents, Duration::from_secs(3600))
    }

    /// A token of the administrator for Azure DevOps.
    pub fn admin_token(&self) -> String {
        self.entra.mint_token(&self.admin, Duration::from_secs(3600))
    }

    /// An HTTP client that trusts the authority, uses no proxy and follows no redirect.
    pub fn client(&self) -> reqwest::Client {
        tls::install_provider();
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.authority.client_config())
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client with these settings can be built")
    }

    /// Serves the control routes in plain HTTP: faults, clock, jobs, requests, tokens. They run until the server is
    /// dropped. `GET /` lists them.
    pub async fn serve_control(&self, address: SocketAddr) -> io::Result<Server> {
        control::start(self, address).await
    }
}

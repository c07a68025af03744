//! An emulator of Azure DevOps Services, as far as agents, pools and their jobs go.
//!
//! Strict: what the real service refuses is refused with its status and `typeKey`. What is inferred stands in
//! [`crate::assumptions`].

mod agents;
mod auth;
mod behavior;
mod call;
mod connection;
mod entitlements;
mod errors;
mod hosts;
mod jobs;
mod limits;
mod locations;
mod names;
mod oauth;
mod packages;
mod plans;
mod pool;
mod pools;
mod queue;
mod rights;
mod roles;
mod router;
mod sessions;
mod state;
mod versions;
mod view;

pub use behavior::{Behavior, ConnectionData, DeletedAgent};
pub use limits::RateLimit;
pub use pool::Pool;
pub use queue::{JobRefused, JobSpec};
pub use rights::{License, Role};
pub use state::Timing;
pub use view::{AdoView, AgentView, JobState, JobView, PoolView};

use crate::clock::Clock;
use crate::entra::{Entra, Identity};
use crate::faults::Faults;
use crate::http::{Listen, Server};
use crate::recording::{Recording, TimedOut, wait_until};
use crate::tls::Authority;
use crate::{entra, guid};
use limits::Limits;
use queue::JobRefused as Refused;
use state::{Member, Organization, Package, State};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Host names under which the emulator may be asked, beside the loopback's.
pub const HOSTS: &[&str] = &[
    "dev.azure.com",
    "vsaex.dev.azure.com",
    "vssps.dev.azure.com",
    "*.visualstudio.com",
    "*.vsaex.visualstudio.com",
    "*.vssps.visualstudio.com",
    "*.dev.azure.com",
];

/// Hosts that offer the agent for download at addresses of their own, `https://HOST/agent/VERSION/FILE.tar.gz`. The
/// certificate has their names only where the emulator listens under names.
pub const DOWNLOAD_HOSTS: [&str; 2] = ["download.agent.dev.azure.com", "vstsagentpackage.azureedge.net"];

/// The emulator. Clones are the same; it runs until the last is dropped, pools' handles included.
#[derive(Clone)]
pub struct Ado {
    inner: Arc<Inner>,
    /// Absent in the handle that the server itself holds: it would never be dropped.
    server: Option<Arc<Server>>,
}

struct Inner {
    clock: Clock,
    entra: Entra,
    faults: Faults,
    recording: Recording,
    limits: Limits,
    expired: Mutex<ExpiredToken>,
    state: Mutex<State>,
}

/// What GET and POST answer to an Entra token that has expired; other methods always answer 401
/// (Azure-Samples/azure-devops-auth-samples#52).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpiredToken {
    /// 401 where the request carries `X-TFS-FedAuthRedirect: Suppress`, else 203 with the sign-in page.
    #[default]
    AsAsked,
    /// 203 with the sign-in page, always.
    SignInPage,
    /// 401, always.
    Unauthorized,
}

impl Ado {
    /// Starts the emulator without organizations. Identities are `entra`'s.
    pub async fn start(listen: &Listen, authority: &Authority, clock: &Clock, entra: &Entra) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            clock: clock.child(),
            entra: entra.clone(),
            faults: Faults::default(),
            recording: Recording::new(),
            limits: Limits::default(),
            expired: Mutex::default(),
            state: Mutex::default(),
        });
        let service = Arc::new(Self {
            inner: Arc::clone(&inner),
            server: None,
        });
        let tls = authority.issue(&listen.names(HOSTS)).server_config();
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

    /// An organization's URL by address: `https://127.0.0.1:PORT/ORGANIZATION`.
    pub fn organization_url(&self, organization: &str) -> String {
        match &self.server {
            Some(server) => format!("https://{}/{organization}", server.address()),
            None => format!("https://dev.azure.com/{organization}"),
        }
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What goes wrong. Routes are matched without the organization.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Adds an organization that trusts a tenant.
    pub fn add_organization(&self, name: &str, tenant: &str) {
        self.lock().organizations.push(Organization::new(name, tenant));
        self.touch();
    }

    /// Adds a pool.
    ///
    /// # Panics
    /// When there is no such organization.
    pub fn add_pool(&self, organization: &str, name: &str) -> Pool {
        let now = self.clock().now();
        let mut state = self.lock();
        let found = state
            .organization_mut(organization)
            .expect("the organization was added");
        let id = found.add_pool(name, now).id;
        drop(state);
        self.touch();
        Pool {
            ado: self.clone(),
            organization: organization.to_owned(),
            id,
            name: name.to_owned(),
        }
    }

    /// A pool that is there already, for instance added over HTTP.
    pub fn pool(&self, organization: &str, name: &str) -> Option<Pool> {
        let state = self.lock();
        let pools = &state.organization(organization)?.pools;
        let id = pools.iter().find(|pool| pool.name.eq_ignore_ascii_case(name))?.id;
        drop(state);
        Some(Pool {
            ado: self.clone(),
            organization: organization.to_owned(),
            id,
            name: name.to_owned(),
        })
    }

    /// Makes an identity a user of an organization. Returns its Azure DevOps identity id.
    pub fn add_member(&self, organization: &str, who: &Identity, license: License) -> String {
        let id = guid::random();
        let mut state = self.lock();
        let found = state
            .organization_mut(organization)
            .expect("the organization was added");
        found.members.push(Member {
            id: id.clone(),
            object_id: who.object_id.clone(),
            name: who.name.clone(),
            license,
            administrator: false,
            known_to_roles: self.clock().now(),
        });
        id
    }

    /// Makes a user an administrator of the organization, who may do everything, or no longer.
    pub fn set_administrator(&self, organization: &str, who: &Identity, administrator: bool) {
        let mut state = self.lock();
        let members = state
            .organization_mut(organization)
            .into_iter()
            .flat_map(|found| &mut found.members);
        for member in members.filter(|member| member.object_id == who.object_id) {
            member.administrator = administrator;
        }
    }

    /// Accepts a personal access token of a user. Without this there are none.
    pub fn add_personal_access_token(&self, organization: &str, token: &str, who: &Identity) {
        if let Some(found) = self.lock().organization_mut(organization) {
            found.pats.insert(token.to_owned(), who.object_id.clone());
        }
    }

    /// Sets locks, sessions and polls to other times.
    pub fn set_timing(&self, timing: Timing) {
        self.lock().timing = timing;
        self.touch();
    }

    /// How it behaves where the real service may behave either way.
    pub fn behavior(&self) -> Behavior {
        self.lock().behavior.clone()
    }

    /// Sets how it behaves where the real service may behave either way.
    pub fn set_behavior(&self, behavior: Behavior) {
        self.lock().behavior = behavior;
        self.touch();
    }

    /// What an expired token gets.
    pub fn set_expired_token(&self, answer: ExpiredToken) {
        *self.inner.expired.lock().expect("the emulator does not panic") = answer;
    }

    /// Throttles each identity beyond this rate, or nobody.
    pub fn set_rate_limit(&self, limit: Option<RateLimit>) {
        self.inner.limits.set(limit);
    }

    /// The archive (tar.gz) that start scripts download as the agent, with its version. Without one there are no packages.
    pub fn set_agent_package(&self, version: [u32; 3], archive: Vec<u8>) {
        self.lock().package = Some(Package {
            version,
            content: archive.into(),
        });
    }

    /// Queues a job on a pool. Returns its request id.
    ///
    /// # Errors
    /// When no agent of the pool, online or offline, satisfies the demands.
    pub fn queue_job(&self, organization: &str, pool: &str, spec: JobSpec) -> Result<u64, JobRefused> {
        let url = self.organization_url(organization);
        let now = self.clock().now();
        let mut state = self.lock();
        let found = state.organization_mut(organization).ok_or(Refused::NoSuchPool)?;
        let request = found.last_request + 1;
        let mut pools = found.pools.iter_mut();
        let pool = pools
            .find(|found| found.name.eq_ignore_ascii_case(pool))
            .ok_or(Refused::NoSuchPool)?;
        if let Some(refused) = pool.refuses(&spec) {
            return Err(refused);
        }
        pool.jobs.push(state::Job::new(request, spec, url, now));
        found.last_request = request;
        drop(state);
        self.touch();
        Ok(request)
    }

    /// Pools and requests as they are.
    pub fn view(&self) -> AdoView {
        AdoView::of(&self.lock(), self.inner.recording.all())
    }

    /// Forgets requests.
    pub fn forget_requests(&self) {
        self.inner.recording.clear();
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// After `within`, naming what was waited for, the pools and the last requests.
    pub async fn wait_until(
        &self,
        what: &str,
        within: Duration,
        holds: impl Fn(&AdoView) -> bool,
    ) -> Result<AdoView, TimedOut> {
        let recording = &self.inner.recording;
        wait_until(what, within, recording, || self.view(), holds, AdoView::describe).await
    }

    /// The state, with everything done that time has brought.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.inner.state.lock().expect("the emulator does not panic");
        state.advance(self.clock().now());
        state
    }

    /// Wakes those who wait, polls included.
    fn touch(&self) {
        self.inner.recording.touch();
    }

    /// The resource that tokens must be for.
    fn audience(&self) -> &'static str {
        entra::AZURE_DEVOPS
    }
}

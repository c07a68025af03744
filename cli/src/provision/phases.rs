//! The phases, one after the other: what each reads, decides ([`super::plan`]) and asks.

mod azure;

use super::arguments::Target;
use super::az::Place;
use super::change::Pool;
use super::keda;
use super::phase::Phase;
use super::plan::{self, Placeholder, bad};
use super::principal::{Ids, Principal, Who};
use super::reason::ProvisionReason;
use super::report::{Document, Entry, Report};
use super::settle::{Mode, Outcome, Settled, settle};
use super::trouble::Trouble;
use super::world::{self, Devops, Need};
use crate::output::Output;
use crate::problem::Finding;
use azure_protocol::{AdoRequest, AdoResponse, FindAgent, NewestAgent};
use std::collections::BTreeMap;
use std::time::Duration;

/// One run: what was typed, and what is known by now.
pub(crate) struct Run<'a> {
    pub(crate) target: &'a Target,
    pub(crate) mode: Mode,
    pub(crate) principals: Vec<Principal>,
    pub(crate) place: Option<Place>,
    pub(crate) placeholder: Placeholder,
    pub(crate) devops: Option<Devops>,
    pub(crate) known: BTreeMap<Who, Ids>,
    pub(crate) report: Report,
}

impl<'a> Run<'a> {
    /// A run of these phases, connected to Azure DevOps if one of them asks it.
    ///
    /// # Errors
    /// There is no credential for Azure DevOps, or none that can be used.
    pub(crate) async fn new(
        target: &'a Target,
        phases: &[Phase],
        placeholder: Placeholder,
        output: Output,
    ) -> anyhow::Result<Self> {
        let devops = match phases.iter().any(|phase| phase.asks_azure_devops()) {
            true => Some(Devops::connect(target).await?),
            false => None,
        };
        Ok(Self {
            target,
            mode: if target.dry_run { Mode::DryRun } else { Mode::Ask },
            principals: target.principals(),
            place: target.place(),
            placeholder,
            devops,
            known: BTreeMap::new(),
            report: Report::new(output),
        })
    }
}

impl Run<'_> {
    /// Runs a phase.
    ///
    /// # Errors
    /// What is wrong, after which no later phase can do anything.
    pub(crate) async fn phase(&mut self, phase: Phase) -> Result<(), Finding> {
        for principal in self.principals.clone() {
            match phase {
                Phase::Identity => self.identity(&principal).await?,
                Phase::Credential => self.credential(&principal).await?,
                Phase::User => self.user(&principal).await?,
                Phase::Role => self.role(&principal).await?,
                Phase::Pool | Phase::Placeholder | Phase::Keda => {}
            }
        }
        match phase {
            Phase::Pool => self.pool().await,
            Phase::Placeholder => self.placeholder().await,
            Phase::Keda => self.keda().await,
            Phase::Identity | Phase::Credential | Phase::User | Phase::Role => Ok(()),
        }
    }

    pub(crate) fn note<S>(&mut self, phase: Phase, settled: Settled<S>) -> S {
        let client = self.devops.as_ref().map(|devops| &devops.organization.client);
        let asked = settled.asked.iter().map(|change| change.shown(client)).collect();
        self.report.add(Entry {
            phase,
            outcome: settled.outcome,
            finding: settled.finding,
            asked,
        });
        settled.seen
    }

    pub(crate) fn there(&mut self, phase: Phase, finding: Finding) {
        self.report.add(Entry {
            phase,
            outcome: Outcome::There,
            finding,
            asked: Vec::new(),
        });
    }

    pub(crate) fn devops(&self) -> Result<&Devops, Finding> {
        // Never missing: it was connected for every phase that asks it.
        self.devops.as_ref().ok_or_else(|| {
            bad(
                "Azure DevOps",
                ProvisionReason::OrganizationMissing,
                "It was not connected.",
                "Pass --url.",
            )
        })
    }

    pub(crate) fn place(&self) -> Result<Place, Finding> {
        self.place.clone().ok_or_else(|| {
            bad(
                "managed identities",
                ProvisionReason::ResourceGroupMissing,
                "Nobody said where they live.",
                "Pass --resource-group, or the IDs of identities that are there: --agents-client-id and --agents-object-id, \
                 --keda-client-id and --keda-object-id; then name the phases after identity and credential only.",
            )
        })
    }

    async fn user(&mut self, principal: &Principal) -> Result<(), Finding> {
        let ids = self.ids(principal, Need::Object).await?;
        let object_id = ids.object_id.as_deref();
        if object_id.is_none() && self.mode == Mode::Ask {
            return Err(world::which(principal));
        }
        let devops = self.devops()?;
        same_tenant(devops, principal, &ids).await?;
        let settled = settle(
            self.mode,
            self.target.wait,
            |text| Report::progress(Phase::User, text),
            async || match object_id {
                Some(object_id) => devops.user(object_id).await,
                None => Ok(None),
            },
            |seen| plan::user(principal, object_id, seen.as_ref()),
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::User, settled);
        Ok(())
    }

    async fn pool(&mut self) -> Result<(), Finding> {
        let devops = self.devops()?;
        let name = &self.target.pool;
        let settled = settle(
            self.mode,
            self.target.wait,
            |text| Report::progress(Phase::Pool, text),
            async || devops.pool(name).await,
            |seen| plan::pool(name, seen.as_ref()),
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::Pool, settled);
        Ok(())
    }

    async fn role(&mut self, principal: &Principal) -> Result<(), Finding> {
        let ids = self.ids(principal, Need::Object).await?;
        let pool = self.pool_id().await?;
        let devops = self.devops()?;
        let user = match &ids.object_id {
            Some(object_id) => devops.user(object_id).await.map_err(Trouble::finding)?,
            None => None,
        };
        if user.is_none() && self.mode == Mode::Ask {
            let sentence = "It is not a user of the organization, or not yet.";
            let fix = "Run the phase user first, or, if it was run a moment ago, this again.";
            return Err(bad(
                format!("user {}", principal.name),
                ProvisionReason::IdentityUnknown,
                sentence,
                fix,
            ));
        }
        let identity = user.as_ref().map(|user| user.id.as_str());
        let settled = settle(
            self.mode,
            self.target.wait,
            |text| Report::progress(Phase::Role, text),
            async || match pool {
                Pool::Is(pool) => devops.roles(pool).await,
                Pool::WouldBe => Ok(Vec::new()),
            },
            |seen| plan::role(principal, pool, identity, seen),
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::Role, settled);
        Ok(())
    }

    async fn placeholder(&mut self) -> Result<(), Finding> {
        let pool = self.pool_id().await?;
        let devops = self.devops()?;
        let wanted = &self.placeholder;
        let settled = settle(
            self.mode,
            self.target.wait,
            |text| Report::progress(Phase::Placeholder, text),
            async || {
                let agent = match pool {
                    Pool::Is(pool) => {
                        let name = wanted.name.clone();
                        devops.ask(&FindAgent { pool, name }).await?
                    }
                    Pool::WouldBe => None,
                };
                let newest = match agent {
                    Some(_) => None,
                    None => devops.ask(&NewestAgent).await?,
                };
                Ok((agent, newest))
            },
            |(agent, newest)| plan::placeholder(wanted, pool, agent.as_ref(), newest.as_deref()),
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::Placeholder, settled);
        Ok(())
    }

    async fn keda(&mut self) -> Result<(), Finding> {
        let Some(principal) = self
            .principals
            .iter()
            .find(|principal| principal.who == Who::Keda)
            .cloned()
        else {
            let fix = "Leave --without-keda out.";
            return Err(bad(
                "KEDA",
                ProvisionReason::IdsUnknown,
                "It has no identity with --without-keda.",
                fix,
            ));
        };
        let client_id = self.ids(&principal, Need::Client).await?.client_id;
        let client_id = match (client_id, self.mode) {
            (Some(client_id), _) => client_id,
            (None, Mode::DryRun) => "CLIENT_ID".to_owned(),
            (None, Mode::Ask) => return Err(world::which(&principal)),
        };
        let account = &self.target.agents_service_account;
        let operator = principal.account.to_string();
        let text = keda::trigger_authentication(&account.namespace, &account.name, &client_id, &operator);
        let sentence = format!("identity {client_id}, on standard output");
        self.there(
            Phase::Keda,
            Finding::good(format!("TriggerAuthentication {account}"), sentence),
        );
        self.report.document(Document {
            name: "keda-trigger-authentication.yaml",
            text,
        });
        Ok(())
    }

    pub(crate) async fn ids(&mut self, principal: &Principal, need: Need) -> Result<Ids, Finding> {
        let known = self.known.get(&principal.who);
        let ids = world::ids(principal, self.place.as_ref(), known, need)
            .await
            .map_err(Trouble::finding)?;
        self.known.insert(principal.who, ids.clone());
        Ok(ids)
    }

    async fn pool_id(&self) -> Result<Pool, Finding> {
        let name = &self.target.pool;
        match (self.devops()?.pool(name).await.map_err(Trouble::finding)?, self.mode) {
            (Some(pool), _) => Ok(Pool::Is(pool.id)),
            (None, Mode::DryRun) => Ok(Pool::WouldBe),
            (None, Mode::Ask) => {
                let sentence = "It does not exist, or you may not see it.";
                Err(bad(
                    format!("pool {name}"),
                    ProvisionReason::PoolMissing,
                    sentence,
                    "Run the phase pool first.",
                ))
            }
        }
    }
}

/// Only identities of the organization's own tenant can be its users.
async fn same_tenant(devops: &Devops, principal: &Principal, ids: &Ids) -> Result<(), Finding> {
    const TIMEOUT: Duration = Duration::from_secs(60);
    let Some(tenant) = &ids.tenant else { return Ok(()) };
    let reply = devops
        .organization
        .client
        .call(&AdoRequest::Tenant, None, TIMEOUT)
        .await;
    match reply.result {
        Ok(AdoResponse::Tenant(Some(trusted))) if !trusted.eq_ignore_ascii_case(tenant) => Err(bad(
            format!("user {}", principal.name),
            ProvisionReason::TenantMismatch,
            format!("The organization is connected to tenant {trusted}, and the identity is of tenant {tenant}."),
            "Make the identities in a subscription of the organization's tenant: az login --tenant, az account set, then run this \
             again.",
        )),
        // What does not say, or not now, is asked for the user itself next.
        Ok(_) | Err(_) => Ok(()),
    }
}

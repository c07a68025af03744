//! The phases in reverse: what each reads, decides ([`super::plan`]) and asks.

use super::plan::{self, Confirmed};
use crate::problem::{Finding, Level};
use crate::provision::az::{FederatedCredential, Origin};
use crate::provision::phase::Phase;
use crate::provision::phases::Run;
use crate::provision::plan::is_placeholder;
use crate::provision::principal::Principal;
use crate::provision::report::Report;
use crate::provision::settle::{Mode, Outcome, Settled, settle};
use crate::provision::trouble::Trouble;
use crate::provision::world::{self, Devops, Need};
use azure_protocol::{FindAgent, Include, ListAgents, ListPools, PoolId, PoolSettings, ServicePrincipal, TaskAgent};

/// One run in reverse.
pub(crate) struct Removal<'a> {
    pub(crate) run: Run<'a>,
    pub(crate) confirmed: Confirmed,
}

impl Removal<'_> {
    /// Runs a phase.
    ///
    /// # Errors
    /// What is wrong, after which no later phase is looked at.
    pub(crate) async fn phase(&mut self, phase: Phase) -> Result<(), Finding> {
        match phase {
            Phase::Keda => self.keda(),
            Phase::Placeholder => self.placeholder().await?,
            Phase::Pool => self.pool().await?,
            Phase::Role | Phase::User | Phase::Credential | Phase::Identity => {}
        }
        // KEDA's before the agents'.
        for principal in self.run.principals.clone().iter().rev() {
            match phase {
                Phase::Role => self.role(principal).await?,
                Phase::User => self.user(principal).await?,
                Phase::Credential => self.credential(principal).await?,
                Phase::Identity => self.identity(principal).await?,
                Phase::Keda | Phase::Placeholder | Phase::Pool => {}
            }
        }
        Ok(())
    }

    fn note<S>(&mut self, phase: Phase, mut settled: Settled<S>) {
        if settled.outcome == Outcome::Done && settled.finding.level == Level::Good {
            "removed".clone_into(&mut settled.finding.sentence);
        }
        if settled.outcome == Outcome::WouldAsk {
            "would be removed".clone_into(&mut settled.finding.sentence);
        }
        self.run.note(phase, settled);
    }

    /// The manifest was printed and never applied, so it is not deleted either.
    fn keda(&mut self) {
        let account = &self.run.target.agents_service_account;
        let subject = format!("TriggerAuthentication {account}");
        let sentence = format!(
            "it was yours to apply, and is to delete: kubectl -n {} delete triggerauthentication {}",
            account.namespace, account.name
        );
        self.run.there(Phase::Keda, Finding::good(subject, sentence));
    }

    async fn placeholder(&mut self) -> Result<(), Finding> {
        let devops = self.run.devops()?;
        let (name, pool) = (&self.run.target.placeholder, &self.run.target.pool);
        let Some(pool) = devops.pool(pool).await.map_err(Trouble::finding)? else {
            let finding = Finding::good(format!("placeholder {name}"), "not there: there is no such pool");
            self.run.there(Phase::Placeholder, finding);
            return Ok(());
        };
        let settled = settle(
            self.run.mode,
            self.run.target.wait,
            |text| Report::progress(Phase::Placeholder, text),
            async || {
                let name = name.clone();
                devops.ask(&FindAgent { pool: pool.id, name }).await
            },
            |seen| plan::placeholder(name, &pool, seen.as_ref(), &self.confirmed),
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::Placeholder, settled);
        Ok(())
    }

    async fn role(&mut self, principal: &Principal) -> Result<(), Finding> {
        let object_id = self.object_id(principal).await?;
        let origin = self.origin(principal).await?;
        let devops = self.run.devops()?;
        let subject = format!("role of {}", principal.name);
        let Some(pool) = devops.pool(&self.run.target.pool).await.map_err(Trouble::finding)? else {
            self.run
                .there(Phase::Role, Finding::good(subject, "not there: there is no such pool"));
            return Ok(());
        };
        let settled = settle(
            self.run.mode,
            self.run.target.wait,
            |text| Report::progress(Phase::Role, text),
            async || {
                let user = user(devops, object_id.as_deref()).await?;
                Ok((user, devops.roles(pool.id).await?, self.agents(devops, pool.id).await?))
            },
            |(user, roles, agents)| plan::role(principal, &pool, user.as_ref(), roles, agents, origin, &self.confirmed),
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::Role, settled);
        Ok(())
    }

    async fn pool(&mut self) -> Result<(), Finding> {
        let devops = self.run.devops()?;
        let name = &self.run.target.pool;
        let settled = settle(
            self.run.mode,
            self.run.target.wait,
            |text| Report::progress(Phase::Pool, text),
            async || {
                let Some(pool) = devops.pool(name).await? else {
                    return Ok(None);
                };
                let agents = self.agents(devops, pool.id).await?;
                Ok(Some((pool, agents)))
            },
            |seen: &Option<(PoolSettings, Vec<TaskAgent>)>| {
                let seen = seen.as_ref().map(|(pool, agents)| (pool, agents.as_slice()));
                plan::pool(name, seen, &self.confirmed)
            },
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::Pool, settled);
        Ok(())
    }

    async fn user(&mut self, principal: &Principal) -> Result<(), Finding> {
        let object_id = self.object_id(principal).await?;
        let origin = self.origin(principal).await?;
        let devops = self.run.devops()?;
        let settled = settle(
            self.run.mode,
            self.run.target.wait,
            |text| Report::progress(Phase::User, text),
            async || match user(devops, object_id.as_deref()).await? {
                Some(user) => {
                    let pools = self.pools_with_roles(devops, &user).await?;
                    Ok((Some(user), pools))
                }
                None => Ok((None, Vec::new())),
            },
            |(user, pools)| plan::user(principal, user.as_ref(), pools, origin, &self.confirmed),
            async |change| devops.make(change).await,
        )
        .await?;
        self.note(Phase::User, settled);
        Ok(())
    }

    async fn credential(&mut self, principal: &Principal) -> Result<(), Finding> {
        let place = self.run.place()?;
        let wanted = self.wanted(principal).await?;
        let settled = settle(
            self.run.mode,
            self.run.target.wait,
            |text| Report::progress(Phase::Credential, text),
            async || world::credentials(&place, &principal.name).await,
            |seen| plan::credential(principal, &place, &wanted, seen, &self.confirmed),
            world::make_with_az,
        )
        .await?;
        self.note(Phase::Credential, settled);
        Ok(())
    }

    async fn identity(&mut self, principal: &Principal) -> Result<(), Finding> {
        let place = self.run.place()?;
        // A dry run: what the phases before would have removed does not stand in the way.
        let (goes, dry) = match self.run.mode {
            Mode::DryRun => (Some(self.wanted(principal).await?), true),
            Mode::Ask => (None, false),
        };
        let devops = self.run.devops.as_ref().filter(|_| !dry);
        let settled = settle(
            self.run.mode,
            self.run.target.wait,
            |text| Report::progress(Phase::Identity, text),
            async || {
                let identity = world::identity(&place, &principal.name).await?;
                let mut credentials = match identity {
                    Some(_) => world::credentials(&place, &principal.name).await?,
                    None => Vec::new(),
                };
                credentials.retain(|there| goes.as_ref().is_none_or(|goes| !there.trusts_the_same(goes)));
                let object_id = identity.as_ref().and_then(|identity| identity.ids.object_id.as_deref());
                let user = match devops {
                    Some(devops) => user(devops, object_id).await?,
                    None => None,
                };
                Ok((identity, credentials, user))
            },
            |(identity, credentials, user)| {
                let (identity, user) = (identity.as_ref(), user.as_ref());
                plan::identity(principal, &place, identity, credentials, user, &self.confirmed)
            },
            world::make_with_az,
        )
        .await?;
        self.note(Phase::Identity, settled);
        Ok(())
    }

    /// The federated credential of this cluster.
    async fn wanted(&self, principal: &Principal) -> Result<FederatedCredential, Finding> {
        let target = self.run.target;
        let issuer = world::issuer(target).await?;
        Ok(FederatedCredential::new(
            &issuer,
            &principal.account.subject(),
            &target.audience,
        ))
    }

    /// `None`: the identity is not there any more.
    async fn object_id(&mut self, principal: &Principal) -> Result<Option<String>, Finding> {
        Ok(self.run.ids(principal, Need::Object).await?.object_id)
    }

    /// Who made the identity, as far as `az` can tell.
    async fn origin(&self, principal: &Principal) -> Result<Origin, Finding> {
        let Some(place) = &self.run.place else {
            return Ok(Origin::Unknown);
        };
        let found = world::identity(place, &principal.name)
            .await
            .map_err(Trouble::finding)?;
        Ok(found.map_or(Origin::Unknown, |identity| identity.origin))
    }

    /// The agents of the pool; in a dry run without the placeholder, which would be gone by now.
    async fn agents(&self, devops: &Devops, pool: PoolId) -> Result<Vec<TaskAgent>, Trouble> {
        let include = Include::Assigned;
        let mut agents = devops.ask(&ListAgents { pool, include }).await?;
        if self.run.mode == Mode::DryRun {
            let name = &self.run.target.placeholder;
            agents.retain(|agent| !(agent.name.eq_ignore_ascii_case(name) && is_placeholder(agent)));
        }
        Ok(agents)
    }

    /// Pools on which the user has a role; in a dry run without the one whose role would be gone by now.
    async fn pools_with_roles(&self, devops: &Devops, user: &ServicePrincipal) -> Result<Vec<String>, Trouble> {
        let mut with_roles = Vec::new();
        for pool in devops.ask(&ListPools { name: None }).await? {
            let is_ours = pool.name.eq_ignore_ascii_case(&self.run.target.pool);
            if self.run.mode == Mode::DryRun && is_ours {
                continue;
            }
            if devops.roles(pool.id).await?.iter().any(|role| role.is_of(&user.id)) {
                with_roles.push(pool.name);
            }
        }
        Ok(with_roles)
    }
}

async fn user(devops: &Devops, object_id: Option<&str>) -> Result<Option<ServicePrincipal>, Trouble> {
    match object_id {
        Some(object_id) => devops.user(object_id).await,
        None => Ok(None),
    }
}

//! Who is asked: `az`, Azure DevOps and the cluster, each only when a phase needs it.

use super::arguments::Target;
use super::az::run::{self, AzError};
use super::az::{self, FederatedCredential, Line, ManagedIdentity, Place};
use super::change::Change;
use super::plan::bad;
use super::principal::{Ids, Principal};
use super::reason::ProvisionReason;
use super::trouble::{Trouble, answered, az_answered};
use crate::organization::Organization;
use crate::problem::Finding;
use anyhow::Context as _;
use azure::Secret;
use azure_protocol::{
    AddAgent, AssignRole, DeleteAgent, FindPool, ListRoles, Operation, PoolId, PoolSettings, ReplaceAgent,
    RoleAssignment, ServicePrincipal, ServicePrincipals,
};
use serde_json::Value;
use std::time::Duration;

/// How long one request to Azure DevOps may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pages of users that are read at most: ten thousand service principals.
const PAGES: usize = 100;

/// Azure DevOps, with a token.
#[derive(Debug)]
pub(crate) struct Devops {
    pub(crate) organization: Organization,
    token: Secret,
}

impl Devops {
    /// Connects with the credential that was given, else with that of who is signed in to `az`.
    pub(crate) async fn connect(target: &Target) -> anyhow::Result<Self> {
        let url = target
            .url
            .as_deref()
            .context("which organization: pass --url https://dev.azure.com/ORGANIZATION")?;
        let organization = if target.credential.is_given() {
            target.credential.connect(url)?
        } else {
            let line = az::access_token();
            let said = run::run(&line).await.map_err(|error| match error {
                AzError::Missing => anyhow::anyhow!(
                    "no credential for Azure DevOps: there is no az on this machine's PATH; pass --token-file (a file, or - for \
                     stdin) with what `{line}` prints where it is"
                ),
                AzError::NotFound(_) | AzError::Failed(_) => anyhow::Error::new(error).context(format!("{line}")),
            })?;
            let token = said.get("accessToken").and_then(Value::as_str);
            let token = token.with_context(|| format!("{line} printed no accessToken"))?;
            target.credential.connect_with(url, Secret::new(token.to_owned()))?
        };
        let token = organization.token().await?;
        Ok(Self { organization, token })
    }

    /// Performs an operation.
    pub(crate) async fn ask<O: Operation>(&self, operation: &O) -> Result<O::Output, Trouble> {
        let reply = self
            .organization
            .client
            .perform(operation, Some(&self.token), TIMEOUT)
            .await;
        answered(operation, self.organization.url.as_str(), reply)
    }

    /// The user that is this service principal, among all pages.
    pub(crate) async fn user(&self, object_id: &str) -> Result<Option<ServicePrincipal>, Trouble> {
        let mut page = None;
        for _ in 0..PAGES {
            let found = self.ask(&ServicePrincipals { page }).await?;
            let mut users = found.users.into_iter();
            if let Some(user) = users.find(|user| user.object_id.eq_ignore_ascii_case(object_id)) {
                return Ok(Some(user));
            }
            match found.next {
                Some(next) => page = Some(next),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The pool of this name.
    pub(crate) async fn pool(&self, name: &str) -> Result<Option<PoolSettings>, Trouble> {
        self.ask(&FindPool { name: name.to_owned() }).await
    }

    /// Who has which role on the pool.
    pub(crate) async fn roles(&self, pool: PoolId) -> Result<Vec<RoleAssignment>, Trouble> {
        self.ask(&ListRoles { pool }).await
    }

    /// Asks for a change.
    pub(crate) async fn make(&self, change: &Change) -> Result<(), Trouble> {
        use super::change::Pool;
        match change {
            Change::AddUser(operation) => match self.ask(operation).await? {
                Ok(_) => Ok(()),
                Err(refusal) => Err(bad(
                    format!("user {}", operation.name),
                    ProvisionReason::UserRefused,
                    format!("It cannot become a user of the organization: {refusal}"),
                    "Check the object ID: it is the enterprise application's or the managed identity's (principalId), not the app \
                     registration's, and of the organization's own tenant.",
                )
                .into()),
            },
            Change::CreatePool(operation) => self.ask(operation).await.map(drop),
            Change::AssignRole { pool: Pool::Is(pool), identity, role } => {
                let operation = AssignRole {
                    pool: *pool,
                    identity: identity.clone(),
                    role: *role,
                };
                self.ask(&operation).await.map(drop)
            }
            Change::AddAgent(Pool::Is(pool), description) => {
                let operation = AddAgent {
                    pool: *pool,
                    description: description.clone(),
                };
                self.ask(&operation).await.map(drop)
            }
            Change::ReplaceAgent(pool, agent, description) => {
                let operation = ReplaceAgent {
                    pool: *pool,
                    agent: *agent,
                    description: description.clone(),
                };
                self.ask(&operation).await.map(drop)
            }
            Change::DeleteAgent(pool, agent) => {
                let operation = DeleteAgent {
                    pool: *pool,
                    agent: *agent,
                };
                self.ask(&operation).await
            }
            Change::RemoveRole(operation) => self.ask(operation).await,
            Change::DeletePool(operation) => self.ask(operation).await,
            Change::RemoveUser(operation) => self.ask(operation).await,
            // A dry run makes nothing, and what it would make is the only thing that has no ID.
            Change::Az(_) | Change::AssignRole { pool: Pool::WouldBe, .. } | Change::AddAgent(Pool::WouldBe, _) => Ok(()),
        }
    }
}

/// Runs a line of `az` that changes something.
pub(crate) async fn make_with_az(change: &Change) -> Result<(), Trouble> {
    let Change::Az(line) = change else { return Ok(()) };
    match run::run(line).await {
        Ok(_) => Ok(()),
        // What it needs does not exist: the resource group, the identity.
        Err(AzError::NotFound(said)) => az_answered::<()>(line, Err(AzError::Failed(said))).map(drop),
        Err(error) => az_answered::<()>(line, Err(error)).map(drop),
    }
}

/// A managed identity, if it is there.
pub(crate) async fn identity(place: &Place, name: &str) -> Result<Option<ManagedIdentity>, Trouble> {
    let line = place.show_identity(name);
    read(&line, ManagedIdentity::read).await
}

/// The federated credentials of an identity; none where it is not there.
pub(crate) async fn credentials(place: &Place, name: &str) -> Result<Vec<FederatedCredential>, Trouble> {
    let line = place.list_credentials(name);
    Ok(read(&line, FederatedCredential::read_list).await?.unwrap_or_default())
}

async fn read<T>(line: &Line, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, Trouble> {
    let Some(said) = az_answered(line, run::run(line).await)? else {
        return Ok(None);
    };
    read(&said).map(Some).ok_or_else(|| {
        bad(
            "Azure CLI",
            ProvisionReason::AzFailed,
            format!("What it printed has an unknown shape ({line})."),
            "Update az: az upgrade.",
        )
        .into()
    })
}

/// The issuer of the cluster's tokens, as the cluster says.
pub(crate) async fn issuer(target: &Target) -> Result<String, Finding> {
    if let Some(issuer) = &target.issuer {
        return Ok(issuer.clone());
    }
    let asked = async {
        let (client, _) = target.cluster.connect().await?;
        let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new())?;
        let document: Value = client
            .request(request)
            .await
            .context("the cluster does not say who issues its tokens")?;
        let issuer = document.get("issuer").and_then(Value::as_str);
        anyhow::Ok(
            issuer
                .context("the cluster's OpenID configuration has no issuer")?
                .to_owned(),
        )
    };
    asked.await.map_err(|error: anyhow::Error| {
        bad(
            "issuer",
            ProvisionReason::IssuerUnknown,
            format!("{error:#}"),
            "Pass --kubeconfig or --context, or the issuer itself: --issuer URL, as `kubectl get --raw \
             /.well-known/openid-configuration` prints it.",
        )
    })
}

/// Which ID is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// What pods and KEDA ask Entra with.
    Client,
    /// What Azure DevOps knows an identity by.
    Object,
}

/// The IDs of an identity: those that were typed, those that are known by now, else what `az` says. The one that is needed is
/// unknown where the identity is not there.
pub(crate) async fn ids(
    principal: &Principal,
    place: Option<&Place>,
    known: Option<&Ids>,
    need: Need,
) -> Result<Ids, Trouble> {
    let typed = |ids: Ids| Ids {
        client_id: principal.client_id.clone().or(ids.client_id),
        object_id: principal.object_id.clone().or(ids.object_id),
        tenant: ids.tenant,
    };
    let ids = typed(known.cloned().unwrap_or_default());
    let has = match need {
        Need::Client => ids.client_id.is_some(),
        Need::Object => ids.object_id.is_some(),
    };
    if has || known.is_some() {
        return Ok(ids);
    }
    let Some(place) = place else {
        return Err(which(principal).into());
    };
    let found = identity(place, &principal.name).await?;
    Ok(typed(found.map(|identity| identity.ids).unwrap_or_default()))
}

/// Says that nobody knows the IDs of an identity.
pub(crate) fn which(principal: &Principal) -> Finding {
    let who = principal.who.as_str();
    bad(
        format!("identity {}", principal.name),
        ProvisionReason::IdsUnknown,
        "Its client ID and object ID are not known.",
        format!(
            "Pass --resource-group, so that az is asked, or --{who}-client-id and --{who}-object-id, or run the phase identity first."
        ),
    )
}

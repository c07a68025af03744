//! A pod that asks for the sidecar and can have it, as far as that is known without its ServiceAccount.

use crate::agent;
use crate::azwi::{self, Azwi};
use crate::eligibility::{asks, can_run};
use crate::environment::Environment;
use crate::organization::{self, Organization};
use crate::overrides::Overrides;
use crate::pod::Pod;
use crate::text::quote;
use crate::values::is_subdomain;
use crate::{Decision, Denial, Request, Settings, limits};
use contract::DenyReason;
use serde_json::Value;

/// A pod that will be injected unless its identity says otherwise.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) pod: Pod<'a>,
    /// Position of the agent in `spec.containers`.
    pub(crate) position: usize,
    pub(crate) overrides: Overrides<'a>,
    pub(crate) azwi: Azwi<'a>,
    pub(crate) environment: Environment<'a>,
    pub(crate) organization: Organization<'a>,
    pub(crate) account: &'a str,
}

impl<'a> Candidate<'a> {
    /// Everything that can be decided without the ServiceAccount, in the order that `docs/what-the-webhook-does.md` gives.
    pub(crate) fn find(object: &'a Value, request: &Request<'_>, settings: &'a Settings) -> Result<Self, Decision> {
        let pod = asks(object, request)?;
        can_run(&pod, request, settings)?;
        agent::check_names(&pod)?;
        let overrides = Overrides::read(&pod, settings)?;
        limits::check(&overrides, settings)?;
        let position = agent::choose(&pod.containers, &overrides)?;
        let agent = &pod.containers[position];
        agent::check_agent(agent)?;
        let azwi = azwi::read(&pod, agent.name, &overrides, settings)?;
        let environment = Environment::read(agent)?;
        let organization = organization::find(agent.name, &environment, &overrides, settings)?;
        let account = pod.service_account;
        if !is_subdomain(account) {
            return Err(Decision::Deny(Denial::new(
                DenyReason::MalformedPod,
                format!(
                    "spec.serviceAccountName is {}, which is no name of a ServiceAccount",
                    quote(account)
                ),
            )));
        }
        Ok(Self {
            pod,
            position,
            overrides,
            azwi,
            environment,
            organization,
            account,
        })
    }
}

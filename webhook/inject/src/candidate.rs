//! A pod that asks for the sidecar and can have it, as far as that is known without its ServiceAccount.

use crate::azwi::{self, Azwi};
use crate::eligibility::{asks, can_run};
use crate::env_var::EnvVar;
use crate::environment::Environment;
use crate::overrides::Overrides;
use crate::pod::Pod;
use crate::proxy::{self, Proxies};
use crate::registration::{self, Containers, Registration};
use crate::text::quote;
use crate::values::is_subdomain;
use crate::{Context, Decision, Denial, Request, agent, gateway, limits};
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
    pub(crate) registration: Registration<'a>,
    /// Variables of the sidecar that depend on the agent container.
    pub(crate) variables: Vec<EnvVar<'a>>,
    pub(crate) account: &'a str,
}

impl<'a> Candidate<'a> {
    /// Everything that can be decided without the ServiceAccount, in the order that `docs/what-the-webhook-does.md` gives.
    pub(crate) fn find(object: &'a Value, request: &Request<'_>, context: Context<'a>) -> Result<Self, Decision> {
        let pod = asks(object, request)?;
        can_run(&pod, request, context.cluster)?;
        let settings = context.settings;
        agent::check_names(&pod)?;
        let overrides = Overrides::read(&pod, settings)?;
        limits::check(&overrides, settings)?;
        let position = agent::choose(&pod.containers, &overrides)?;
        let agent = &pod.containers[position];
        agent::check_agent(agent)?;
        let azwi = azwi::read(&pod, agent.name, &overrides, settings)?;
        let environment = Environment::read(agent)?;
        if let Some(wanted) = &overrides.gateway {
            gateway::check(&pod, agent.name, &environment, &azwi, wanted)?;
        }
        let proxies = proxy::find(&environment, settings);
        let mut registration = registration::find(agent.name, &environment, &overrides, settings)?;
        let variables = variables(&environment, proxies, &mut registration.containers)?;
        let account = pod.service_account;
        if !is_subdomain(account) {
            return Err(Decision::Deny(Denial::new(
                DenyReason::MalformedPod,
                format!(
                    "spec.serviceAccountName is {}; expected the name of a ServiceAccount (a DNS subdomain)",
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
            registration,
            variables,
            account,
        })
    }
}

/// The variables of the sidecar that depend on the agent container. All copies are made at once, since a value may refer to another
/// one.
fn variables<'a>(
    environment: &Environment<'a>,
    proxies: Proxies<'a>,
    registration: &mut Containers<'a>,
) -> Result<Vec<EnvVar<'a>>, Denial> {
    let mut copies = proxies.copies;
    copies.append(&mut registration.copies);
    let mut variables = proxies.variables;
    variables.append(&mut registration.sidecar);
    variables.extend(environment.copies(&copies)?);
    variables.extend(registration.account_url.take());
    environment.check_size(&variables)?;
    Ok(variables)
}

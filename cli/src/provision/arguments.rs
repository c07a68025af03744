//! What provisioning and its reverse are about: flags, and what they mean together.

use super::az::Place;
use super::phase::{Keda, Phase};
use super::plan::Placeholder;
use super::principal::{Principal, ServiceAccount, Who};
use crate::cluster::Cluster;
use crate::organization::Credential;
use clap::Args;
use std::time::Duration;

/// What is provisioned.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Only these phases, in their own order; else all.
    #[arg(value_enum, value_name = "PHASE")]
    pub(crate) phases: Vec<Phase>,
    /// URL of the organization: https://dev.azure.com/ORGANIZATION.
    #[arg(long, value_name = "URL", env = contract::AZP_URL_VARIABLE)]
    pub(crate) url: Option<String>,
    /// Name of the agent pool.
    #[arg(long, value_name = "NAME", env = contract::AZP_POOL_VARIABLE, default_value = "kubernetes")]
    pub(crate) pool: String,
    /// Resource group of the managed identities.
    #[arg(long, value_name = "NAME")]
    pub(crate) resource_group: Option<String>,
    /// Region of new managed identities; else the resource group's.
    #[arg(long, value_name = "REGION")]
    pub(crate) location: Option<String>,
    /// Subscription of the resource group; else the one that az is set to.
    #[arg(long, value_name = "NAME_OR_ID")]
    pub(crate) subscription: Option<String>,
    /// Managed identity of the agents.
    #[arg(long, value_name = "NAME", default_value = "azp-agent")]
    pub(crate) agents: String,
    /// Client ID of the agents' identity, where az is not to be asked for it.
    #[arg(long, value_name = "GUID")]
    pub(crate) agents_client_id: Option<String>,
    /// Object ID of the agents' identity (of the enterprise application, not of the registration), where az is not to be asked
    /// for it.
    #[arg(long, value_name = "GUID")]
    pub(crate) agents_object_id: Option<String>,
    /// The agents' ServiceAccount.
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "agents/azp-agent")]
    pub(crate) agents_service_account: ServiceAccount,
    /// Managed identity of KEDA.
    #[arg(long, value_name = "NAME", default_value = "azp-keda")]
    pub(crate) keda: String,
    /// Client ID of KEDA's identity, where az is not to be asked for it.
    #[arg(long, value_name = "GUID")]
    pub(crate) keda_client_id: Option<String>,
    /// Object ID of KEDA's identity, where az is not to be asked for it.
    #[arg(long, value_name = "GUID")]
    pub(crate) keda_object_id: Option<String>,
    /// ServiceAccount of KEDA's operator.
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "keda/keda-operator")]
    pub(crate) keda_service_account: ServiceAccount,
    /// Nothing of KEDA's: no identity, role, placeholder and TriggerAuthentication.
    #[arg(long)]
    pub(crate) without_keda: bool,
    /// Issuer of the cluster's tokens, byte for byte; else the cluster is asked.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// Audience of the cluster's tokens.
    #[arg(long, value_name = "AUDIENCE", default_value = contract::DEFAULT_AUDIENCE)]
    pub(crate) audience: String,
    /// Name of the placeholder: parent of KEDA's trigger.
    #[arg(long, value_name = "NAME", default_value = "placeholder")]
    pub(crate) placeholder: String,
    /// How long to wait for each thing until Azure shows it, such as 90s, 5m or 1h.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::duration::parse)]
    pub(crate) wait: Duration,
    /// Print what would be asked, and ask only what reads.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) credential: Credential,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

impl Target {
    pub(crate) fn keda_is(&self) -> Keda {
        if self.without_keda { Keda::Absent } else { Keda::Served }
    }

    /// The identities, the agents' first.
    pub(crate) fn principals(&self) -> Vec<Principal> {
        let agents = Principal {
            who: Who::Agents,
            name: self.agents.clone(),
            account: self.agents_service_account.clone(),
            client_id: self.agents_client_id.clone(),
            object_id: self.agents_object_id.clone(),
        };
        let keda = Principal {
            who: Who::Keda,
            name: self.keda.clone(),
            account: self.keda_service_account.clone(),
            client_id: self.keda_client_id.clone(),
            object_id: self.keda_object_id.clone(),
        };
        match self.keda_is() {
            Keda::Served => vec![agents, keda],
            Keda::Absent => vec![agents],
        }
    }

    /// Where managed identities live; `None` without a resource group.
    pub(crate) fn place(&self) -> Option<Place> {
        Some(Place {
            resource_group: self.resource_group.clone()?,
            location: self.location.clone(),
            subscription: self.subscription.clone(),
        })
    }

    pub(crate) fn placeholder(&self, capabilities: &[(String, String)]) -> Placeholder {
        Placeholder {
            name: self.placeholder.clone(),
            capabilities: capabilities.iter().cloned().collect(),
        }
    }
}

/// `NAME=VALUE`.
pub(crate) fn capability(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE, such as docker=/usr/bin/docker".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_in_one_form() {
        assert_eq!(capability("docker=/a=b"), Ok(("docker".to_owned(), "/a=b".to_owned())));
        assert!(capability("docker").is_err() && capability("=x").is_err());
    }

    #[test]
    fn a_wait_is_a_duration_as_everywhere() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            target: Target,
        }
        let wait = |text: &str| {
            let line = <Line as clap::Parser>::try_parse_from(["provision", "--wait", text]);
            line.map(|line| line.target.wait).ok()
        };
        assert_eq!(wait("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(wait("1h30"), None);
    }
}

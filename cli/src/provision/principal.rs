//! Whose identities: the agents' and KEDA's.

use azure_protocol::PoolRole;
use std::fmt;
use std::str::FromStr;

/// Whose identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The agents'.
    Agents,
    /// KEDA's.
    Keda,
}

impl Who {
    /// The word in flags (`--agents-object-id`) and in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Keda => "keda",
        }
    }

    /// What its identity needs on the pool.
    pub(crate) fn role(self) -> PoolRole {
        match self {
            Self::Agents => PoolRole::Administrator,
            Self::Keda => PoolRole::Reader,
        }
    }
}

/// A ServiceAccount of the cluster, written `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceAccount {
    /// `sub` of its tokens, which a federated credential names.
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl FromStr for ServiceAccount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_label = |part: &str, longest: usize| {
            !part.is_empty()
                && part.len() <= longest
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_label(namespace, 63) && is_label(name, 253) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            Some(_) | None => Err("expected NAMESPACE/NAME, such as agents/azp-agent".to_owned()),
        }
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An identity, before anything is known of it but what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// Whose.
    pub(crate) who: Who,
    /// Name of the managed identity.
    pub(crate) name: String,
    /// Who uses it.
    pub(crate) account: ServiceAccount,
    /// Client ID, if it was typed.
    pub(crate) client_id: Option<String>,
    /// Object ID, if it was typed.
    pub(crate) object_id: Option<String>,
}

/// What is known of an identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// Client ID: what pods and KEDA ask Entra with.
    pub(crate) client_id: Option<String>,
    /// Object ID: what Azure DevOps knows it by.
    pub(crate) object_id: Option<String>,
    /// Its tenant.
    pub(crate) tenant: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_a_namespace_and_a_name() {
        let account: ServiceAccount = "agents/azp-agent".parse().expect("an account");
        assert_eq!(account.subject(), "system:serviceaccount:agents:azp-agent");
        for text in [
            "agents",
            "/a",
            "a/",
            "a/b/c",
            "A/b",
            "a:b/c",
            "system:serviceaccount:a:b",
        ] {
            assert!(text.parse::<ServiceAccount>().is_err(), "{text}");
        }
    }
}

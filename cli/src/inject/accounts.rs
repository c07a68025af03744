//! ServiceAccounts: those of the manifests, and what is said of others.

use super::Automount;
use crate::manifest::Document;
use crate::manifest::workload::objects;
use contract::{AZWI_CLIENT_ID_ANNOTATION, AZWI_TENANT_ID_ANNOTATION};
use inject::ServiceAccount;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a ServiceAccount says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its identity, as the webhook reads it.
    pub identity: ServiceAccount,
    /// Whether its pods get the Kubernetes API token.
    pub automount: Automount,
}

/// ServiceAccounts by namespace and name.
#[derive(Debug, Clone)]
pub struct Accounts {
    known: BTreeMap<(String, String), Account>,
    /// What is said of all others.
    other: Account,
}

impl Account {
    /// What is said of one that is not known.
    pub fn unknown(identity: ServiceAccount) -> Self {
        let automount = Automount::Yes;
        Self { identity, automount }
    }

    /// What an object of kind ServiceAccount says.
    pub fn of(object: &Value) -> Self {
        let annotation = |key: &str| {
            let value = object["metadata"]["annotations"][key].as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        Self {
            identity: ServiceAccount::Found {
                client_id: annotation(AZWI_CLIENT_ID_ANNOTATION),
                tenant_id: annotation(AZWI_TENANT_ID_ANNOTATION),
            },
            automount: match object["automountServiceAccountToken"].as_bool() {
                Some(false) => Automount::No,
                Some(true) | None => Automount::Yes,
            },
        }
    }
}

impl Accounts {
    /// The accounts of manifests; `namespace` is that of objects that name none, and `other` is said of all others.
    pub fn of(documents: &[Document], namespace: &str, other: Account) -> Self {
        let mut known = BTreeMap::new();
        for (_, object) in documents.iter().flat_map(|document| objects(&document.value)) {
            if object["kind"] != "ServiceAccount" || object["apiVersion"] != "v1" {
                continue;
            }
            let Some(name) = object["metadata"]["name"].as_str() else {
                continue;
            };
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
            known.insert((namespace.to_owned(), name.to_owned()), Account::of(object));
        }
        Self { known, other }
    }

    /// The account of a name.
    pub fn get(&self, namespace: &str, name: &str) -> &Account {
        self.known
            .get(&(namespace.to_owned(), name.to_owned()))
            .unwrap_or(&self.other)
    }

    /// Whether there is something of its own to say of an account.
    pub(super) fn is_known(&self, namespace: &str, name: &str) -> bool {
        self.known.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn insert(&mut self, namespace: &str, name: &str, account: Account) {
        self.known.insert((namespace.to_owned(), name.to_owned()), account);
    }
}

//! The cache of accounts with a client ID, stored compactly: a large cluster has thousands, and few are ever needed.

use std::fmt;

use contract::{AZWI_CLIENT_ID_ANNOTATION, AZWI_TENANT_ID_ANNOTATION};
use inject::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::annotation;

/// The accounts, sorted by key: a vector has no overhead per entry, and the API server lists in this order, so a listing
/// appends.
#[derive(Default)]
pub(super) struct Known(Vec<Account>);

struct Account {
    key: Box<str>,
    client_id: Id,
    tenant_id: Option<Id>,
    /// Whether the list in progress (or the last complete one) contained it.
    listed: bool,
}

/// Namespace and name as one text; neither can have a slash.
pub(super) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Known {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<ServiceAccount> {
        let Account {
            client_id, tenant_id, ..
        } = &self.0[self.position(key).ok()?];
        Some(ServiceAccount::Found {
            client_id: Some(client_id.to_string()),
            tenant_id: tenant_id.as_ref().map(Id::to_string),
        })
    }

    /// Stores an account; one without a client ID is removed.
    pub(super) fn apply(&mut self, metadata: &ObjectMeta) {
        let Some(key) = key_of(metadata) else { return };
        let position = self.position(&key);
        let Some(client_id) = annotation(metadata, AZWI_CLIENT_ID_ANNOTATION) else {
            if let Ok(position) = position {
                self.0.remove(position);
            }
            return;
        };
        let account = Account {
            key: key.into(),
            client_id: Id::new(client_id),
            tenant_id: annotation(metadata, AZWI_TENANT_ID_ANNOTATION).map(Id::new),
            listed: true,
        };
        match position {
            Ok(position) => self.0[position] = account,
            Err(position) => self.0.insert(position, account),
        }
    }

    pub(super) fn remove(&mut self, metadata: &ObjectMeta) {
        if let Some(Ok(position)) = key_of(metadata).map(|key| self.position(&key)) {
            self.0.remove(position);
        }
    }

    /// A listing begins: every account stays until it ends.
    pub(super) fn listing_begins(&mut self) {
        for account in &mut self.0 {
            account.listed = false;
        }
    }

    /// A listing is complete: removes the accounts that it did not contain.
    pub(super) fn listing_ends(&mut self) {
        self.0.retain(|account| account.listed);
        self.0.shrink_to_fit();
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|account| account.key.as_ref().cmp(key))
    }
}

fn key_of(metadata: &ObjectMeta) -> Option<String> {
    Some(key(metadata.namespace.as_ref()?, metadata.name.as_ref()?))
}

/// A client ID or a tenant ID.
enum Id {
    /// A GUID in lower case, as nearly all are; takes a fourth of the memory of the text.
    Guid([u8; 16]),
    /// Anything else, as it is written.
    Text(Box<str>),
}

impl Id {
    fn new(text: &str) -> Self {
        let number = u128::from_str_radix(&text.replace('-', ""), 16).unwrap_or_default();
        let guid = Self::Guid(number.to_be_bytes());
        if guid.to_string() == text {
            guid
        } else {
            Self::Text(text.into())
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(bytes) => {
                let digits = format!("{:032x}", u128::from_be_bytes(*bytes));
                let (a, b, c) = (&digits[..8], &digits[8..12], &digits[12..16]);
                write!(f, "{a}-{b}-{c}-{}-{}", &digits[16..20], &digits[20..])
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const CLIENT_ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn metadata(name: &str, client_id: &str, tenant_id: &str) -> ObjectMeta {
        let annotations = [
            (AZWI_CLIENT_ID_ANNOTATION, client_id),
            (AZWI_TENANT_ID_ANNOTATION, tenant_id),
        ];
        ObjectMeta {
            namespace: Some("agents".to_owned()),
            name: Some(name.to_owned()),
            annotations: Some(BTreeMap::from(
                annotations.map(|(key, value)| (key.to_owned(), value.to_owned())),
            )),
            ..ObjectMeta::default()
        }
    }

    fn known(names: &[&str]) -> Known {
        let mut known = Known::default();
        for name in names {
            known.apply(&metadata(name, CLIENT_ID, ""));
        }
        known
    }

    fn names(known: &Known) -> Vec<&str> {
        known.0.iter().map(|account| account.key.as_ref()).collect()
    }

    #[test]
    fn ids_are_returned_as_they_were_written() {
        for id in [
            CLIENT_ID,
            "00000000-0000-0000-0000-000000000000",
            "01234567-89AB-CDEF-0123-456789ABCDEF",
            "0123456789abcdef0123456789abcdef",
            "contoso.onmicrosoft.com",
            "+1234567-89ab-cdef-0123-456789abcdef",
            "no GUID",
        ] {
            let mut known = Known::default();
            known.apply(&metadata("a", id, id));
            let expected = ServiceAccount::Found {
                client_id: Some(id.to_owned()),
                tenant_id: Some(id.to_owned()),
            };
            assert_eq!(known.get("agents/a"), Some(expected));
        }
    }

    #[test]
    fn accounts_are_found_in_any_order_of_insertion() {
        let known = known(&["c", "a", "b-2", "b", "a"]);
        assert_eq!(names(&known), ["agents/a", "agents/b", "agents/b-2", "agents/c"]);
        assert!(known.get("agents/b").is_some());
        assert_eq!(known.get("agents/d"), None);
    }

    #[test]
    fn an_account_that_loses_its_client_id_or_is_deleted_is_removed() {
        let mut known = known(&["a", "b", "c"]);
        known.apply(&metadata("a", "", ""));
        known.remove(&metadata("b", "", ""));
        known.remove(&metadata("d", "", ""));
        assert_eq!(names(&known), ["agents/c"]);
    }

    #[test]
    fn an_account_stays_until_a_listing_without_it_is_complete() {
        let mut known = known(&["a", "b"]);
        known.listing_begins();
        known.apply(&metadata("b", CLIENT_ID, ""));
        // The listing fails, and begins again.
        known.listing_begins();
        known.apply(&metadata("a", CLIENT_ID, ""));
        known.apply(&metadata("c", CLIENT_ID, ""));
        assert_eq!(names(&known), ["agents/a", "agents/b", "agents/c"]);
        known.listing_ends();
        assert_eq!(names(&known), ["agents/a", "agents/c"]);
    }
}

//! The Azure CLI: command lines as lists of arguments, and what their JSON says. Values only; [`run`] starts them.

pub(crate) mod run;

use super::principal::Ids;
use serde_json::Value;
use std::fmt;

/// Azure DevOps as a resource that tokens are for.
pub(crate) const AZURE_DEVOPS: &str = "499b84ac-1321-427f-aa17-267ca6975798";
/// Tag of what this program made, so that it can be told from what others made.
pub(crate) const TAG: &str = "created-by";
/// Value of [`TAG`].
pub(crate) const TAG_VALUE: &str = "ado-agent";
/// How many federated credentials an identity holds at most.
pub(crate) const CREDENTIAL_LIMIT: usize = 20;

/// Arguments of `az`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) Vec<String>);

impl Line {
    fn new(words: &[&str], values: &[(&str, &str)]) -> Self {
        let mut line: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        for (flag, value) in values {
            // One word, so that no value can be taken for a flag.
            line.push(format!("{flag}={value}"));
        }
        line.extend(["--only-show-errors", "--output=json"].map(str::to_owned));
        Self(line)
    }
}

/// As it can be typed into a shell.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("az")?;
        self.0.iter().try_for_each(|word| write!(f, " {}", quoted(word)))
    }
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Where managed identities live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Resource group.
    pub(crate) resource_group: String,
    /// Region; `None`: the resource group's.
    pub(crate) location: Option<String>,
    /// Subscription; `None`: the one that `az` is set to.
    pub(crate) subscription: Option<String>,
}

impl Place {
    fn line(&self, words: &[&str], values: &[(&str, &str)]) -> Line {
        let mut all = vec![("--resource-group", self.resource_group.as_str())];
        all.extend(self.subscription.as_deref().map(|value| ("--subscription", value)));
        all.extend(values);
        Line::new(words, &all)
    }

    /// Shows a managed identity.
    pub(crate) fn show_identity(&self, name: &str) -> Line {
        self.line(&["identity", "show"], &[("--name", name)])
    }

    /// Makes a managed identity.
    pub(crate) fn create_identity(&self, name: &str) -> Line {
        let tag = format!("{TAG}={TAG_VALUE}");
        let mut values = vec![("--name", name), ("--tags", tag.as_str())];
        values.extend(self.location.as_deref().map(|value| ("--location", value)));
        self.line(&["identity", "create"], &values)
    }

    /// Deletes a managed identity.
    pub(crate) fn delete_identity(&self, name: &str) -> Line {
        self.line(&["identity", "delete"], &[("--name", name)])
    }

    /// Lists the federated credentials of a managed identity.
    pub(crate) fn list_credentials(&self, identity: &str) -> Line {
        let words = ["identity", "federated-credential", "list"];
        self.line(&words, &[("--identity-name", identity)])
    }

    /// Makes a federated credential.
    pub(crate) fn create_credential(&self, identity: &str, wanted: &FederatedCredential) -> Line {
        let words = ["identity", "federated-credential", "create"];
        let audience = wanted.audiences.first().map_or("", String::as_str);
        let values = [
            ("--identity-name", identity),
            ("--name", wanted.name.as_str()),
            ("--issuer", wanted.issuer.as_str()),
            ("--subject", wanted.subject.as_str()),
            ("--audiences", audience),
        ];
        self.line(&words, &values)
    }

    /// Deletes a federated credential.
    pub(crate) fn delete_credential(&self, identity: &str, name: &str) -> Line {
        let words = ["identity", "federated-credential", "delete"];
        let Line(mut line) = self.line(&words, &[("--identity-name", identity), ("--name", name)]);
        // It would ask, and nobody is there to answer; whether to delete was asked before.
        line.push("--yes".to_owned());
        Line(line)
    }
}

/// Prints an access token for Azure DevOps, of whoever is signed in.
pub(crate) fn access_token() -> Line {
    Line::new(&["account", "get-access-token"], &[("--resource", AZURE_DEVOPS)])
}

/// A managed identity, as `az identity show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagedIdentity {
    /// Its IDs; an identity without is not finished.
    pub(crate) ids: Ids,
    /// Whether it carries this program's tag.
    pub(crate) origin: Origin,
}

/// Who made something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This program, provably.
    Ours,
    /// Nobody can tell.
    Unknown,
}

impl ManagedIdentity {
    /// Reads it; `None`: an unknown shape.
    pub(crate) fn read(json: &Value) -> Option<Self> {
        let text = |key: &str| {
            json.get(key)?
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let object = json.as_object()?;
        object.get("name")?;
        let tagged = json.get("tags").and_then(|tags| tags.get(TAG)).and_then(Value::as_str);
        Some(Self {
            ids: Ids {
                client_id: text("clientId"),
                object_id: text("principalId"),
                tenant: text("tenantId"),
            },
            origin: if tagged == Some(TAG_VALUE) {
                Origin::Ours
            } else {
                Origin::Unknown
            },
        })
    }
}

/// A federated credential: what Entra compares byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FederatedCredential {
    /// Its name within the identity.
    pub(crate) name: String,
    /// Issuer of the cluster's tokens.
    pub(crate) issuer: String,
    /// The ServiceAccount.
    pub(crate) subject: String,
    /// Audiences, of which Entra takes exactly one.
    pub(crate) audiences: Vec<String>,
}

impl FederatedCredential {
    /// Trust in a ServiceAccount. The name is made of issuer and subject: one credential for each cluster and ServiceAccount.
    pub(crate) fn new(issuer: &str, subject: &str, audience: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{issuer} {subject}\n").as_bytes());
        let name: String = digest
            .as_ref()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            name,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![audience.to_owned()],
        }
    }

    /// Whether it trusts the same tokens, whatever its name.
    pub(crate) fn trusts_the_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject && self.audiences == other.audiences
    }

    /// Whether it was meant to: only letter case or a slash at the end of the issuer differ.
    pub(crate) fn nearly_trusts_the_same(&self, other: &Self) -> bool {
        let loose = |one: &str, other: &str| {
            one.trim_end_matches('/')
                .eq_ignore_ascii_case(other.trim_end_matches('/'))
        };
        loose(&self.issuer, &other.issuer) && loose(&self.subject, &other.subject)
    }

    /// Reads what `az identity federated-credential list` prints; `None`: an unknown shape.
    pub(crate) fn read_list(json: &Value) -> Option<Vec<Self>> {
        let read = |one: &Value| {
            let text = |key: &str| one.get(key)?.as_str().map(str::to_owned);
            let audiences = one.get("audiences")?.as_array()?.iter();
            Some(Self {
                name: text("name")?,
                issuer: text("issuer")?,
                subject: text("subject")?,
                audiences: audiences.filter_map(Value::as_str).map(str::to_owned).collect(),
            })
        };
        json.as_array()?.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place() -> Place {
        Place {
            resource_group: "my agents".to_owned(),
            location: Some("westeurope".to_owned()),
            subscription: None,
        }
    }

    #[test]
    fn a_line_can_be_typed_and_no_value_becomes_a_flag() {
        assert_eq!(
            place().create_identity("--yes").to_string(),
            "az identity create '--resource-group=my agents' --name=--yes --tags=created-by=ado-agent --location=westeurope \
             --only-show-errors --output=json"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(id)"), "'$(id)'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_name_of_a_credential_is_that_of_its_cluster_and_account() {
        let one = FederatedCredential::new("https://issuer/", "system:serviceaccount:agents:azp-agent", "a");
        assert_eq!(one.name.len(), 32);
        let same = FederatedCredential::new("https://issuer/", "system:serviceaccount:agents:azp-agent", "b");
        assert_eq!(one.name, same.name);
        let other = FederatedCredential::new("https://issuer", "system:serviceaccount:agents:azp-agent", "a");
        assert_ne!(one.name, other.name);
        assert!(!one.trusts_the_same(&other) && one.nearly_trusts_the_same(&other));
    }

    #[test]
    fn what_az_prints_is_read_and_nothing_else() {
        let identity = json!({"name": "azp-agent", "clientId": "c", "principalId": "p", "tenantId": "t",
            "tags": {"created-by": "ado-agent"}});
        let read = ManagedIdentity::read(&identity).expect("an identity");
        assert_eq!((read.ids.object_id.as_deref(), read.origin), (Some("p"), Origin::Ours));
        let foreign = json!({"name": "azp-agent", "clientId": "c", "principalId": "", "tags": null});
        let read = ManagedIdentity::read(&foreign).expect("an identity");
        assert_eq!((read.ids.object_id, read.origin), (None, Origin::Unknown));
        assert_eq!(ManagedIdentity::read(&json!("text")), None);
        let list = json!([{"name": "n", "issuer": "i", "subject": "s", "audiences": ["a"], "type": "x"}]);
        assert_eq!(FederatedCredential::read_list(&list).expect("a list")[0].subject, "s");
        assert_eq!(FederatedCredential::read_list(&json!([{"name": "n"}])), None);
        assert_eq!(FederatedCredential::read_list(&json!({})), None);
    }
}

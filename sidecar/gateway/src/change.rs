//! What is changed in an answer, or in a registration, while it passes.

use crate::reading::is_json;
use crate::rewrite::{Malformed, Rewriter, Rule};
use azure_protocol::{AgentId, Keep, Sieve};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

/// A change of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Connection data is what a server says that has everything at the gateway's address. Without that, clients look areas up
    /// and leave for the hosts of their services (actions/runner `LocationService.cs:42-75`); seen with the library of 2019.
    ConnectionData,
    /// The answer to a registration names no other URL of the organization, whose path the agent would take for its own
    /// (azure-pipelines-agent `ConfigurationManager.cs:306-329`).
    Registration,
}

const MONIKER: &str = "PublicAccessMapping";

impl Change {
    /// Changes an answer; `None` where it is not JSON that can be read. `address` is the organization's at the gateway.
    pub fn begin(self, headers: &HeaderMap, address: &str) -> Option<Rewriter> {
        is_json(headers).then(|| self.rewriter(address))
    }

    fn rewriter(self, address: &str) -> Rewriter {
        let replaced = |path, value: String| Rule {
            path,
            value: Some(value),
        };
        let left_out = |path| Rule { path, value: None };
        Rewriter::new(match self {
            Self::ConnectionData => vec![
                // Without an owner it counts as the server's own data, and no area is looked up elsewhere.
                left_out(&["locationServiceData", "serviceOwner"]),
                replaced(
                    &["locationServiceData", "defaultAccessMappingMoniker"],
                    format!("\"{MONIKER}\""),
                ),
                replaced(
                    &["locationServiceData", "accessMappings"],
                    json!([{
                        "moniker": MONIKER,
                        "displayName": "Public Access Mapping",
                        "accessPoint": address,
                        "virtualDirectory": "",
                    }])
                    .to_string(),
                ),
            ],
            Self::Registration => vec![left_out(&["properties", "ServerUrl"])],
        })
    }
}

/// The name under which a registration's body registers an agent.
pub fn registration_name(body: &[u8]) -> Option<String> {
    const KEEP: Keep = Keep::Object(&[("name", Keep::Scalar)]);
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let mut sieve = Sieve::new(&KEEP);
    sieve.push(body, &mut |_| true).ok()?;
    let named: Named = serde_json::from_slice(&sieve.finish().ok()?).ok()?;
    (!named.name.trim().is_empty()).then_some(named.name)
}

/// What a registration was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// A new agent (`POST`).
    New,
    /// The same agent with another key (`PUT`, `--replace`).
    Replacement,
}

/// The body of the registration that is sent: a new agent in any case. What was to be replaced may have been out of service.
///
/// # Errors
/// It is not JSON.
pub fn registration_body(body: &[u8], meant: Meant) -> Result<Vec<u8>, Malformed> {
    let mut rules = vec![Rule {
        path: &["id"],
        value: None,
    }];
    if meant == Meant::Replacement {
        rules.push(Rule {
            path: &["enabled"],
            value: None,
        });
    }
    let mut rewriter = Rewriter::new(rules);
    let mut changed = Vec::with_capacity(body.len());
    rewriter.push(body, &mut changed)?;
    rewriter.finish()?;
    Ok(changed)
}

/// The body that takes an agent out of service, if this is what was asked, and nothing else.
pub fn out_of_service(body: &[u8], agent: AgentId) -> Option<String> {
    let Value::Object(members) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    let is_plain = members.iter().all(|(name, value)| match name.as_str() {
        "id" => value.as_i64() == Some(agent.0),
        "enabled" => value == &Value::Bool(false),
        _ => false,
    });
    let asked = is_plain && members.contains_key("enabled");
    asked.then(|| json!({ "id": agent.0, "enabled": false }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_data_keeps_clients_at_the_gateway_and_everything_else_stays() {
        let data = json!({
            "instanceId": "i", "deploymentType": "hosted",
            "authenticatedUser": {"serviceOwner": "stays"},
            "locationServiceData": {
                "serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7",
                "defaultAccessMappingMoniker": "HostGuidAccessMapping",
                "accessMappings": [{"moniker": "HostGuidAccessMapping", "accessPoint": "https://dev.azure.com/A1/"}],
                "serviceDefinitions": [{"serviceOwner": "stays", "accessMappings": 1}],
                "lastChangeId": 1,
            },
        });
        let mut rewriter = Change::ConnectionData.rewriter("http://127.0.0.1:1/org");
        let mut out = Vec::new();
        rewriter.push(data.to_string().as_bytes(), &mut out).expect("JSON");
        rewriter.finish().expect("complete");
        let mut expected = data;
        let location = expected["locationServiceData"].as_object_mut().expect("an object");
        location.remove("serviceOwner");
        location["defaultAccessMappingMoniker"] = json!(MONIKER);
        location["accessMappings"] = json!([{
            "moniker": MONIKER, "displayName": "Public Access Mapping", "accessPoint": "http://127.0.0.1:1/org",
            "virtualDirectory": "",
        }]);
        assert_eq!(serde_json::from_slice::<Value>(&out).expect("JSON"), expected);
    }

    #[test]
    fn a_registration_is_always_a_new_agent() {
        let body = json!({"id": 7, "name": "p", "enabled": false, "systemCapabilities": {"id": "x", "name": "y"}});
        let text = body.to_string();
        assert_eq!(registration_name(text.as_bytes()).as_deref(), Some("p"));
        let changed = |meant| -> Value {
            serde_json::from_slice(&registration_body(text.as_bytes(), meant).expect("JSON")).expect("JSON")
        };
        let mut expected = body;
        expected.as_object_mut().expect("an object").remove("id");
        assert_eq!(changed(Meant::New), expected);
        expected.as_object_mut().expect("an object").remove("enabled");
        assert_eq!(changed(Meant::Replacement), expected);
        for wrong in ["", "[]", "{}", r#"{"name": 7}"#, r#"{"name": " "}"#, r#"{"name": "p""#] {
            assert_eq!(registration_name(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(registration_body(b"{\"id\": ", Meant::New), Err(Malformed));
    }

    #[test]
    fn an_agent_is_taken_out_of_service_and_nothing_else_is_changed() {
        let expected = r#"{"enabled":false,"id":7}"#;
        for body in [r#"{"enabled": false}"#, r#"{"id": 7, "enabled": false}"#] {
            assert_eq!(
                out_of_service(body.as_bytes(), AgentId(7)).as_deref(),
                Some(expected),
                "{body}"
            );
        }
        for body in [
            r#"{"enabled": true}"#,
            r#"{"enabled": false, "maxParallelism": 9}"#,
            r#"{"id": 8, "enabled": false}"#,
            r#"{"enabled": false, "Enabled": true}"#,
            r#"{"enabled": "false"}"#,
            r#"{"id": 7}"#,
            "[]",
            "",
        ] {
            assert_eq!(out_of_service(body.as_bytes(), AgentId(7)), None, "{body}");
        }
    }
}

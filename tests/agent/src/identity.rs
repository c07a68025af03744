//! The agent's own identity: the key that `config.sh` made, traded for an access token when a challenge asks for one.

use crate::client::{Error, send};
use crate::files::{CredentialData, Root};
use azure_emulators::clock::Clock;
use reqwest::header::WWW_AUTHENTICATE;
use serde_json::Value;
use tokio::sync::Mutex;

/// What an agent proves itself with.
#[derive(Debug)]
pub(crate) struct AgentIdentity {
    /// Holds the key, which is read for each token.
    pub(crate) root: Root,
    pub(crate) data: CredentialData,
    pub(crate) token: Mutex<Option<String>>,
}

impl AgentIdentity {
    pub(crate) fn new(root: &Root, data: CredentialData) -> Self {
        Self {
            root: root.clone(),
            data,
            token: Mutex::new(None),
        }
    }

    /// Trades the client assertion for the agent's own access token.
    pub(crate) async fn own_token(&self, http: &reqwest::Client, url: &str) -> Result<String, Error> {
        let failed = |error: anyhow::Error| Error::Answer(format!("{error:#}"));
        let key = self.root.key().map_err(failed)?;
        let data = &self.data;
        let now = Clock::new().now().seconds();
        let assertion = key
            .client_assertion(&data.client_id, &data.authorization_url, now)
            .map_err(failed)?;
        let endpoint = data.oauth_endpoint_url.as_deref().unwrap_or(&data.authorization_url);
        let form = [
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
        ];
        let response = send(http.post(endpoint).form(&form)).await?;
        let status = response.status();
        let body = response
            .bytes()
            .await
            .map_err(|error| Error::Answer(error.to_string()))?;
        // What is no JSON, such as a proxy's page, yields no token and no error: the request goes unauthorized.
        let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
            return Err(Error::Unauthorized(url.to_owned()));
        };
        match answer["access_token"].as_str() {
            Some(token) if status.is_success() => Ok(token.to_owned()),
            _ => Err(Error::Token(format!(
                "{}: {}",
                answer["error"].as_str().unwrap_or("no error name"),
                answer["error_description"].as_str().unwrap_or("no description"),
            ))),
        }
    }
}

/// Whether a challenge names this scheme: on lines of their own, or several on one.
pub(crate) fn asks_for(response: &reqwest::Response, scheme: &str) -> bool {
    let lines = response.headers().get_all(WWW_AUTHENTICATE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|challenge| challenge.split_whitespace().next() == Some(scheme))
}

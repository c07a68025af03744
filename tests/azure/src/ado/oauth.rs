//! The agents' own tokens: an RS256 client assertion, checked with the key that the agent registered.

use super::Ado;
use super::state::{AgentToken, Client, State};
use crate::clock::Timestamp;
use crate::guid;
use crate::http::{Reply, Request};
use crate::jwt::Token;
use serde_json::json;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl State {
    /// An access token of an agent's own.
    pub(super) fn issue(
        &mut self,
        organization: &str,
        pool: i64,
        agent: i64,
        client_id: String,
        now: Timestamp,
    ) -> String {
        let secret = format!("agent.{}.{}", guid::random(), guid::random());
        let token = AgentToken {
            organization: organization.to_owned(),
            pool,
            agent,
            client_id,
            issued: now,
            expires: now.plus(self.timing.agent_token),
        };
        self.agent_tokens.insert(secret.clone(), token);
        secret
    }
}

impl Ado {
    /// `POST oauth2/token` with `grant_type=client_credentials` and a client assertion.
    pub(super) fn agent_token(&self, request: &Request, organization: &str, now: Timestamp) -> Reply {
        let form = request.form().unwrap_or_default();
        let parameter = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
        if parameter("grant_type") != "client_credentials" || parameter("client_assertion_type") != ASSERTION_TYPE {
            return error(
                "unsupported_grant_type",
                "Only client_credentials with a client assertion is supported.",
            );
        }
        let Some(assertion) = Token::parse(parameter("client_assertion")) else {
            return error("invalid_client", "The client assertion is no signed JWT.");
        };
        let mut state = self.lock();
        let timing = state.timing;
        let client_id = assertion.text("iss").unwrap_or_default().to_owned();
        let pools = state
            .organization(organization)
            .into_iter()
            .flat_map(|found| &found.pools);
        let found = pools
            .flat_map(|pool| pool.agents.iter().map(move |agent| (pool.id, agent)))
            .find(|(_, agent)| agent.client.as_ref().is_some_and(|client| client.id == client_id));
        let Some((pool, agent, client)) =
            found.and_then(|(pool, agent)| Some((pool, agent.id, agent.client.as_ref()?)))
        else {
            return error("invalid_client", &format!("The client {client_id} is not known."));
        };
        if let Err(problem) = check(&assertion, client, now, timing.leeway.as_secs() as i64) {
            return error("invalid_client", &problem);
        }
        let secret = state.issue(organization, pool, agent, client_id, now);
        Reply::json(
            200,
            &json!({ "access_token": secret, "token_type": "JWT", "expires_in": timing.agent_token.as_secs() }),
        )
    }
}

fn check(assertion: &Token, client: &Client, now: Timestamp, leeway: i64) -> Result<(), String> {
    if assertion.text("sub") != Some(&client.id) {
        return Err("The subject of the assertion is not its issuer.".to_owned());
    }
    if !assertion.is_for(&client.url) {
        return Err(format!("The audience of the assertion is not {}.", client.url));
    }
    if !assertion.is_signed_by(&client.key) {
        return Err("The assertion is not signed by the key of the agent.".to_owned());
    }
    let (Some(from), Some(until)) = (assertion.number("nbf"), assertion.number("exp")) else {
        return Err("The assertion has no nbf and exp.".to_owned());
    };
    let seconds = now.seconds();
    if seconds + leeway < from || seconds > until + leeway {
        return Err(format!(
            "VS30065: The assertion is not within its valid time range. Current server time is {}.",
            now.iso()
        ));
    }
    Ok(())
}

fn error(error: &str, description: &str) -> Reply {
    Reply::json(400, &json!({ "error": error, "error_description": description }))
}

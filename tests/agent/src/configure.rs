//! `config.sh`, `config.sh remove` and `reauth.sh` (`ConfigurationManager.cs`): registers the agent, removes it, gives it its
//! key again.

use crate::arguments::Arguments;
use crate::capabilities::{self, Own};
use crate::client::{Auth, Error, Server, encoded};
use crate::files::{CredentialData, Credentials, Root, Settings};
use crate::identity::AgentIdentity;
use crate::registration::{Description, IfExists, add_or_replace, find_agent};
use crate::{complain, say, variable};
use anyhow::{Context, bail};
use reqwest::{Method, Url};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Registers the agent and writes its files.
pub(crate) async fn configure(
    root: &Root,
    arguments: &Arguments,
    environment: &[(String, String)],
) -> anyhow::Result<()> {
    if root.is_configured() {
        bail!(
            "Cannot configure the agent because it is already configured. To reconfigure the agent, run 'config.cmd remove' or './config.sh remove' first."
        );
    }
    if !root.has_license() {
        bail!("license.html is missing in the agent's root directory");
    }
    let url = arguments.url.as_deref().context("--url is missing")?;
    say(">> Connect:");
    let server = connect(url, arguments).await?;
    let key = root.key_or_new()?;

    say(">> Register Agent:");
    let pool = find_pool(&server, &arguments.pool).await?;
    let name = arguments.agent.clone().unwrap_or_else(capabilities::machine_name);
    say("Scanning for tool capabilities.");
    say("Connecting to the server.");
    let description = Description {
        name: &name,
        version: &root.version()?.dotted(),
        public_key: json!({ "exponent": key.exponent, "modulus": key.modulus }),
        capabilities: published(root, &name, arguments, environment)?,
    };
    let if_exists = if arguments.replace {
        IfExists::Replace
    } else {
        IfExists::Fail
    };
    let agent = loop {
        match add_or_replace(&server, pool, &description, if_exists).await? {
            Some(agent) => break agent,
            // The real one starts over at once, even unattended; a pause of 100 ms keeps a test machine usable.
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    say(&format!(
        "Successfully {} the agent",
        if agent.replaced { "replaced" } else { "added" }
    ));
    let credentials = credentials(&agent.answer)?;
    root.save_credentials(&credentials)?;

    say("Testing agent connection.");
    let own = connect_as_agent(url, root, credentials).await?;
    root.save_settings(&Settings {
        accept_tee_eula: true,
        agent_id: agent.answer["id"]
            .as_i64()
            .context("the server's answer has no agent id")?,
        agent_name: name,
        pool_id: pool,
        pool_name: arguments.pool.clone(),
        server_url: server_url(url, &agent.answer),
        work_folder: arguments.work.clone(),
    })?;
    say("Settings Saved.");
    telemetry(&own).await;
    Ok(())
}

/// Removes the agent from the pool by the id of `.agent`, then the files.
pub(crate) async fn remove(root: &Root, arguments: &Arguments) -> anyhow::Result<()> {
    if !root.is_configured() || !root.has_credentials() {
        say("Cannot connect to server, because config files are missing. Skipping removing agent from the server.");
        return root.forget();
    }
    let settings = root.settings()?;
    let step = "Removing agent from the server";
    say(step);
    let removed = async {
        let server = connect(&settings.server_url, arguments).await?;
        if find_agent(&server, settings.pool_id, &settings.agent_name)
            .await?
            .is_none()
        {
            return anyhow::Ok(false);
        }
        let path = format!(
            "_apis/distributedtask/pools/{}/agents/{}",
            settings.pool_id, settings.agent_id
        );
        server.call(Method::DELETE, &path, None).await?;
        Ok(true)
    };
    match removed.await {
        Ok(true) => say(&format!("Succeeded: {step}")),
        Ok(false) => say(&format!("Does not exist. Skipping {step}")),
        Err(error) => {
            complain(&format!("Failed: {step}"));
            return Err(error);
        }
    }
    root.forget()?;
    say("Succeeded: Removing .credentials, .agent");
    Ok(())
}

/// Sends the public key again; an agent that is gone is added again.
pub(crate) async fn reauth(root: &Root, arguments: &Arguments, environment: &[(String, String)]) -> anyhow::Result<()> {
    if !root.is_configured() {
        bail!("Cannot authorize the agent again because it is not configured.");
    }
    let settings = root.settings()?;
    let server = connect(&settings.server_url, arguments).await?;
    let key = root.key_or_new()?;
    let description = Description {
        name: &settings.agent_name,
        version: &root.version()?.dotted(),
        public_key: json!({ "exponent": key.exponent, "modulus": key.modulus }),
        capabilities: published(root, &settings.agent_name, arguments, environment)?,
    };
    let agent = add_or_replace(&server, settings.pool_id, &description, IfExists::Replace)
        .await?
        .context("the agent could not be updated")?;
    if !agent.replaced {
        root.save_credentials(&credentials(&agent.answer)?)?;
        root.save_settings(&Settings {
            agent_id: agent.answer["id"]
                .as_i64()
                .context("the server's answer has no agent id")?,
            ..settings
        })?;
    }
    say("Settings Saved.");
    Ok(())
}

/// Five times `connectionData` on four connections: whether the server is hosted, twice, and the three of an agent server.
async fn connect(url: &str, arguments: &Arguments) -> anyhow::Result<Server> {
    let mut server = Server::new(url, Arc::new(admin(url, arguments)?))?;
    say("Connecting to server ...");
    let data = server.connect().await?;
    if data["deploymentType"] != "hosted" {
        say("warning: the server does not say that it is hosted");
    }
    server
        .get("_apis/connectionData?connectOptions=0&lastChangeId=-1&lastChangeId64=-1")
        .await?;
    for _ in 0..3 {
        server = server.beside()?;
        server.connect().await?;
    }
    server.locations().await?;
    Ok(server)
}

/// The three connections of an agent server, as the agent itself.
pub(crate) async fn connect_as_agent(url: &str, root: &Root, credentials: Credentials) -> Result<Server, Error> {
    let failed = |error: anyhow::Error| Error::Answer(format!("{error:#}"));
    let identity = AgentIdentity::new(root, credentials.data);
    let mut server = Server::new(url, Arc::new(Auth::Agent(identity))).map_err(failed)?;
    server.connect().await?;
    for _ in 0..2 {
        server = server.beside().map_err(failed)?;
        server.connect().await?;
    }
    Ok(server)
}

/// The client that the server made for the agent's key.
fn credentials(agent: &Value) -> anyhow::Result<Credentials> {
    let text = |name: &str| agent["authorization"][name].as_str().map(str::to_owned);
    let (Some(client_id), Some(authorization_url)) = (text("clientId"), text("authorizationUrl")) else {
        // The real one saves the administrator's token here; a stub has no reason to imitate that.
        bail!("the server's answer names no client ID or no authorization URL for the agent");
    };
    Ok(Credentials {
        scheme: "OAuth".to_owned(),
        data: CredentialData {
            client_id,
            oauth_endpoint_url: Some(authorization_url.clone()),
            authorization_url,
        },
    })
}

/// The URL as it was typed, unless the server names another: of that it takes the path only.
fn server_url(typed: &str, agent: &Value) -> String {
    let property = &agent["properties"]["ServerUrl"];
    // Properties are written with their type.
    let named = property.as_str().or_else(|| property["$value"].as_str());
    let urls = named.and_then(|named| Some((Url::parse(typed).ok()?, Url::parse(named).ok()?)));
    match urls {
        None => typed.to_owned(),
        Some((mut url, named)) => {
            url.set_path(named.path());
            url.into()
        }
    }
}

async fn find_pool(server: &Server, name: &str) -> anyhow::Result<i64> {
    let query = format!("poolName={}&poolType=Automation", encoded(name));
    let pools = server.get(&format!("_apis/distributedtask/pools?{query}")).await?;
    pools["value"][0]["id"]
        .as_i64()
        .with_context(|| format!("Agent pool not found: '{name}'"))
}

/// The credential of the command line. Without `--auth` it is a PAT for `https` and a host with a dot only.
fn admin(url: &str, arguments: &Arguments) -> anyhow::Result<Auth> {
    let typed = Url::parse(url).with_context(|| format!("{url} is no URL"))?;
    let is_https = typed.scheme() == "https";
    let by_default = if is_https && typed.host_str().is_some_and(|host| host.contains('.')) {
        "PAT"
    } else {
        "Negotiate"
    };
    let auth = arguments.auth.as_deref().unwrap_or(by_default);
    if !auth.eq_ignore_ascii_case("PAT") {
        bail!("the stub knows --auth PAT only, not {auth}");
    }
    let is_allowed = variable("VSS_ALLOW_UNSAFE_BASICAUTH").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !is_https && !is_allowed {
        bail!("Basic authentication requires a secure connection to the server.");
    }
    let token = arguments.token.clone().context("--token is missing")?;
    Ok(Auth::Pat(Mutex::new(Some(token))))
}

/// The capabilities of this configuration.
pub(crate) fn published(
    root: &Root,
    name: &str,
    arguments: &Arguments,
    environment: &[(String, String)],
) -> anyhow::Result<Map<String, Value>> {
    let own = Own {
        name,
        version: &root.version()?.dotted(),
        home: root.directory(),
        is_service: arguments.is_service,
        secret: arguments.token.as_deref(),
    };
    Ok(capabilities::scan(&own, environment))
}

/// Best effort, as the real one's.
pub(crate) async fn telemetry(server: &Server) {
    let body = json!([{ "area": "stub-agent", "feature": "stub-agent", "properties": {} }]);
    let _ = server
        .once(Method::POST, "_apis/customerintelligence/events", Some(&body))
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_typed_url_is_kept_but_for_the_path_that_the_server_names() {
        let typed = "https://a:8443/org/";
        assert_eq!(server_url(typed, &json!({})), typed);
        assert_eq!(server_url("https://a:8443/org", &json!({})), "https://a:8443/org");
        for property in [
            json!("https://b/DefaultCollection"),
            json!({ "$type": "System.String", "$value": "https://b/DefaultCollection" }),
        ] {
            let agent = json!({ "properties": { "ServerUrl": property } });
            assert_eq!(server_url(typed, &agent), "https://a:8443/DefaultCollection");
        }
    }
}

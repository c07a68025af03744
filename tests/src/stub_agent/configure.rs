//! `config.sh` and `config.sh remove` (`ConfigurationManager.cs`): registers the agent, and removes it.

use super::arguments::Arguments;
use super::capabilities;
use super::client::{Auth, Error, Server, encoded};
use super::files::{CredentialData, Credentials, Root, Settings};
use super::{pause, say};
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Registers the agent and writes its files.
pub(super) async fn configure(
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
    let server = Server::new(url, admin(arguments)?)?;

    say(">> Connect:");
    say("Connecting to server ...");
    let data = server.connect().await?;
    if data["deploymentType"] != "hosted" {
        say("warning: the server does not say that it is hosted");
    }
    // A location client and three connections of the agent's own server class.
    for _ in 0..4 {
        server
            .get("_apis/connectionData?connectOptions=0&lastChangeId=0&lastChangeId64=0")
            .await?;
    }
    let key = root.key_or_new()?;

    say(">> Register Agent:");
    let pool = find_pool(&server, &arguments.pool).await?;
    let name = arguments.agent.clone().unwrap_or_else(capabilities::host_name);
    let public_key = json!({ "exponent": key.exponent, "modulus": key.modulus });
    say("Scanning for tool capabilities.");
    say("Connecting to the server.");
    let agent = loop {
        match add_or_replace(&server, pool, &name, &public_key, arguments.replace, environment).await? {
            Some(agent) => break agent,
            // The real one starts over at once, even unattended; a pause of 100 ms keeps a test machine usable.
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    say(&format!(
        "Successfully {} the agent",
        if agent.replaced { "replaced" } else { "added" }
    ));

    let authorization = &agent.answer["authorization"];
    let text = |name: &str| authorization[name].as_str().map(str::to_owned);
    let (Some(client_id), Some(authorization_url)) = (text("clientId"), text("authorizationUrl")) else {
        // The real one saves the administrator's token here; a stub has no reason to imitate that.
        bail!("the server's answer names no client id or no authorization URL for the agent");
    };
    let credentials = Credentials {
        scheme: "OAuth".to_owned(),
        data: CredentialData {
            client_id,
            oauth_endpoint_url: Some(authorization_url.clone()),
            authorization_url,
        },
    };
    root.save_credentials(&credentials)?;

    say("Testing agent connection.");
    let own = Server::as_agent(url, credentials, key)?;
    for _ in 0..3 {
        own.connect()
            .await
            .context("cannot connect with the agent's own credential")?;
    }
    root.save_settings(&Settings {
        accept_tee_eula: true,
        agent_id: agent.answer["id"]
            .as_i64()
            .context("the server's answer has no agent id")?,
        agent_name: name,
        pool_id: pool,
        pool_name: arguments.pool.clone(),
        server_url: format!("{}/", url.trim_end_matches('/')),
        work_folder: arguments.work.clone(),
    })?;
    say("Settings Saved.");
    telemetry(&own).await;
    Ok(())
}

/// Removes the agent from the pool by the id of `.agent`, then the files.
pub(super) async fn remove(root: &Root, arguments: &Arguments) -> anyhow::Result<()> {
    if !root.is_configured() || !root.has_credentials() {
        say("Cannot connect to server, because config files are missing. Skipping removing agent from the server.");
        return root.forget();
    }
    let settings = root.settings()?;
    let server = Server::new(&settings.server_url, admin(arguments)?)?;
    say("Removing agent from the server");
    say("Connecting to server ...");
    server.connect().await?;
    let found = find_agent(&server, settings.pool_id, &settings.agent_name).await?;
    if found.is_some() {
        let path = format!(
            "_apis/distributedtask/pools/{}/agents/{}",
            settings.pool_id, settings.agent_id
        );
        server.call(Method::DELETE, &path, None).await?;
        say("Succeeded: Removing agent from the server");
    } else {
        say("Cannot find agent on the server. Skipping removing agent from the server.");
    }
    root.forget()?;
    say("Succeeded: Removing .credentials, .agent");
    Ok(())
}

/// A registered agent, as the server described it.
struct Registered {
    answer: Value,
    replaced: bool,
}

/// One turn of the registration loop; `None`: the update failed for good, the real one starts over.
async fn add_or_replace(
    server: &Server,
    pool: i64,
    name: &str,
    public_key: &Value,
    replace: bool,
    environment: &[(String, String)],
) -> anyhow::Result<Option<Registered>> {
    let capabilities = capabilities::scan(name, environment);
    let Some(mut found) = find_agent(server, pool, name).await? else {
        let body = json!({
            "id": 0,
            "name": name,
            "version": capabilities::VERSION,
            "osDescription": capabilities::os_description(),
            "maxParallelism": 1,
            "provisioningState": "Provisioned",
            "authorization": { "publicKey": public_key },
            "systemCapabilities": capabilities,
            "createdOn": "0001-01-01T00:00:00",
            "status": "offline",
        });
        let path = format!("_apis/distributedtask/pools/{pool}/agents");
        let answer = server.call(Method::POST, &path, Some(&body)).await?;
        return Ok(Some(Registered {
            answer,
            replaced: false,
        }));
    };
    if !replace {
        bail!("Pool {pool} already contains an agent with name {name}.");
    }
    let id = found["id"].as_i64().context("the agent that was found has no id")?;
    found["authorization"] = json!({ "publicKey": public_key });
    found["version"] = capabilities::VERSION.into();
    found["osDescription"] = capabilities::os_description().into();
    found["systemCapabilities"] = capabilities.into();
    let path = format!("_apis/distributedtask/pools/{pool}/agents/{id}");
    match update(server, &path, &found).await {
        Ok(answer) => Ok(Some(Registered { answer, replaced: true })),
        Err(error) => {
            say(&format!(
                "Failed to replace the agent. Try again or ctrl-c to quit: {error}"
            ));
            Ok(None)
        }
    }
}

/// `PUT`, three times where the connection fails.
async fn update(server: &Server, path: &str, agent: &Value) -> Result<Value, Error> {
    for seconds in [2, 4] {
        match server.once(Method::PUT, path, Some(agent)).await {
            Err(Error::Connection(_)) => tokio::time::sleep(pause(Duration::from_secs(seconds))).await,
            done => return done,
        }
    }
    server.once(Method::PUT, path, Some(agent)).await
}

async fn find_pool(server: &Server, name: &str) -> anyhow::Result<i64> {
    let query = format!("poolName={}&poolType=Automation", encoded(name));
    let pools = server.get(&format!("_apis/distributedtask/pools?{query}")).await?;
    pools["value"][0]["id"]
        .as_i64()
        .with_context(|| format!("Agent pool not found: '{name}'"))
}

async fn find_agent(server: &Server, pool: i64, name: &str) -> Result<Option<Value>, Error> {
    let query = format!("agentName={}&includeCapabilities=False", encoded(name));
    let agents = server
        .get(&format!("_apis/distributedtask/pools/{pool}/agents?{query}"))
        .await?;
    Ok(agents["value"].get(0).cloned())
}

fn admin(arguments: &Arguments) -> anyhow::Result<Auth> {
    if let Some(auth) = arguments
        .auth
        .as_deref()
        .filter(|auth| !auth.eq_ignore_ascii_case("PAT"))
    {
        bail!("the stub knows --auth PAT only, not {auth}");
    }
    let token = arguments.token.clone().context("--token is missing")?;
    Ok(Auth::Pat(token))
}

/// Best effort, as the real one's.
pub(super) async fn telemetry(server: &Server) {
    let body = json!([{ "area": "stub-agent", "feature": "stub-agent", "properties": {} }]);
    let _ = server
        .once(Method::POST, "_apis/customerintelligence/events", Some(&body))
        .await;
}

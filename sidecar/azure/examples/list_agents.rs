//! Lists the agents of a pool: a second program on the same client, with everything from its command line.
//!
//! `list_agents URL POOL TENANT CLIENT_ID ASSERTION_FILE [AUTHORITY [CA_FILE]]`

use azure::{AssertionSource, Authority, AzureDevOps, Entra, Http, Identity, Proxies, Trust};
use azure_protocol::{AdoContext, AdoRequest, AdoResponse, Criteria, EntraContext, ServerTime};
use contract::{HostList, HttpsUrl, OrganizationUrl};
use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The user who passes the URL thereby allows its host.
fn own_host(url: &str) -> Result<HostList, Box<dyn Error>> {
    Ok(HostList::parse(&HttpsUrl::parse(url)?.host)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, pool, tenant, client_id, assertion, rest @ ..] = arguments.as_slice() else {
        return Err("usage: list_agents URL POOL TENANT CLIENT_ID ASSERTION_FILE [AUTHORITY [CA_FILE]]".into());
    };
    let authority = rest.first().map_or(contract::DEFAULT_AUTHORITY, String::as_str);
    let trust = Trust::new(None, rest.get(1).map(Into::into))?;
    let http = Arc::new(Http::new(trust, Proxies::default(), "list_agents"));
    let identity = Identity {
        client_id: client_id.clone(),
        scope: contract::DEFAULT_SCOPE.to_owned(),
        assertion: AssertionSource::File(assertion.into()),
        authority: Authority::parse(authority, &own_host(authority)?)?,
        binding: None,
    };
    let issued = Entra::new(identity, Arc::clone(&http)).exchange(tenant).await;
    let token = issued
        .map_err(|error| EntraContext { client_id, tenant }.explain(&error).sentence)?
        .token;

    let azure_devops = AzureDevOps::new(&OrganizationUrl::parse(url, &own_host(url)?)?, http)?;
    let context = AdoContext {
        url,
        pool,
        client_id,
        tenant: Some(tenant),
    };
    let call = async |request: AdoRequest| {
        let reply = azure_devops.call(&request, Some(&token), TIMEOUT).await;
        reply.result.map_err(|error| context.explain(&request, &error).sentence)
    };
    let AdoResponse::Pool(Some(id)) = call(AdoRequest::PoolByName(pool.clone())).await? else {
        return Err(context.pool_missing().sentence.into());
    };
    let all = Criteria {
        agent_name: String::new(),
        pod_name: String::new(),
        started: Some(ServerTime(i64::MIN)),
        seen: Vec::new(),
        most: 1000,
    };
    let AdoResponse::Shortlist(agents) = call(AdoRequest::Agents(id, all)).await? else {
        return Err("the response does not fit the request".into());
    };
    for agent in agents.agents() {
        writeln!(stdout(), "{}\t{}\tonline={}", agent.id.0, agent.name, agent.online)?;
    }
    Ok(())
}

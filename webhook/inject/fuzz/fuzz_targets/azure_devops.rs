//! Any response to each request that the client sends to Azure DevOps.

#![no_main]

use azure_protocol::{AdoRequest, AdoResponse, AgentId, Availability, Criteria, PoolId};
use libfuzzer_sys::{Corpus, fuzz_target};

const POOL: PoolId = PoolId(1);
const AGENT: AgentId = AgentId(7);

fn requests() -> [AdoRequest; 8] {
    let criteria = Criteria {
        agent_name: "agent-7".to_owned(),
        pod_name: "pod".to_owned(),
        started: None,
        seen: vec![AGENT],
        most: 3,
    };
    [
        AdoRequest::Tenant,
        AdoRequest::PoolByName("linux".to_owned()),
        AdoRequest::MayManage(POOL),
        AdoRequest::AgentByName(POOL, "agent-7".to_owned()),
        AdoRequest::Agents(POOL, criteria),
        AdoRequest::Agent(POOL, AGENT),
        AdoRequest::SetAvailability(POOL, AGENT, Availability::Disabled),
        AdoRequest::Delete(POOL, AGENT),
    ]
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    for request in requests() {
        let read = |response| azure::receive_ado(&request, response);
        let Some(outcome) = fuzz::response::read(bytes, read) else {
            return Corpus::Reject;
        };
        match outcome {
            Ok(AdoResponse::Agents(agents)) => assert!(agents.len() <= 8, "{} agents are kept", agents.len()),
            Ok(_) => {}
            Err(error) => assert!(
                error.detail.len() < 8192,
                "{} bytes of a server's words",
                error.detail.len()
            ),
        }
    }
    Corpus::Keep
});

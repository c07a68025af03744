//! Any response to each question that the sidecar asks Azure DevOps.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use lifecycle::{AgentId, Answer, Criteria, PoolId, Question};
use sidecar::answers;

const POOL: PoolId = PoolId(1);
const AGENT: AgentId = AgentId(7);

fn questions() -> [Question; 8] {
    let criteria = Criteria {
        agent_name: "agent-7".to_owned(),
        pod_name: "pod".to_owned(),
        started: None,
        seen: vec![AGENT],
        most: 3,
    };
    [
        Question::Tenant,
        Question::Pool,
        Question::MayManage(POOL),
        Question::AgentByName(POOL, "agent-7".to_owned()),
        Question::Agents(POOL, criteria),
        Question::Agent(POOL, AGENT),
        Question::SetEnabled(POOL, AGENT, false),
        Question::Delete(POOL, AGENT),
    ]
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    for question in questions() {
        let read = |response| answers::azure_devops(&question, "linux", response);
        let Some(outcome) = fuzz::response::read(bytes, read) else {
            return Corpus::Reject;
        };
        match outcome {
            Ok(Answer::Agents(agents)) => assert!(agents.len() <= 8, "{} agents are kept", agents.len()),
            Ok(_) => {}
            Err(failure) => assert!(
                failure.detail.len() < 8192,
                "{} bytes of a server's words",
                failure.detail.len()
            ),
        }
    }
    Corpus::Keep
});

//! The attacks, by name: what one client does, and how many there are.

use hyper::body::Bytes;
use serde_json::{Value, json};

use super::attacker::Conduct;
use crate::apiserver::review::of_pod;
use crate::bench::reviews;

/// The namespace of whoever attacks with pods: not that of the honest client.
pub const NAMESPACE: &str = "attackers";
/// Its account, which exists and names no identity.
pub const ACCOUNT: &str = "plain";

/// One kind of attack.
pub struct Attack {
    /// What it is called in the result.
    pub name: &'static str,
    /// Clients at once.
    pub clients: usize,
    /// What each does.
    pub conduct: Conduct,
}

/// All of them.
///
/// # Errors
/// The pod's file is not there.
pub fn all() -> anyhow::Result<Vec<Attack>> {
    let pod = reviews::pod()?;
    let body = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod.clone();
        pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
        change(&mut pod);
        Bytes::from(of_pod(NAMESPACE, &pod).to_string())
    };
    let post = |change: &dyn Fn(&mut Value)| Conduct::Post(body(change));
    let attack = |name, clients, conduct| Attack { name, clients, conduct };
    Ok(vec![
        attack(
            "pod of 1.2 MB of variables",
            4,
            post(&|pod| variables(pod, 40_000, "V")),
        ),
        attack(
            "pod of 3.1 MB of variables",
            4,
            post(&|pod| variables(pod, 100_000, "V")),
        ),
        attack(
            "20 pods of 63 kB of small values at once",
            20,
            post(&|pod| small_values(pod, 7_600)),
        ),
        attack(
            "100 pods of 30 kB of small values at once",
            100,
            post(&|pod| small_values(pod, 3_500)),
        ),
        attack("60 HTTP/2 connections of 15 open bodies", 60, Conduct::Streams(15)),
        attack("600 HTTP/2 connections of 15 open bodies", 600, Conduct::Streams(15)),
        attack("1000 open bodies", 1000, Conduct::OpenBody(64 << 10)),
        attack(
            "100 open bodies of nearly 4 MiB",
            100,
            Conduct::OpenBody((4 << 20) - (16 << 10)),
        ),
        attack("100 open bodies without a length", 100, Conduct::OpenChunks(3 << 20)),
        attack("600 open heads of 300 kB", 600, Conduct::OpenHead(300_000)),
        attack("1030 idle connections", 1030, Conduct::Silent),
        attack(
            "1030 connections that asked once",
            1030,
            Conduct::AskOnce(body(&|_| ())),
        ),
        attack("1030 connections without TLS", 1030, Conduct::NoHandshake),
        attack("1024 idle connections to the plain port", 1024, Conduct::Plain),
        attack(
            "200 clients that read no answer",
            200,
            Conduct::PostUnread(body(&annotated_identity)),
        ),
        attack(
            "pod of 100,000 unknown annotation keys",
            4,
            post(&|pod| unknown_keys(pod, 100_000)),
        ),
        attack(
            "pod of 60,000 secret variables",
            4,
            post(&|pod| variables(pod, 60_000, "AZP_TOKEN")),
        ),
        attack("pod of 10,000 containers", 4, post(&|pod| containers(pod, 10_000))),
        attack("pod of two strings of 1.5 MB", 4, post(&long_strings)),
        attack(
            "pods of ServiceAccounts that do not exist",
            20,
            Conduct::PostEach(unknown_account),
        ),
    ])
}

/// `number` variables; with the number in their name unless it is a secret's.
pub fn variables(pod: &mut Value, number: usize, name: &str) {
    let is_secret = name.starts_with("AZP_");
    let entry = |index: usize| {
        let name = if is_secret {
            name.to_owned()
        } else {
            format!("{name}{index}")
        };
        json!({"name": name, "value": "x"})
    };
    let container = &mut pod["spec"]["containers"][0]["env"];
    let mut list = container.as_array().cloned().unwrap_or_default();
    list.extend((0..number).map(entry));
    *container = json!(list);
}

/// What takes most memory for its text: objects of one member.
pub fn small_values(pod: &mut Value, number: usize) {
    pod["spec"]["x"] = json!(vec![json!({"a": 0}); number]);
}

/// Keys below our prefix that mean nothing.
pub fn unknown_keys(pod: &mut Value, number: usize) {
    let keys = (0..number).map(|index| (format!("{}{index:06}", contract::PREFIX), json!("")));
    pod["metadata"]["annotations"] = Value::Object(keys.collect());
}

/// Containers beside the agent.
pub fn containers(pod: &mut Value, number: usize) {
    let mut list = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    list.extend((0..number).map(|index| json!({"name": format!("c{index}"), "image": "i", "env": [{"name": "A"}]})));
    pod["spec"]["containers"] = json!(list);
}

/// Strings of 1.5 MB, one full of what JSON escapes.
pub fn long_strings(pod: &mut Value) {
    annotated_identity(pod);
    pod["metadata"]["annotations"]["filler"] = json!("\"\n".repeat(350_000));
    let variable = json!({"name": "FILLER", "value": "x".repeat(1_500_000)});
    pod["spec"]["containers"][0]["env"] = json!([variable]);
}

/// A pod that gets a patch without its account.
pub fn annotated_identity(pod: &mut Value) {
    let id = "11111111-2222-3333-4444-555555555555";
    pod["metadata"]["annotations"] = json!({contract::CLIENT_ID_ANNOTATION: id, contract::TENANT_ID_ANNOTATION: id});
}

fn unknown_account(number: usize) -> Bytes {
    let pod = json!({
        "metadata": {"generateName": "a-", "labels": {contract::INJECT_LABEL: "true"}},
        "spec": {"serviceAccountName": format!("nobody-{number}"), "containers": [{"name": "agent", "image": "i", "env": [
            {"name": "AZP_URL", "value": "https://dev.azure.com/contoso"}, {"name": "AZP_POOL", "value": "linux"}]}]},
    });
    Bytes::from(of_pod(NAMESPACE, &pod).to_string())
}

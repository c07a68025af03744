//! What the sidecar costs at the start of an agent: from the pod's creation until the agent is online, beside the same pods
//! without us that were given a personal access token.

use crate::case::{AGENT, Case, LIMIT};
use crate::suite::say;
use crate::workload::{agent, pod, template};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Pods of each kind.
const PODS: usize = 10;
/// How much later an agent may be online for the sidecar: two images instead of one to start, a token to get, and a probe
/// that the kubelet makes once a second.
const GOAL: Duration = Duration::from_secs(5);

/// In turn, since one minute of a machine is not like the next. Pods stay until all have started, so that no removal
/// disturbs a start.
pub(crate) async fn an_agent_is_online_soon_after_its_pod_is_created(case: Case) -> Result<()> {
    let token = "a-personal-access-token-of-the-suite";
    let organisation = &case.suite.world.settings.organisation;
    let ado = &case.suite.world.ado;
    ado.add_personal_access_token(organisation, token, &case.identity);
    case.apply(&json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": AGENT},
        "stringData": {"token": token},
    }))?;
    let injected = template("gen3");
    let mut bare = template("gen3");
    bare["metadata"]["labels"]["ado-agent.dev/inject"] = json!("false");
    agent(&mut bare)["env"] =
        json!([{"name": "AZP_TOKEN", "valueFrom": {"secretKeyRef": {"name": AGENT, "key": "token"}}}]);

    let (mut with, mut without) = (Vec::new(), Vec::new());
    for number in 0..PODS {
        with.push(start(&case, &pod(&format!("injected-{number}"), &injected)).await?);
        without.push(start(&case, &pod(&format!("bare-{number}"), &bare)).await?);
    }
    let (with, without) = (Times::of(with), Times::of(without));
    say(&format!(
        "from a pod's creation until its agent is online, {PODS} pods of each kind, in seconds\n\
         {:28} {:>5} {:>5} {:>5}\n{:28} {with}\n{:28} {without}",
        "", "least", "p50", "most", "with the sidecar", "with an access token",
    ));
    ensure!(
        with.middle < without.middle + GOAL,
        "the sidecar makes an agent later by more than {GOAL:?}"
    );
    case.kubectl(&["delete", "pods", "--all", "--wait=false"])?;
    case.wait_for_agents(0).await
}

/// Creates a pod and answers how long it takes until its agent is online.
async fn start(case: &Case, pod: &Value) -> Result<Duration> {
    let name = pod["metadata"]["name"].as_str().context("the pod has a name")?;
    let begin = Instant::now();
    case.suite.api.create(&case.path("pods"), pod).await?;
    // Closer than the suite's usual wait: this is what is measured.
    while !case
        .pool
        .agents()
        .iter()
        .any(|agent| agent.name == name && agent.online)
    {
        ensure!(begin.elapsed() < LIMIT, "agent {name} is not online");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(begin.elapsed())
}

struct Times {
    least: Duration,
    middle: Duration,
    most: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            least: times[0],
            middle: times[times.len() / 2],
            most: times[times.len() - 1],
        }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [least, middle, most] = [self.least, self.middle, self.most].map(|time| time.as_secs_f32());
        write!(f, "{least:5.2} {middle:5.2} {most:5.2}")
    }
}

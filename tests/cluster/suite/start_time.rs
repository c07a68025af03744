//! What the sidecar costs at the start of an agent: from the pod's creation until the agent is online, beside the same pods
//! without us that were given a personal access token, alone and with a native sidecar that does nothing. The difference to
//! the latter is what ours does; the rest is what the kubelet takes for any. A sidecar that does nothing and has a `postStart`
//! hook instead of the startup probe shows what ours could save at most if it held the agent back by itself.

use crate::case::{Case, LIMIT};
use crate::suite::say;
use crate::workload::{agent, pod, template, with_access_token};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Pods of each kind.
const PODS: u32 = 10;
/// How much later an agent may be online for the sidecar: two images instead of one to start, a token to get, and a probe
/// that the kubelet makes once a second.
const GOAL: Duration = Duration::from_secs(5);

/// In turn, since one minute of a machine is not like the next. Pods stay until all have started, so that no removal
/// disturbs a start.
pub(crate) async fn an_agent_is_online_soon_after_its_pod_is_created(case: Case) -> Result<()> {
    case.add_access_token()?;
    let injected = template("gen3");
    let bare = with_access_token(template("gen3"));
    let idle = with_idle_sidecar(&bare, HeldBy::StartupProbe);
    let hooked = with_idle_sidecar(&bare, HeldBy::PostStart);

    let kinds = [
        ("injected", "with the sidecar", injected),
        ("idle", "with a sidecar that does nothing", idle),
        ("hooked", "the same, with postStart, no probe", hooked),
        ("bare", "with an access token alone", bare),
    ];
    let mut times = kinds.each_ref().map(|_| Vec::new());
    let grid = tokio::time::Instant::now();
    for number in 0..PODS {
        // The kubelet looks at containers and probes once a second. Pods that are created one after the other would fall into
        // step with it; these spread evenly over its second.
        let phase = Duration::from_secs(1) * number / PODS;
        for ((name, _, template), times) in kinds.iter().zip(&mut times) {
            let second = Duration::from_secs(grid.elapsed().as_secs() + 1);
            tokio::time::sleep_until(grid + second + phase).await;
            times.push(start(&case, &pod(&format!("{name}-{number}"), template)).await?);
        }
    }
    let [with, idle, hooked, without] = times.map(Times::of);
    let mut table = format!("{:34} {:>5} {:>5} {:>5}", "", "least", "p50", "most");
    for ((_, kind, _), times) in kinds.iter().zip([&with, &idle, &hooked, &without]) {
        write!(table, "\n{kind:34} {times}")?;
    }
    say(&format!(
        "from a pod's creation until its agent is online, {PODS} pods of each kind, in seconds\n{table}"
    ));
    ensure!(
        with.middle < without.middle + GOAL,
        "the sidecar makes an agent later by more than {GOAL:?}"
    );
    // Forty scripts end at once. Those without our sidecar have their grace period to remove their agents, and on a busy machine
    // that may be too short.
    case.leaves_agents();
    case.kubectl(&["delete", "pods", "--all", "--wait=false"])?;
    case.wait_for_pool("the removal of our agents", |agents| {
        agents.iter().all(|agent| !agent.name.starts_with("injected"))
    })
    .await
}

/// What holds the agent's container back until the sidecar is there.
#[derive(Clone, Copy)]
enum HeldBy {
    /// As in our sidecar.
    StartupProbe,
    PostStart,
}

/// The template with a native sidecar of the agent's own image and a projected service-account token, as ours has one.
fn with_idle_sidecar(template: &Value, held_by: HeldBy) -> Value {
    let mut template = template.clone();
    let mut container = agent(&mut template).clone();
    container["name"] = json!("idle");
    container["command"] = json!(["bash", "-c", "trap 'exit 0' TERM; sleep infinity & wait"]);
    container["restartPolicy"] = json!("Always");
    let exec = json!({"command": ["true"]});
    match held_by {
        HeldBy::StartupProbe => {
            container["startupProbe"] =
                json!({"exec": exec, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 3600});
        }
        HeldBy::PostStart => container["lifecycle"] = json!({"postStart": {"exec": exec}}),
    }
    container["volumeMounts"] = json!([{"name": "assertion", "mountPath": "/run/assertion", "readOnly": true}]);
    template["spec"]["initContainers"] = json!([container]);
    template["spec"]["volumes"] = json!([{
        "name": "assertion",
        "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
    }]);
    template
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

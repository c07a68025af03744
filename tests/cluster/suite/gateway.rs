//! The handoff `gateway`: a script of Microsoft's recipe, one that exchanges a token itself, one that reads variables with names of
//! its own; hostile jobs in them.

use crate::case::{Case, LIMIT};
use crate::jobs::wait_for_job;
use crate::usual::{all_succeeded, apply_all, delete_all, online, queue, short_grace};
use crate::workload::{agent, annotate, job, pod, template};
use anyhow::{Context, Result, ensure};
use contract::{
    GRACE_SECONDS_ANNOTATION, HANDOFF_ANNOTATION, Handoff, ONCE_ANNOTATION, OWN_EXCHANGE_ANNOTATION, TICKET,
    TOKEN_VARIABLES_ANNOTATION, URL_VARIABLES_ANNOTATION,
};
use serde_json::{Value, json};

/// An image that knows its token and its organization under names of its own, and reads no file.
const ENV_ONLY: &str = r#"set -e
mkdir /tmp/agent
cd /tmp/agent
package=$(curl -LsS -u "user:${AGENT_TOKEN:?}" "${AGENT_URL:?}/_apis/distributedtask/packages/agent?platform=linux-x64&top=1" | jq -r '.value[0].downloadUrl')
curl -LsS "$package" | tar -xz
./config.sh --unattended --url "$AGENT_URL" --auth PAT --token "$AGENT_TOKEN" --pool "$AZP_POOL" --agent "$(hostname)" --replace --acceptTeeEula
exec ./run.sh
"#;

/// The pod template of an agent that goes through the gateway.
fn through_the_gateway(script: &str) -> Value {
    let mut template = template(script);
    short_grace(&mut template);
    annotate(&mut template, HANDOFF_ANNOTATION, Handoff::Gateway.as_str());
    template
}

/// As root: without capabilities it may not do more than others.
fn as_root(mut template: Value) -> Value {
    template["spec"]["securityContext"] = json!({"runAsUser": 0});
    agent(&mut template)["securityContext"] = json!({});
    template
}

/// Fails where files, environments or volumes hold a token of the pool's identity, or one of a ServiceAccount.
fn search(case: &Case) -> String {
    let identity = &case.identity.object_id;
    format!(
        r#"
        found=$( {{ grep -ahorsE 'eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+' /run /azp /tmp /home /root /var /etc /proc/[0-9]*/environ || true; }} | sort -u)
        for token in $found; do
            claims=$(printf '%s==' "$(echo "$token" | cut -d. -f2 | tr '_-' '/+')" | base64 -di 2>/dev/null || true)
            case "$claims" in *{identity}*|*system:serviceaccount:*) echo "found: $claims"; exit 1 ;; esac
        done
        "#
    )
}

/// Fails unless the gateway refuses to remove another agent, and everything else that the ticket is not for.
fn try_the_ticket(case: &Case, other: i64) -> String {
    let agents = format!("_apis/distributedtask/pools/{}/agents", case.pool.id());
    let requests = [
        format!("DELETE {agents}/{other}"),
        format!("PATCH {agents}/{other}"),
        format!("DELETE {agents}/x/../{other}"),
        "GET _apis/projects".to_owned(),
    ];
    let tries = requests.iter().map(|request| {
        let (method, path) = request.split_once(' ').unwrap_or_default();
        format!(
            "code=$(curl -sS --path-as-is -o /dev/null -w '%{{http_code}}' -u :{TICKET} -X {method} -H 'Content-Type: application/json' \
             -d '{{}}' \"$AZP_URL/{path}\"); case $code in 400|403|404|405) ;; *) echo \"{request}: $code\"; exit 1 ;; esac\n"
        )
    });
    tries.collect()
}

pub(crate) async fn a_job_that_searches_everything_finds_no_token_and_removes_no_other_agent(case: Case) -> Result<()> {
    let mut own_exchange = through_the_gateway("own-exchange");
    annotate(&mut own_exchange, OWN_EXCHANGE_ANNOTATION, "true");
    let mut env_only = through_the_gateway("gen3");
    annotate(&mut env_only, TOKEN_VARIABLES_ANNOTATION, "AGENT_TOKEN");
    annotate(&mut env_only, URL_VARIABLES_ANNOTATION, "AGENT_URL");
    agent(&mut env_only)["command"] = json!(["/bin/bash", "-c", ENV_ONLY]);
    let mut token_file = template("gen3");
    short_grace(&mut token_file);
    let hostile = ["recipe", "recipe-as-root", "own-exchange", "env-only"];
    let pods = [
        pod(hostile[0], &through_the_gateway("gen3")),
        pod(hostile[1], &as_root(through_the_gateway("gen2"))),
        pod(hostile[2], &own_exchange),
        pod(hostile[3], &env_only),
        pod("token-file", &token_file),
    ];
    apply_all(&case, &pods)?;
    online(&case, &[&hostile[..], &["token-file"]].concat()).await?;
    let agents = case.pool.agents();
    let other = agents.iter().find(|agent| agent.name == "token-file");
    let other = other.context("the agent with the token file")?.id;
    for name in hostile {
        let script = format!("set -e\n{}{}", search(&case), try_the_ticket(&case, other));
        queue(&case, name, &script)?;
    }
    // The search finds a token where there is one.
    queue(&case, "token-file", &format!("if ({}); then exit 1; fi", search(&case)))?;
    all_succeeded(&case).await?;
    let agents = case.pool.agents();
    let is_untouched = agents
        .iter()
        .any(|agent| agent.id == other && agent.enabled && agent.online);
    ensure!(is_untouched, "the other agent should be as it was: {agents:#?}");
    delete_all(&case).await
}

pub(crate) async fn agents_are_ready_while_online_and_no_job_is_lost_with_their_pods(case: Case) -> Result<()> {
    let names = ["busy", "idle"];
    // Longer than the job, and than the sidecar's pauses between looks.
    let mut busy = through_the_gateway("gen3");
    annotate(&mut busy, GRACE_SECONDS_ANNOTATION, "60");
    let pods = [
        pod(names[0], &busy),
        pod(names[1], &as_root(through_the_gateway("gen0"))),
    ];
    apply_all(&case, &pods)?;
    online(&case, &names).await?;
    let looked = || async { Ok((case.ready_pods().await?.len() == names.len()).then_some(())) };
    case.wait("ready pods", LIMIT, looked).await?;
    let job = queue(&case, names[0], "sleep 4")?;
    case.wait_for_pool("the job assigned", |agents| {
        agents.iter().any(|agent| agent.job == Some(job))
    })
    .await?;
    delete_all(&case).await?;
    all_succeeded(&case).await
}

pub(crate) async fn an_agent_of_one_job_is_gone_with_it(case: Case) -> Result<()> {
    let mut template = through_the_gateway("gen3");
    annotate(&mut template, ONCE_ANNOTATION, "true");
    case.apply(&job("once", &template))?;
    case.wait_for_agents(1).await?;
    let name = case.pool.agents().remove(0).name;
    // A second agent of the pod's own cannot be registered.
    let second = format!(
        "set -e
         mkdir /tmp/second && cp -r /azp/bin /azp/externals /azp/*.sh /tmp/second/ && cd /tmp/second
         if ./config.sh --unattended --url \"$AZP_URL\" --auth PAT --token {TICKET} --pool \"$AZP_POOL\" --agent second --acceptTeeEula; then exit 1; fi"
    );
    queue(&case, &name, &second)?;
    wait_for_job(&case, "once", "Complete").await?;
    case.wait_for_agents(0).await?;
    all_succeeded(&case).await
}

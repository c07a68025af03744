//! Ways in which agents die, and what each leaves in the pool before anybody cleans up from outside.

use crate::case::{Case, container_status};
use crate::ending::Ending;
use crate::life::{Life, obedient, with_grace};
use crate::recovery::SHORT_LIFE;
use crate::suite::say;
use crate::workload::{CONTAINER, agent, template};
use anyhow::{Result, ensure};
use azure_emulators::recording::counts;
use contract::SIDECAR_CONTAINER;
use serde_json::{Value, json};

/// AADSTS700024: the assertion "is not within its valid time range".
const ASSERTION_EXPIRED: u32 = 700_024;
/// Makes the first process, bash, take 400 MB.
const ALLOCATE: &str = "printf -v all %0400000000d 0";

/// The agent's container may have 128 MiB, and its first process takes more on SIGUSR1.
fn greedy() -> Value {
    let mut template = obedient("exit", ALLOCATE);
    agent(&mut template)["resources"]["limits"] = json!({"memory": "128Mi"});
    template
}

/// A line of the table: what is left, and what was asked of Azure DevOps in the pod's life.
fn line(kind: &str, life: &Life, ending: &Ending) -> String {
    let left = usize::from(life.agent().is_some());
    let routes: Vec<String> = counts(&ending.requests)
        .into_iter()
        .map(|(route, count)| format!("{count} {route}"))
        .collect();
    format!(
        "{kind:50} | {left:11} | {:18} | {}: {}",
        ending.outcome().unwrap_or("-"),
        ending.requests.len(),
        routes.join(", ")
    )
}

/// Prints the lines that went well and fails with the others.
async fn table(rows: Vec<tokio::task::JoinHandle<Result<String>>>) -> Result<()> {
    let mut lines = vec![format!(
        "{:50} | agents left | outcome            | requests of the sidecar to Azure DevOps",
        "kind of death"
    )];
    let mut failures = Vec::new();
    for row in rows {
        match row.await? {
            Ok(line) => lines.push(line),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    say(&lines.join("\n"));
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}

/// The pod is over with its agent: removed in time, with this phase and this end of the agent's container.
fn is_over(life: &Life, ending: &Ending, phase: &str, reason: &str) -> Result<()> {
    ending.must_be("removed")?;
    ending.removal_in_time()?;
    ensure!(life.agent().is_none(), "the agent stays\n{}", ending.explain());
    let agent = container_status(&ending.pod, CONTAINER).map(|status| &status["state"]["terminated"]["reason"]);
    let phase_is = &ending.pod["status"]["phase"];
    ensure!(
        phase_is == phase && agent.is_some_and(|agent| agent == reason),
        "should be {phase}, the agent {reason}, and are {phase_is} and {agent:?}\n{}",
        ending.explain()
    );
    Ok(())
}

pub(crate) async fn agents_whose_container_does_not_restart(case: Case) -> Result<()> {
    case.leaves_agents();
    table(vec![
        tokio::spawn(ends(
            case.clone(),
            "exit-0",
            "agent ends with 0",
            "SIGUSR1",
            "Completed",
        )),
        tokio::spawn(ends(case.clone(), "exit-5", "agent ends with 5", "SIGUSR2", "Error")),
        tokio::spawn(ends(case.clone(), "killed", "agent killed", "SIGKILL", "Error")),
        tokio::spawn(ends(case.clone(), "oom", "agent out of memory", "SIGUSR1", "OOMKilled")),
        tokio::spawn(killed_with_a_job(case.clone())),
    ])
    .await?;
    let left: Vec<String> = case.pool.agents().into_iter().map(|agent| agent.name).collect();
    ensure!(left == ["busy"], "only the agent with a job may be left: {left:?}");
    Ok(())
}

/// The first process of an agent without a job gets a signal.
async fn ends(case: Case, name: &str, kind: &str, signal: &str, reason: &str) -> Result<String> {
    let template = if reason == "OOMKilled" {
        greedy()
    } else {
        obedient("exit", "exit 0")
    };
    let life = Life::begin(&case, name, &with_grace(template, 20))?;
    life.online().await?;
    life.signal(CONTAINER, signal).await?;
    let ending = life.ended().await?;
    let phase = if reason == "Completed" { "Succeeded" } else { "Failed" };
    is_over(&life, &ending, phase, reason)?;
    let sidecar = container_status(&ending.pod, SIDECAR_CONTAINER).map(|status| &status["state"]["terminated"]);
    ensure!(
        sidecar.is_some_and(|ended| ended["exitCode"] == 0),
        "the sidecar ends with 0: {sidecar:?}\n{}",
        ending.explain()
    );
    Ok(line(kind, &life, &ending))
}

/// Azure DevOps keeps an agent with a job for minutes after its death; the grace is shorter here, so the sidecar says so.
async fn killed_with_a_job(case: Case) -> Result<String> {
    let life = Life::begin(&case, "busy", &with_grace(obedient("exit", "exit"), 6))?;
    life.busy().await?;
    life.signal(CONTAINER, "SIGKILL").await?;
    let ending = life.ended().await?;
    ending.must_be("job-still-assigned")?;
    let agent = life.agent();
    ensure!(
        agent
            .as_ref()
            .is_some_and(|agent| !agent.enabled && agent.job.is_some()),
        "the agent stays with its job and gets no other: {agent:?}\n{}",
        ending.explain()
    );
    Ok(line(
        "agent killed with a job, grace over before its lock",
        &life,
        &ending,
    ))
}

pub(crate) async fn agents_whose_container_restarts(case: Case) -> Result<()> {
    table(vec![
        tokio::spawn(starts_again(
            case.clone(),
            "exit-5",
            "agent ends with 5, starts again, is deleted",
            "SIGUSR2",
        )),
        tokio::spawn(starts_again(
            case.clone(),
            "killed",
            "agent killed, starts again, is deleted",
            "SIGKILL",
        )),
        tokio::spawn(starts_again(
            case.clone(),
            "oom",
            "agent out of memory, starts again, is deleted",
            "SIGUSR1",
        )),
    ])
    .await
}

/// An agent that dies in a pod that lives on registers again under the sidecar's eyes, which removes it in the end.
async fn starts_again(case: Case, name: &str, kind: &str, signal: &str) -> Result<String> {
    let mut template = if name == "oom" {
        greedy()
    } else {
        obedient("exit", "exit 0")
    };
    template["spec"]["restartPolicy"] = json!("Always");
    let life = Life::begin(&case, name, &with_grace(template, 20))?;
    let first = life.online().await?;
    life.signal(CONTAINER, signal).await?;
    life.until("it starts again", |life| (life.restarts(CONTAINER) == 1).then_some(()))
        .await?;
    // The session of the first run outlives it, also the registration with --replace, and is in the way of the second run until
    // it lapses: five minutes, which are cut short here.
    let listener = format!("agent {}", first.id);
    life.until("its second run meets the session of the first", |_| {
        let requests = case.suite.world.ado.view().requests;
        let mut refused = requests.iter().filter(|request| request.status == 409);
        refused
            .any(|request| request.route == "POST sessions" && request.identity.as_ref() == Some(&listener))
            .then_some(())
    })
    .await?;
    case.pool.end_session(first.id);
    life.until("its agent is online again", |life| {
        let agent = life.agent()?;
        (agent.online && agent.status_changed > first.status_changed).then_some(())
    })
    .await?;
    ensure!(
        life.restarts(SIDECAR_CONTAINER) == 0,
        "the sidecar is not concerned\n{}",
        life.explain()
    );
    life.delete(&[])?;
    let ending = life.ended().await?;
    ending.must_be("removed")?;
    life.removed_once(&ending)?;
    Ok(line(kind, &life, &ending))
}

pub(crate) async fn pods_that_are_deleted_evicted_or_completed(case: Case) -> Result<()> {
    table(vec![
        tokio::spawn(deleted_idle(case.clone())),
        tokio::spawn(deleted_while_the_script_waits(case.clone())),
        tokio::spawn(deleted_and_expired(case.clone())),
        tokio::spawn(evicted(case.clone())),
    ])
    .await
}

async fn deleted_idle(case: Case) -> Result<String> {
    let life = Life::begin(&case, "idle", &with_grace(template("gen3"), 20))?;
    life.online().await?;
    life.delete(&[])?;
    let ending = life.ended().await?;
    is_removed_by_either(&life, &ending)?;
    Ok(line("deleted without a job", &life, &ending))
}

/// The agent is gone, and whoever the outcome says has removed it: the sidecar, or a start script that was told first. The kubelet
/// starts all hooks at once, and the agent's waits five seconds for a sidecar whose own is late, as on a busy node. A sidecar that
/// had not looked for its agent by then, since it ran for less than a minute, cannot tell whether there was one.
fn is_removed_by_either(life: &Life, ending: &Ending) -> Result<()> {
    let by_script = life.removals_by_script();
    let as_said = match ending.outcome() {
        Some("removed") => ending.removed() == 1,
        Some("already-gone" | "never-seen") => by_script == 1 && ending.removed() == 0,
        _ => false,
    };
    ensure!(
        as_said && life.agent().is_none(),
        "the agent is removed once, by the sidecar or by its own script ({by_script} times by that)\n{}",
        ending.explain()
    );
    Ok(())
}

/// A start script that removes its agent waits for the job, and the sidecar for the script.
async fn deleted_while_the_script_waits(case: Case) -> Result<String> {
    let life = Life::begin(&case, "job", &with_grace(template("gen3"), 20))?;
    let job = life.busy().await?;
    life.delete(&[])?;
    life.disabled().await?;
    case.pool.finish_job(job, "succeeded");
    let ending = life.ended().await?;
    is_removed_by_either(&life, &ending)?;
    Ok(line("deleted with a job that ends within the grace", &life, &ending))
}

/// The kubelet renews no service-account token of a pod that ends. Here Entra takes it for expired at once.
async fn deleted_and_expired(case: Case) -> Result<String> {
    let life = Life::prepare(&case, "expired")?;
    let entra = &case.suite.world.entra;
    entra.set_token_lifetime(&life.identity.client_id, Some(SHORT_LIFE));
    life.create(&with_grace(obedient(":", "exit 0"), 120))?;
    let job = life.busy().await?;
    life.delete(&[])?;
    life.disabled().await?;
    entra.set_blocked(&life.identity.client_id, Some(ASSERTION_EXPIRED));
    life.until("Entra refuses to refresh the token", |life| {
        let mut exchanges = life.exchanges().into_iter();
        exchanges
            .any(|exchange| exchange.code == Some(ASSERTION_EXPIRED))
            .then_some(())
    })
    .await?;
    case.pool.finish_job(job, "succeeded");
    life.signal(CONTAINER, "SIGUSR1").await?;
    let ending = life.ended().await?;
    ending.must_be("removed")?;
    life.removed_once(&ending)?;
    Ok(line("deleted, service-account token expires meanwhile", &life, &ending))
}

/// A container that uses more disk than its limit is evicted with a grace of one second.
async fn evicted(case: Case) -> Result<String> {
    let mut template = with_grace(obedient("exit", "exit"), 20);
    // In MiB. A real agent takes most of a GiB once it is unpacked.
    let limit = if case.suite.agent_is_real { 2048 } else { 100 };
    agent(&mut template)["resources"]["limits"] = json!({"ephemeral-storage": format!("{limit}Mi")});
    let life = Life::begin(&case, "evicted", &template)?;
    life.online().await?;
    let fill = format!("head -c {}M /dev/zero > /azp/junk", limit + 50);
    case.exec(&life.name, CONTAINER, &["/bin/bash", "-c", &fill])?;
    let ending = life.ended().await?;
    ensure!(
        ending.pod["status"]["reason"] == "Evicted" && life.agent().is_none() && ending.removed() == 1,
        "evicted, and removed once\n{}",
        ending.explain()
    );
    Ok(line("evicted for its use of disk", &life, &ending))
}

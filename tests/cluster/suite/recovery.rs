//! What the sidecar makes of misfortunes that do not end its pod: its own death, a new image, Entra away, a full volume, a
//! successor of the same name.

use crate::case::{AGENT, Case, container_status};
use crate::life::{Life, id_of, obedient, with_grace};
use crate::suite::say;
use crate::workload::{CONTAINER, agent, template};
use anyhow::{Context, Result, ensure};
use azure_emulators::clock::Clock;
use contract::{HANDOFF_DIR, SIDECAR_CONTAINER, TOKEN_FILE};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// AADSTS90033: "a transient error has occurred".
const ENTRA_UNAVAILABLE: u32 = 90033;
/// Tokens of this life are exchanged again after a minute, the least that the sidecar waits.
pub(crate) const SHORT_LIFE: Duration = Duration::from_secs(620);

/// What the agent's container reads in the token file.
fn token(life: &Life) -> Result<String> {
    let token = life.case.exec(&life.name, CONTAINER, &["cat", TOKEN_FILE])?;
    ensure!(!token.is_empty(), "the token file is empty\n{}", life.explain());
    Ok(token)
}

/// Runs a line of bash in the agent's container.
fn bash(life: &Life, line: &str) -> Result<String> {
    life.case.exec(&life.name, CONTAINER, &["/bin/bash", "-c", line])
}

pub(crate) async fn a_sidecar_that_dies_leaves_a_token_and_takes_the_agent_up_again(case: Case) -> Result<()> {
    let life = Life::begin(&case, "agent", &with_grace(template("gen3"), 20))?;
    let before = life.online().await?;
    for crash in 1..=2 {
        let held = token(&life)?;
        life.signal(SIDECAR_CONTAINER, "SIGKILL").await?;
        if crash == 2 {
            // This time the kubelet waits ten seconds before it starts it again.
            life.until("the sidecar is down", |life| (!runs(life)).then_some(()))
                .await?;
            ensure!(token(&life)? == held, "the token stays\n{}", life.explain());
            ensure!(
                !runs(&life),
                "ten seconds are enough to look at the token\n{}",
                life.explain()
            );
        }
        life.until("the sidecar runs again", |life| {
            (life.restarts(SIDECAR_CONTAINER) == crash && is_started(life)).then_some(())
        })
        .await?;
    }
    let agent = life.online().await?;
    ensure!(
        agent.id == before.id && agent.enabled && life.restarts(CONTAINER) == 0,
        "the agent was not concerned: {agent:?}\n{}",
        life.explain()
    );
    token(&life)?;
    life.delete(&[])?;
    let ending = life.ended().await?;
    ensure!(
        life.agent().is_none() && ending.removed() <= 1,
        "removed once\n{}",
        ending.explain()
    );
    Ok(())
}

/// Whether the sidecar runs.
fn runs(life: &Life) -> bool {
    container_status(&life.pod(), SIDECAR_CONTAINER).is_some_and(|status| !status["state"]["running"].is_null())
}

/// Whether the sidecar runs and has passed its startup probe.
fn is_started(life: &Life) -> bool {
    runs(life) && container_status(&life.pod(), SIDECAR_CONTAINER).is_some_and(|status| status["started"] == true)
}

pub(crate) async fn a_new_image_of_the_sidecar_costs_no_job(case: Case) -> Result<()> {
    let mut idle = with_grace(template("gen3"), 8);
    idle["spec"]["restartPolicy"] = json!("Always");
    let idle = Life::begin(&case, "idle", &idle)?;
    let busy = Life::begin(&case, "busy", &with_grace(obedient("exit", "exit"), 8))?;
    let (first, job) = (idle.online().await?, busy.busy().await?);
    let agent = busy.online().await?;
    let image = another_image(&case, &busy.pod())?;
    for life in [&busy, &idle] {
        case.kubectl(&[
            "set",
            "image",
            &format!("pod/{}", life.name),
            &format!("{SIDECAR_CONTAINER}={image}"),
        ])?;
    }
    // The kubelet stops the old container as if the pod ended, then starts the new one.
    let told = busy.disabled().await?;
    ensure!(
        told.id == agent.id && told.job == Some(job),
        "only disabled: {told:?}\n{}",
        busy.explain()
    );
    for life in [&busy, &idle] {
        life.until("the new sidecar runs", |life| {
            (life.restarts(SIDECAR_CONTAINER) == 1 && is_started(life)).then_some(())
        })
        .await?;
    }
    let enabled = busy
        .until("its agent is enabled again", |life| {
            life.agent().filter(|agent| agent.enabled)
        })
        .await?;
    ensure!(
        enabled.id == agent.id && enabled.online && enabled.job == Some(job) && busy.restarts(CONTAINER) == 0,
        "the agent has its job still: {enabled:?}\n{}",
        busy.explain()
    );
    // Without a job the agent was removed, as at the end of a pod: its container starts again and registers a new one.
    idle.until("another agent is online", |life| {
        life.agent().filter(|agent| agent.online && agent.id != first.id)
    })
    .await?;
    case.pool.finish_job(job, "succeeded");
    for life in [&busy, &idle] {
        life.delete(&[])?;
        life.ended().await?;
        ensure!(life.agent().is_none(), "the agent stays\n{}", life.explain());
    }
    Ok(())
}

/// Gives the sidecar's image a second name.
fn another_image(case: &Case, pod: &Value) -> Result<String> {
    let sidecars = pod["spec"]["initContainers"]
        .as_array()
        .context("the pod has init containers")?;
    let sidecar = sidecars.iter().find(|container| container["name"] == SIDECAR_CONTAINER);
    let image = sidecar
        .and_then(|sidecar| sidecar["image"].as_str())
        .context("the sidecar has an image")?;
    let (name, _) = image.rsplit_once(':').context("the image has a tag")?;
    let another = format!("{name}:another");
    let tag = ["--namespace=k8s.io", "images", "tag", "--force", image, &another];
    case.blocking(|| case.suite.node.ctr(&tag))?;
    Ok(another)
}

pub(crate) async fn an_agent_waits_for_entra_and_starts_by_itself(case: Case) -> Result<()> {
    let life = Life::prepare(&case, "agent")?;
    let entra = &case.suite.world.entra;
    entra.set_blocked(&life.identity.client_id, Some(ENTRA_UNAVAILABLE));
    life.create(&with_grace(template("gen3"), 20))?;
    life.until("the sidecar has said so twice", |life| {
        // Its log can be read once the kubelet has reported its container, which may be later.
        let said = life.log(SIDECAR_CONTAINER).contains("reason=entra-unavailable");
        (said && life.exchanges().len() >= 2).then_some(())
    })
    .await?;
    ensure!(
        !is_started(&life) && id_of(&life.pod(), CONTAINER).is_none(),
        "the probe holds the agent back\n{}",
        life.explain()
    );
    entra.set_blocked(&life.identity.client_id, None);
    let begin = Instant::now();
    life.online().await?;
    say(&format!(
        "online {:.1} s after Entra came back",
        begin.elapsed().as_secs_f32()
    ));
    life.delete(&[])?;
    life.ended().await?;
    ensure!(life.agent().is_none(), "the agent stays\n{}", life.explain());
    Ok(())
}

pub(crate) async fn a_full_volume_keeps_the_old_token(case: Case) -> Result<()> {
    let life = Life::prepare(&case, "agent")?;
    let entra = &case.suite.world.entra;
    entra.set_token_lifetime(&life.identity.client_id, Some(SHORT_LIFE));
    life.create(&with_grace(template("gen3"), 20))?;
    life.online().await?;
    let said = bash(
        &life,
        &format!("dd if=/dev/zero of={HANDOFF_DIR}/junk bs=4k 2>&1; true"),
    )?;
    ensure!(
        said.contains("No space left on device"),
        "the volume has a limit: {said}"
    );
    let held = token(&life)?;
    life.until("a new token cannot be written", |life| {
        life.log(SIDECAR_CONTAINER)
            .contains("reason=token-file-failed")
            .then_some(())
    })
    .await?;
    ensure!(token(&life)? == held, "the old token stays\n{}", life.explain());
    bash(&life, &format!("rm {HANDOFF_DIR}/junk"))?;
    life.until("the new token is written", |life| {
        token(life).ok().filter(|token| *token != held)
    })
    .await?;

    // What the hook waits for was written when there was room.
    bash(
        &life,
        &format!("dd if=/dev/zero of={HANDOFF_DIR}/junk bs=4k 2>&1; true"),
    )?;
    let job = life.busy().await?;
    life.delete(&[])?;
    life.disabled().await?;
    let ends = Clock::new().now();
    life.case.pool.finish_job(job, "succeeded");
    let ending = life.ended().await?;
    ending.must_be("removed")?;
    ensure!(
        ending.agent.told.is_some_and(|told| told >= ends),
        "SIGTERM waits for the job though the volume is full\n{}",
        ending.explain()
    );
    Ok(())
}

pub(crate) async fn the_agent_of_a_successor_stays(case: Case) -> Result<()> {
    let statefully = tokio::spawn(a_stateful_pod_that_is_forced_away(case.clone()));
    a_pod_that_hung(case).await?;
    statefully.await?
}

/// A pod hangs, its agent is given up, another pod of the same agent name takes it over; then the first one wakes up and ends.
async fn a_pod_that_hung(case: Case) -> Result<()> {
    let mut named = with_grace(obedient("exit", "exit"), 20);
    agent(&mut named)["env"] = json!([{"name": "AZP_AGENT_NAME", "value": "shared"}]);
    let online = |life: &Life| life.case.pool.agent("shared").filter(|agent| agent.online);
    let old = Life::begin(&case, "old", &named)?;
    let before = old.until("its agent is online", online).await?;
    let id = old
        .until("its container is reported", |life| id_of(&life.pod(), CONTAINER))
        .await?;
    let task = |verb: &str| {
        let arguments = ["--namespace=k8s.io", "tasks", verb, &id];
        case.blocking(|| case.suite.node.ctr(&arguments))
    };
    task("pause")?;
    case.pool.end_session(before.id);
    let new = Life::begin(&case, "new", &named)?;
    let after = new.until("its agent is online", online).await?;
    ensure!(after.id == before.id, "--replace keeps the id: {before:?} {after:?}");
    old.signal(CONTAINER, "SIGKILL").await?;
    // It may have ended of the signal already.
    let _ = task("resume");
    let ending = old.ended().await?;
    // Whether a successor took it over or a job changed its marker looks the same.
    ending.must_be("left-unproven")?;
    ensure!(ending.removals().is_empty(), "nothing was tried\n{}", ending.explain());
    let stays = new.until("its agent is online still", online).await?;
    ensure!(
        stays.id == after.id && stays.enabled,
        "the successor's agent stays: {stays:?}"
    );
    new.delete(&[])?;
    new.ended().await?;
    ensure!(
        case.pool.agent("shared").is_none(),
        "the agent stays\n{}",
        new.explain()
    );
    Ok(())
}

/// The API object of a pod that is deleted by force vanishes at once, and its successor of the same name starts while the
/// containers are still ending.
async fn a_stateful_pod_that_is_forced_away(case: Case) -> Result<()> {
    let life = Life::prepare(&case, "stateful-0")?;
    let mut template = with_grace(obedient(":", "exit"), 20);
    template["spec"]["serviceAccountName"] = json!(life.name);
    crate::life::hurry(&mut template);
    case.apply(&json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "stateful"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": AGENT}}, "template": template},
    }))?;
    let old = life.online().await?;
    let uid = life.pod()["metadata"]["uid"]
        .as_str()
        .context("pods have a uid")?
        .to_owned();
    life.delete(&["--force", "--grace-period=0"])?;
    let ending = life.ended().await?;
    let new = life
        .until("the successor's agent is online", |life| {
            let agent = life.agent().filter(|agent| agent.online)?;
            let owner = agent.system_capabilities.get(contract::OWNER_VARIABLE)?;
            (!owner.ends_with(&uid)).then_some(agent)
        })
        .await?;
    ensure!(ending.removed() <= 1, "removed at most once\n{}", ending.explain());
    say(&format!(
        "stateful pod forced away: agent {} then {}, {:?}",
        old.id,
        new.id,
        ending.outcome()
    ));
    case.scale("statefulset/stateful", 0)?;
    life.until("its agent is removed", |life| life.agent().is_none().then_some(()))
        .await
}

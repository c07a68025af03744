//! The situations: each makes a pod of the examples with the script in it, and watches what becomes of it.

use super::Options;
use super::failures;
use super::loopback::NameServer;
use super::observed::{Busy, Early, Idle, Observed, Once, Start};
use super::subject::Subject;
use crate::demo::Teller;
use crate::demo::stage::{AGENT, Stage, Workload};
use crate::kubelet::{Pod, What, find_tool};
use crate::tokens::places_with_tokens;
use azure_emulators::ado::JobSpec;
use contract::{Handoff, OWNER_VARIABLE};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long a script has to bring its agent online: everything that it downloads is on this machine.
pub(super) const START: Duration = Duration::from_secs(60);
/// Longer than a short job takes.
const JOB: Duration = Duration::from_secs(30);
/// When the pod of the third situation is deleted: scripts download and configure for longer.
const EARLY: Duration = Duration::from_millis(300);
/// How often is looked.
pub(super) const STEP: Duration = Duration::from_millis(20);

/// One run of the command.
pub(super) struct Trial<'a> {
    pub(super) stage: &'a Stage,
    pub(super) teller: &'a Teller,
    pub(super) subject: &'a Subject,
    pub(super) options: &'a Options,
    /// Who is asked for host names.
    pub(super) names: &'a NameServer,
    /// The command that the pods need, if they need one.
    pub(super) command: OnceLock<String>,
    /// What was written by pods that are gone.
    pub(super) logs: Mutex<String>,
}

impl Trial<'_> {
    /// Runs all situations.
    ///
    /// # Errors
    /// Something here does not work, which says nothing about the script.
    pub(super) async fn run(&self) -> anyhow::Result<Observed> {
        let start = self.subject.start();
        let mut seen = Observed {
            obstacle: start.obstacle,
            through_the_gateway: self.is_gateway(),
            trades_the_federated_token: self.subject.trades_the_federated_token(),
            asks_the_machine: self.subject.says("169.254.169.254"),
            user: self.options.user,
            grace: self.options.grace,
            ..Observed::default()
        };
        // An absolute path replaces what find_tool would put before it.
        if find_tool(&start.interpreter).is_none() {
            seen.no_interpreter = Some(start.interpreter);
            return Ok(seen);
        }
        let mut pod = match self.create(Workload::Deployment, &mut seen.warnings).await? {
            Ok(pod) => pod,
            Err(denial) => {
                seen.denied = Some(denial);
                return Ok(seen);
            }
        };
        seen.start = self.start(&pod).await;
        seen.log = pod.logs(AGENT);
        seen.reached = self.names.asked();
        if let (None, Some(variable), false) = (
            seen.start.online,
            self.subject.only_variable().filter(|_| !self.is_gateway()),
            failures::lacks_something(&seen),
        ) {
            let command = format!(
                "{variable}=$(cat \"$AZP_TOKEN_FILE\") exec {} \"$@\"",
                start.entrypoint.join(" ")
            );
            self.say("start", &format!("once more, with the token in {variable}"));
            seen.command = Some((variable, command.clone()));
            // Nobody else writes it.
            let _ = self.command.set(command);
            pod = self.create_another(Workload::Deployment).await?;
            seen.start = self.start(&pod).await;
        }
        if seen.start.online.is_some() {
            seen.idle = Some(self.idle(&pod, &seen.start).await?);
            self.keep_log(&pod);
            // Pods whose agents have the same name would take them from each other.
            if seen.start.agent == seen.start.wanted {
                let (busy, early, once) = tokio::join!(self.busy(), self.early(), self.once());
                (seen.busy, seen.early, seen.once) = (busy?, Some(early?), once?);
            } else {
                seen.busy = self.busy().await?;
                seen.early = Some(self.early().await?);
                seen.once = self.once().await?;
            }
        } else {
            self.keep_log(&pod);
        }
        seen.reached = self.names.asked();
        seen.log = self.logs.lock().expect("nobody panics with the logs").clone();
        Ok(seen)
    }

    fn is_gateway(&self) -> bool {
        self.options.handoff == Handoff::Gateway
    }

    async fn start(&self, pod: &Pod) -> Start {
        let mut start = Start {
            wanted: pod.name().to_owned(),
            waited: START,
            ..Start::default()
        };
        let begun = Instant::now();
        while begun.elapsed() < START {
            let state = pod.state();
            let container = state.container(AGENT);
            start.code = container.ended.as_ref().map(|ended| ended.code);
            if let Some(agent) = self.agent(pod) {
                start.is_registered = true;
                start.is_marked = agent.system_capabilities.contains_key(OWNER_VARIABLE);
                start.published = with_tokens(&agent.system_capabilities);
                start.agent.clone_from(&agent.name);
                if agent.online {
                    let first = state.time_of(AGENT, |what| *what == What::Started).unwrap_or_default();
                    let took = state.since.elapsed().saturating_sub(first);
                    self.say(
                        "start",
                        &format!("agent {} is online after {}", agent.name, seconds(took)),
                    );
                    start.online = Some(took);
                    return start;
                }
            }
            // The same end three times is the end; another attempt would be the same.
            if container.restarts >= 2 || state.over {
                break;
            }
            tokio::time::sleep(STEP).await;
        }
        start.waited = begun.elapsed();
        self.say("start", "no agent came online");
        start
    }

    async fn idle(&self, pod: &Pod, start: &Start) -> anyhow::Result<Idle> {
        let job = self.queue(&start.agent, JobSpec::script("env >/tmp/variables-of-the-job"))?;
        let result = self.result(job, JOB).await;
        let said = result.as_deref().unwrap_or("has not ended");
        self.say("idle", &format!("a job was queued: {said}"));
        let variables = pod.root(AGENT).join("tmp/variables-of-the-job");
        let variables = std::fs::read_to_string(variables).unwrap_or_default();
        let pairs = variables.lines().filter_map(|line| line.split_once('='));
        let secrets = with_tokens(pairs);
        let mut tokens = Vec::new();
        if self.is_gateway() {
            tokens = places_with_tokens(&self.stage.world, pod);
        } else {
            self.replace_token(pod)?;
        }
        let before = self.stage.world.ado.view().requests.len();
        let (end, _) = self.delete("idle", pod).await?;
        Ok(Idle {
            result,
            secrets,
            // Behind the gateway the script's requests have the sidecar's token.
            own_removal: (!self.is_gateway()).then(|| self.own_removal(before)),
            tokens,
            end,
        })
    }

    async fn busy(&self) -> anyhow::Result<Option<Busy>> {
        let pod = self.create_another(Workload::Deployment).await?;
        let Some(agent) = self.online(&pod).await else {
            self.keep_log(&pod);
            return Ok(None);
        };
        let takes = (self.options.grace / 4).max(Duration::from_secs(3));
        let script = format!(": >/tmp/the-job-runs; sleep {}", takes.as_secs_f32());
        let job = self.queue(&agent, JobSpec::script(&script))?;
        let runs = pod.root(AGENT).join("tmp/the-job-runs");
        let begun = Instant::now();
        while !runs.exists() && begun.elapsed() < JOB {
            tokio::time::sleep(STEP).await;
        }
        self.say("busy", &format!("a job of {} runs; the pod is deleted", seconds(takes)));
        let deleted = Instant::now();
        let finished = Cell::new(None);
        let watched = async {
            if self.result(job, self.options.grace).await.is_some() {
                finished.set(Some(deleted.elapsed()));
            }
            std::future::pending::<Infallible>().await
        };
        let (end, _) = tokio::select! {
            ended = self.delete("busy", &pod) => ended?,
            never = watched => match never {},
        };
        self.keep_log(&pod);
        let view = self.stage.world.ado.view();
        let result = view.job(job).and_then(|job| job.result.clone());
        Ok(Some(Busy {
            agent,
            takes,
            finished: finished.get(),
            result,
            end,
        }))
    }

    async fn early(&self) -> anyhow::Result<Early> {
        let pod = self.create_another(Workload::Deployment).await?;
        let started = pod.wait_for("the start of the agent container", START, |state| {
            state.time_of(AGENT, |what| *what == What::Started).is_some()
        });
        started.await?;
        tokio::time::sleep(EARLY).await;
        let (end, open_for_jobs) = self.delete("early", &pod).await?;
        self.keep_log(&pod);
        Ok(Early { open_for_jobs, end })
    }

    async fn once(&self) -> anyhow::Result<Option<Once>> {
        if !self.options.once {
            return Ok(None);
        }
        let pod = self.create_another(Workload::Job).await?;
        let mut once = Once {
            is_online: false,
            result: None,
            over: None,
            code: None,
            pool_empty: false,
        };
        if let Some(agent) = self.online(&pod).await {
            once.is_online = true;
            let job = self.queue(&agent, JobSpec::script("true"))?;
            once.result = self.result(job, JOB).await;
            let begun = Instant::now();
            while !pod.state().over && begun.elapsed() < self.options.grace {
                tokio::time::sleep(STEP).await;
            }
            once.over = pod.state().over.then(|| begun.elapsed());
        }
        let said = match once.over {
            Some(after) => format!("the Job's pod ended by itself {} after its job", seconds(after)),
            None => "the Job's pod does not end; it is deleted".to_owned(),
        };
        self.say("once", &said);
        once.code = pod.state().container(AGENT).ended.map(|ended| ended.code);
        if once.over.is_none() {
            self.delete("once", &pod).await?;
        }
        once.pool_empty = self.agent(&pod).is_none();
        self.keep_log(&pod);
        Ok(Some(once))
    }

    fn keep_log(&self, pod: &Pod) {
        *self.logs.lock().expect("nobody panics with the logs") += &pod.logs(AGENT);
    }

    pub(super) fn say(&self, who: &str, what: &str) {
        self.teller.say(who, what);
    }
}

/// The names whose value is a token.
fn with_tokens<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Vec<String> {
    let pairs = pairs.into_iter();
    let found = pairs.filter(|(_, value)| failures::is_token(value.as_ref()));
    found.map(|(name, _)| name.as_ref().to_owned()).collect()
}

/// A time for people.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f32())
}

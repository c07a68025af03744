//! Plugs are pulled at random while agents work: whatever dies, at the end no agent is left, no foreign one was touched, and no
//! job was lost with a pod that could end gracefully.
//!
//! A run is made of its seed, which is printed: `ADO_PLUG_SEED=7 cargo test -p cluster --test suite -- plug::a_random_seed` makes
//! it again, `ADO_PLUG_SEED=1-10` makes ten in a row, `ADO_PLUG_BLOWS=100` makes them longer.

mod blows;
mod dice;
mod in_a_row;
mod keep;
pub(crate) mod losses;

use crate::case::{Case, LIMIT, container_status};
use crate::life::{Life, with_grace};
use crate::suite::say;
use crate::workload::{agent, annotate, template};
use anyhow::{Result, ensure};
use azure_emulators::ado::{AgentView, JobSpec, JobState, JobView};
use blows::Blow;
use contract::{HANDOFF_ANNOTATION, Handoff, OWNER_VARIABLE, SIDECAR_CONTAINER};
use dice::Dice;
use keep::Keep;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stub_agent::{AgentVersion, VERSION_VARIABLE};

/// Start scripts of all generations: some remove their agent, some never do, one ignores SIGTERM.
const SCRIPTS: &[&str] = &["gen0", "gen0b", "gen1", "gen2", "gen3", "gen4", "foreground"];
/// Agents at the beginning.
const PODS: usize = 8;
/// Plugs that are pulled.
const BLOWS: usize = 14;
/// Longer than any job here takes, and the sidecar's own pauses.
const GRACE: u32 = 40;
/// Azure DevOps' budget of requests for an identity and five minutes, taken for one unit each.
const PUBLISHED_LIMIT: usize = 200;
/// Exit code of a container that was killed at the end of its grace.
const KILLED: i64 = 137;

pub(crate) async fn a_fixed_seed_leaves_no_agent_behind(case: Case) -> Result<()> {
    pull(case, 1).await
}

pub(crate) async fn a_random_seed_leaves_no_agent_behind(case: Case) -> Result<()> {
    let seeds = match std::env::var("ADO_PLUG_SEED") {
        Ok(seeds) => cluster::seeds::parse(&seeds)?,
        Err(_) => vec![SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()],
    };
    match seeds[..] {
        [seed] => pull(case, seed).await,
        _ => in_a_row::run(&case, &seeds).await,
    }
}

/// A pod, and what was done to it.
struct Victim {
    life: Life,
    /// The ways in which it was not let end gracefully.
    violence: BTreeSet<&'static str>,
    /// Whether its deletion was asked for.
    leaves: bool,
}

/// One run.
struct Pull {
    case: Case,
    dice: Dice,
    victims: Vec<Victim>,
    keep: Keep,
    /// The key with which the API server signs after the next rotation; none before the first.
    next_key: Option<String>,
    /// How often each plug was pulled.
    blows: BTreeMap<&'static str, usize>,
}

async fn pull(case: Case, seed: u64) -> Result<()> {
    let blows = match std::env::var("ADO_PLUG_BLOWS") {
        Ok(blows) => blows.parse()?,
        Err(_) => BLOWS,
    };
    say(&format!("plug: seed {seed}, {blows} blows"));
    case.leaves_agents();
    let foreign = foreign_agents(&case);
    let keep = Keep::start(&case)?;
    let mut run = Pull {
        dice: Dice::new(seed),
        victims: Vec::new(),
        keep,
        next_key: None,
        blows: BTreeMap::new(),
        case,
    };
    for number in 0..PODS {
        run.begin(number)?;
    }
    for victim in &run.victims {
        victim.life.online().await?;
    }
    let result = run.work(blows).await;
    run.mend();
    let result = match result {
        Ok(()) => run.settle(&foreign).await,
        Err(error) => Err(error),
    };
    let skew = run.case.suite.world.ado.clock();
    skew.set_skew_millis(0);
    result.map_err(|error| {
        error.context(format!(
            "seed {seed} (ADO_PLUG_SEED={seed} makes the run again); blows {:?}\nlog of ado-agent keep:\n{}",
            run.blows,
            run.keep.log()
        ))
    })
}

/// Agents that are not ours: without a marker, of another cluster, of a pod of ours that never was.
fn foreign_agents(case: &Case) -> Vec<AgentView> {
    let forged = format!(
        "ado-agent/v1/{}/{}/never-was/00000000-0000-0000-0000-000000000000",
        "cluster", case.namespace
    );
    case.pool.add_agent("placeholder", &[]);
    case.pool.add_agent("laptop", &[("HOSTNAME", "laptop")]);
    case.pool.add_agent(
        "elsewhere",
        &[(OWNER_VARIABLE, "ado-agent/v1/elsewhere/agents/pod/uid")],
    );
    case.pool.add_agent("forged", &[(OWNER_VARIABLE, &forged)]);
    case.pool.agents()
}

impl Pull {
    /// A pod of a random kind.
    fn begin(&mut self, number: usize) -> Result<()> {
        let script = *self.dice.one_of(SCRIPTS);
        let version = *self.dice.one_of(&AgentVersion::ALL);
        let mut template = with_grace(template(script), GRACE);
        agent(&mut template)["env"] = json!([{"name": VERSION_VARIABLE, "value": version.to_string()}]);
        let gateway = matches!(script, "gen2" | "gen3" | "gen4") && self.dice.chance(40);
        if gateway {
            annotate(&mut template, HANDOFF_ANNOTATION, Handoff::Gateway.as_str());
        }
        let handoff = if gateway { "gateway-" } else { "" };
        let name = format!("{script}-{version}-{handoff}{number}");
        self.victims.push(Victim {
            life: Life::begin(&self.case, &name, &template)?,
            violence: BTreeSet::new(),
            leaves: false,
        });
        Ok(())
    }

    /// Jobs come, plugs are pulled, pods come again.
    async fn work(&mut self, blows: usize) -> Result<()> {
        for number in 0..blows {
            for _ in 0..self.dice.below(3) {
                let seconds = 1.0 + f64::from(u32::try_from(self.dice.below(60))?) / 10.0;
                // Refused while the pool is empty, as in Azure DevOps.
                let _ = self.case.pool.queue_job(JobSpec::seconds(seconds));
            }
            let blow = Blow::any(&mut self.dice);
            *self.blows.entry(blow.word()).or_default() += 1;
            self.strike(blow).await?;
            self.pause().await;
            if self.victims.iter().filter(|victim| !victim.leaves).count() < PODS / 2 {
                self.begin(PODS + number)?;
            }
        }
        Ok(())
    }

    /// Between two blows: what is a matter of chance here is what overlaps.
    async fn pause(&mut self) {
        let millis = 200 + self.dice.below(2_500);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Everything works again.
    fn mend(&self) {
        let world = &self.case.suite.world;
        world.ado.faults().clear();
        world.entra.faults().clear();
        for service in ["containerd", "kubelet"] {
            // It is an error where it runs.
            let _ = self.case.blocking(|| self.case.suite.node.start_again(service, |_| {}));
        }
    }

    /// The pods end, the emulators' clock moves, and nothing may be left.
    async fn settle(&mut self, foreign: &[AgentView]) -> Result<()> {
        self.keep.ensure_runs(&self.case)?;
        for victim in &mut self.victims {
            if !victim.leaves {
                victim.leaves = true;
                victim.life.delete(&["--ignore-not-found"])?;
            }
        }
        for victim in &self.victims {
            victim
                .life
                .until("it is gone, or all its containers have ended", |life| {
                    is_over(life).then_some(())
                })
                .await?;
        }
        let ours = |agents: &[AgentView]| -> Vec<String> {
            let is_ours = |agent: &&AgentView| !foreign.iter().any(|other| other.id == agent.id);
            agents.iter().filter(is_ours).map(|agent| agent.name.clone()).collect()
        };
        let left = ours(&self.case.pool.agents());
        let begin = Instant::now();
        // Sessions end after five minutes, locks after ten, and the sweep waits for ten more; it has to see an agent twice.
        while !ours(&self.case.pool.agents()).is_empty() {
            ensure!(
                begin.elapsed() < LIMIT * 2,
                "agents are left behind: {:#?}",
                self.case.pool.agents()
            );
            self.case.suite.world.ado.clock().advance(Duration::from_secs(60));
            self.keep.ensure_runs(&self.case)?;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        self.report(&left);
        let now = self.case.pool.agents();
        ensure!(
            now == foreign,
            "foreign agents were touched: before {foreign:#?}, now {now:#?}"
        );
        self.nothing_lost()?;
        self.in_time()?;
        self.modest()
    }

    fn report(&self, left: &[String]) {
        say(&format!(
            "plug: {} pods, blows {:?}\nplug: {} agents were left when all pods had ended, none after the sweep: {left:?}",
            self.victims.len(),
            self.blows,
            left.len(),
        ));
        let mut kinds: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
        for victim in &self.victims {
            let kind = match victim.violence.iter().copied().collect::<Vec<_>>().join("+") {
                kind if kind.is_empty() => "graceful".to_owned(),
                kind => kind,
            };
            let (pods, agents, jobs) = kinds.entry(kind).or_default();
            *pods += 1;
            *agents += usize::from(left.contains(&victim.life.name));
            *jobs += lost(&self.case, &victim.life.name).len();
        }
        for (kind, (pods, agents, jobs)) in kinds {
            say(&format!(
                "plug: {kind:30} | pods {pods:2} | agents left to the sweep {agents:2} | jobs lost {jobs:2}"
            ));
        }
    }

    fn nothing_lost(&self) -> Result<()> {
        for victim in self.victims.iter().filter(|victim| victim.violence.is_empty()) {
            let lost = lost(&self.case, &victim.life.name);
            ensure!(
                lost.is_empty(),
                "jobs were lost with a pod that ended gracefully: {lost:#?}\n{}",
                victim.life.explain()
            );
        }
        Ok(())
    }

    /// No sidecar of a pod that could end gracefully was killed at the end of its grace. Of a container that never ran, and of one
    /// that is gone before it asks, the kubelet invents the same exit code, without times.
    fn in_time(&self) -> Result<()> {
        for victim in self.victims.iter().filter(|victim| victim.violence.is_empty()) {
            let pod = victim.life.pod();
            let ended = container_status(&pod, SIDECAR_CONTAINER).map(|status| &status["state"]["terminated"]);
            ensure!(
                ended.is_none_or(|ended| ended["exitCode"] != KILLED || ended["finishedAt"].is_null()),
                "the sidecar did not end in time\n{}",
                victim.life.explain()
            );
        }
        Ok(())
    }

    /// No identity has asked Azure DevOps for more than it is granted.
    fn modest(&self) -> Result<()> {
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        let ours = |name: &str| name.starts_with(&self.case.namespace);
        for record in self.case.suite.world.ado.view().requests {
            if let Some(name) = record.identity.filter(|name| ours(name)) {
                *asked.entry(name).or_default() += 1;
            }
        }
        let most = asked.iter().max_by_key(|(_, count)| **count);
        say(&format!("plug: most requests of one identity: {most:?}"));
        ensure!(
            asked.values().all(|count| *count <= PUBLISHED_LIMIT),
            "requests of identities: {asked:?}"
        );
        Ok(())
    }
}

/// Jobs that an agent had accepted and that did not succeed.
fn lost(case: &Case, agent: &str) -> Vec<JobView> {
    let mut jobs = case.pool.jobs();
    jobs.retain(|job| {
        job.agent.as_deref() == Some(agent)
            && (job.state != JobState::Finished || job.result.as_deref() != Some("succeeded"))
    });
    jobs
}

/// The pod is gone, or all its containers have ended.
fn is_over(life: &Life) -> bool {
    let phase = &life.pod()["status"]["phase"];
    life.is_gone() || *phase == "Succeeded" || *phase == "Failed"
}

//! What Azure DevOps knows: organizations, members, pools, agents, jobs. Plain values; time is passed in.

use super::behavior::Behavior;
use super::rights::{License, Role, VIEW};
use crate::clock::Timestamp;
use crate::guid;
use crate::jwt::PublicKey;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The id of a pool's creator where no member made it.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Times of the service.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a job's lock lives without renewal. Default: ten minutes, as the agents' logs of 2020 to 2024 show
    /// (azure-pipelines-agent#3468, #3587, #3878, #4939).
    pub lock: Duration,
    /// After which time without a poll a session ends. Default: five minutes (microsoft/vso-agent#202).
    pub session: Duration,
    /// How long an empty poll is held. Default: 50 seconds.
    pub poll: Duration,
    /// How long an agent's own token lives. Default: 50 minutes.
    pub agent_token: Duration,
    /// By how much the clock of an agent's assertion may differ. Default: five minutes.
    pub leeway: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(600),
            session: Duration::from_secs(300),
            poll: Duration::from_secs(50),
            agent_token: Duration::from_secs(3000),
            leeway: Duration::from_secs(300),
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) organizations: Vec<Organization>,
    pub(super) timing: Timing,
    pub(super) behavior: Behavior,
    pub(super) agent_tokens: HashMap<String, AgentToken>,
    pub(super) package: Option<Package>,
}

#[derive(Clone)]
pub(super) struct Package {
    pub(super) version: [u32; 3],
    pub(super) content: bytes::Bytes,
}

/// What an agent's own access token stands for.
#[derive(Clone)]
pub(super) struct AgentToken {
    pub(super) organization: String,
    pub(super) pool: i64,
    pub(super) agent: i64,
    pub(super) client_id: String,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
}

pub(super) struct Organization {
    pub(super) name: String,
    pub(super) tenant: String,
    pub(super) instance: String,
    pub(super) members: Vec<Member>,
    pub(super) pools: Vec<PoolState>,
    pub(super) pats: HashMap<String, String>,
    pub(super) last_id: i64,
    pub(super) last_request: u64,
}

#[derive(Clone)]
pub(super) struct Member {
    /// Identity id within Azure DevOps.
    pub(super) id: String,
    /// Object id within Entra.
    pub(super) object_id: String,
    pub(super) name: String,
    pub(super) license: License,
    /// Project Collection Administrator.
    pub(super) administrator: bool,
    /// From when role assignments find it.
    pub(super) known_to_roles: Timestamp,
}

pub(super) struct PoolState {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) auto_provision: bool,
    pub(super) auto_update: bool,
    pub(super) created: Timestamp,
    /// Who made it: id and name of the member.
    pub(super) creator: (String, String),
    /// Role by member id.
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) agents: Vec<AgentState>,
    pub(super) jobs: Vec<Job>,
}

pub(super) struct AgentState {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) os: String,
    pub(super) enabled: bool,
    pub(super) max_parallelism: i64,
    pub(super) provisioning: String,
    pub(super) created: Timestamp,
    pub(super) status_changed: Timestamp,
    pub(super) system: BTreeMap<String, String>,
    pub(super) user: BTreeMap<String, String>,
    /// Absent for an agent that was added without a key and can never listen.
    pub(super) client: Option<Client>,
    pub(super) session: Option<Session>,
}

/// The agent's own OAuth client.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) key: PublicKey,
    /// Audience of its assertions.
    pub(super) url: String,
}

pub(super) struct Session {
    pub(super) id: String,
    pub(super) owner: String,
    pub(super) seen: Timestamp,
    pub(super) messages: Vec<Message>,
    pub(super) last_message: i64,
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: i64,
    pub(super) kind: &'static str,
    pub(super) body: String,
    /// The job that it brings.
    pub(super) request: Option<u64>,
}

pub(super) struct Job {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) demands: Vec<String>,
    pub(super) script: String,
    pub(super) job_id: String,
    pub(super) plan_id: String,
    pub(super) queued: Timestamp,
    pub(super) assigned: Option<Timestamp>,
    pub(super) received: Option<Timestamp>,
    pub(super) locked_until: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
    pub(super) result: Option<String>,
    /// Whose job it is, by id and name: it stays after the agent is gone.
    pub(super) agent: Option<(i64, String)>,
    /// The agent has deleted the message that brought it.
    pub(super) acknowledged: bool,
    /// Where the jobs' own requests go, for the message.
    pub(super) url: String,
    /// The worker's own token.
    pub(super) token: String,
}

impl Organization {
    pub(super) fn new(name: &str, tenant: &str) -> Self {
        Self {
            name: name.to_owned(),
            tenant: tenant.to_owned(),
            instance: guid::random(),
            members: Vec::new(),
            pools: Vec::new(),
            pats: HashMap::new(),
            last_id: 0,
            last_request: 0,
        }
    }

    /// By its name, or by its id as in the access mapping for services.
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || name
                .strip_prefix(['A', 'a'])
                .is_some_and(|id| id.eq_ignore_ascii_case(&self.instance))
    }

    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id.eq_ignore_ascii_case(id))
    }

    pub(super) fn pool(&self, id: i64) -> Option<&PoolState> {
        self.pools.iter().find(|pool| pool.id == id)
    }

    pub(super) fn pool_mut(&mut self, id: i64) -> Option<&mut PoolState> {
        self.pools.iter_mut().find(|pool| pool.id == id)
    }

    /// What a member may do with a pool.
    pub(super) fn permissions(&self, pool: &PoolState, member: &str) -> u32 {
        let Some(member) = self.member(member) else {
            return 0;
        };
        let by_role = pool.roles.get(&member.id).map_or(0, |role| role.permissions());
        let all = if member.administrator {
            Role::Administrator.permissions()
        } else {
            by_role
        };
        match member.license {
            License::Basic | License::Professional | License::Advanced | License::EarlyAdopter => all,
            License::Stakeholder | License::None => all & VIEW,
        }
    }

    pub(super) fn add_pool(&mut self, name: &str, now: Timestamp) -> &mut PoolState {
        let id = self.next_id();
        self.pools.push(PoolState {
            id,
            name: name.to_owned(),
            auto_provision: false,
            auto_update: true,
            created: now,
            creator: (NOBODY.to_owned(), "Microsoft.VisualStudio.Services.TFS".to_owned()),
            roles: BTreeMap::new(),
            agents: Vec::new(),
            jobs: Vec::new(),
        });
        self.pools.last_mut().expect("a pool was pushed")
    }
}

impl State {
    pub(super) fn organization(&self, name: &str) -> Option<&Organization> {
        self.organizations
            .iter()
            .find(|organization| organization.is_called(name))
    }

    pub(super) fn organization_mut(&mut self, name: &str) -> Option<&mut Organization> {
        self.organizations
            .iter_mut()
            .find(|organization| organization.is_called(name))
    }

    /// Lets time do its work: sessions end, locks run out, jobs find agents.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let (timing, plan_version) = (self.timing, self.behavior.plan_version);
        for pool in self
            .organizations
            .iter_mut()
            .flat_map(|organization| &mut organization.pools)
        {
            pool.end_sessions(now, &timing);
            pool.abandon_jobs(now);
            pool.assign_jobs(now, &timing, plan_version);
        }
    }
}

impl PoolState {
    pub(super) fn agent(&self, id: i64) -> Option<&AgentState> {
        self.agents.iter().find(|agent| agent.id == id)
    }

    pub(super) fn agent_mut(&mut self, id: i64) -> Option<&mut AgentState> {
        self.agents.iter_mut().find(|agent| agent.id == id)
    }

    /// The job that is assigned to an agent and not finished.
    pub(super) fn assigned(&self, agent: i64) -> Option<&Job> {
        self.jobs
            .iter()
            .find(|job| job.is_assigned() && job.agent.as_ref().is_some_and(|(id, _)| *id == agent))
    }

    fn end_sessions(&mut self, now: Timestamp, timing: &Timing) {
        for agent in &mut self.agents {
            let expired = agent
                .session
                .as_ref()
                .is_some_and(|session| now > session.seen.plus(timing.session));
            if expired {
                agent.session = None;
                agent.status_changed = now;
            }
        }
    }
}

impl AgentState {
    /// Whether it has what a job demands: `name`, `name -equals value` or `name -gtVersion value`.
    pub(super) fn satisfies(&self, demand: &str) -> bool {
        let mut words = demand.split_whitespace();
        let (name, operator) = (words.next().unwrap_or_default(), words.next());
        let wanted = words.collect::<Vec<_>>().join(" ");
        let found = self
            .user
            .iter()
            .chain(&self.system)
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        let Some((_, value)) = found else {
            return false;
        };
        match operator.map(str::to_ascii_lowercase).as_deref() {
            None => true,
            Some("-equals") => value.eq_ignore_ascii_case(&wanted),
            Some("-gtversion") => version(value) >= version(&wanted),
            Some(_) => false,
        }
    }
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

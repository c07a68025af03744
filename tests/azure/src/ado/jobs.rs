//! Job requests over REST: the list that KEDA reads, and an agent's renewing and finishing.

use super::Ado;
use super::call::{Call, list};
use super::errors::Refusal;
use super::rights::{LISTEN, VIEW};
use super::state::{Job, PoolState};
use crate::clock::Timestamp;
use crate::http::{Reply, Request};
use serde_json::{Value, json};

/// The service gives no more, with `$top` neither (kedacore/keda#6819).
const LONGEST_LIST: usize = 200;
/// So many finished jobs are listed where nothing else is asked for.
const COMPLETED_BY_DEFAULT: usize = 25;

impl Ado {
    /// `GET jobrequests?completedRequestCount=|$top=|agentId=|agentIds=|planId=&jobId=`.
    pub(super) fn list_requests(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let state = self.lock();
        let pool = call.pool(&state, pool, VIEW)?;
        let request = call.request;
        let wanted: Vec<&Job> = pool.jobs.iter().filter(|job| is_wanted(job, request)).collect();
        if let Some(top) = request.parameter("$top") {
            let top: usize = top
                .parse()
                .map_err(|_| Refusal::bad_argument(format!("$top '{top}' is no number.")))?;
            let newest = wanted.iter().rev().take(top.min(LONGEST_LIST));
            return Ok(list(
                &newest
                    .map(|job| job.json(pool, MatchedAgents::Omitted))
                    .collect::<Vec<_>>(),
            ));
        }
        let completed = match request.parameter("completedRequestCount") {
            Some(count) => count.parse().unwrap_or(COMPLETED_BY_DEFAULT),
            None => COMPLETED_BY_DEFAULT,
        };
        let (finished, open): (Vec<&Job>, Vec<&Job>) = wanted.into_iter().partition(|job| job.finished.is_some());
        let finished = finished.into_iter().rev().take(completed);
        let jobs = open.into_iter().chain(finished).take(LONGEST_LIST);
        Ok(list(
            &jobs
                .map(|job| job.json(pool, MatchedAgents::Included))
                .collect::<Vec<_>>(),
        ))
    }

    pub(super) fn get_request(&self, call: &Call<'_>, pool: i64, request: i64) -> Result<Reply, Refusal> {
        let state = self.lock();
        let pool = call.pool(&state, pool, VIEW)?;
        let job = pool.jobs.iter().find(|job| i64::try_from(job.id) == Ok(request));
        let job = job.ok_or_else(|| Refusal::job_not_found(request.unsigned_abs()))?;
        Ok(Reply::json(200, &job.json(pool, MatchedAgents::Included)))
    }

    /// `PATCH jobrequests/{id}?lockToken=…` with `{requestId[, finishTime, result]}`: for the agent that has the job.
    pub(super) fn renew_or_finish(&self, call: &Call<'_>, pool: i64, request: i64) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let caller = call.agent(pool)?;
        let mut state = self.lock();
        let timing = state.timing;
        let pool = call.pool_mut(&mut state, pool, LISTEN)?;
        let id = request.unsigned_abs();
        let mine = |job: &&mut Job| job.id == id && job.agent.as_ref().is_some_and(|(agent, _)| *agent == caller);
        let job = pool
            .jobs
            .iter_mut()
            .find(mine)
            .ok_or_else(|| Refusal::job_not_found(id))?;
        // Whoever finished it, the worker among them (azure-pipelines-agent#5563).
        if job.finished.is_some() {
            return Err(Refusal::job_token_expired(id));
        }
        job.received.get_or_insert(call.now);
        match body.get("result").filter(|result| !result.is_null()) {
            None => job.locked_until = Some(call.now.plus(timing.lock)),
            Some(result) => job.finish(result_name(result)?, call.now),
        }
        let found = pool.jobs.iter().find(|job| job.id == id);
        Ok(Reply::json(
            200,
            &found.map_or(Value::Null, |job| job.json(pool, MatchedAgents::Omitted)),
        ))
    }
}

fn is_wanted(job: &Job, request: &Request) -> bool {
    let agents = request.parameter("agentId").or_else(|| request.parameter("agentIds"));
    let of_agent = agents.is_none_or(|agents| {
        let mut agents = agents.split(',').filter_map(|id| id.trim().parse::<i64>().ok());
        job.agent
            .as_ref()
            .is_some_and(|(id, _)| agents.any(|wanted| wanted == *id))
    });
    let named = |name: &str, id: &str| {
        request
            .parameter(name)
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(id))
    };
    of_agent && named("planId", &job.plan_id) && named("jobId", &job.job_id)
}

/// Results come as words or as numbers (`TaskResult`).
pub(super) fn result_name(result: &Value) -> Result<&'static str, Refusal> {
    const NAMES: [&str; 6] = [
        "succeeded",
        "succeededWithIssues",
        "failed",
        "canceled",
        "skipped",
        "abandoned",
    ];
    let by_name = |word: &str| NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(word));
    let by_number = |number: u64| NAMES.get(usize::try_from(number).ok()?).copied();
    result
        .as_str()
        .and_then(by_name)
        .or_else(|| result.as_u64().and_then(by_number))
        .ok_or_else(|| Refusal::bad_argument(format!("The result {result} is not known.")))
}

/// Whether a job names the agents that could take it: not where `$top` is asked for (kedacore/keda#4387).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchedAgents {
    Included,
    Omitted,
}

impl Job {
    /// As a `TaskAgentJobRequest`.
    pub(super) fn json(&self, pool: &PoolState, matched: MatchedAgents) -> Value {
        let mut job = json!({
            "requestId": self.id,
            "queueTime": self.queued.iso(),
            "serviceOwner": super::connection::HOSTED,
            "hostId": self.plan_id,
            "scopeId": self.plan_id,
            "planType": "Build",
            "planId": self.plan_id,
            "jobId": self.job_id,
            "jobName": self.name,
            "demands": self.demands,
            "poolId": pool.id,
            "orchestrationId": format!("{}.Job.__default", self.plan_id),
            "definition": { "id": 1, "name": "pipeline" },
            "owner": { "id": self.id, "name": self.name },
        });
        let time = |time: Option<Timestamp>| time.map(|time| Value::from(time.iso()));
        let reserved = self.agent.as_ref().map(|(id, name)| json!({ "id": id, "name": name }));
        let agents = || {
            let agents = pool.matching(&self.demands).into_iter();
            agents
                .map(|agent| {
                    json!({
                        "id": agent.id, "name": agent.name, "version": agent.version, "enabled": agent.enabled,
                        "status": agent.status(), "provisioningState": agent.provisioning,
                    })
                })
                .collect::<Vec<_>>()
        };
        let optional = [
            ("assignTime", time(self.assigned)),
            ("receiveTime", time(self.received)),
            ("lockedUntil", time(self.locked_until)),
            ("finishTime", time(self.finished)),
            ("result", self.result.clone().map(Value::from)),
            ("reservedAgent", reserved),
            (
                "matchedAgents",
                (matched == MatchedAgents::Included).then(|| Value::from(agents())),
            ),
        ];
        for (name, value) in optional {
            if let (Some(value), Some(job)) = (value, job.as_object_mut()) {
                job.insert(name.to_owned(), value);
            }
        }
        job
    }
}

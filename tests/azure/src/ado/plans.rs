//! The one route of a job's plan that is there: the event with which the worker finishes its job.

use super::Ado;
use super::auth::Caller;
use super::call::Call;
use super::errors::Refusal;
use super::jobs::result_name;
use crate::http::Reply;

impl Ado {
    /// `POST {scope}/_apis/distributedtask/hubs/{hub}/plans/{plan}/events` with `JobCompleted`, by the worker with the token of
    /// its job (azure-pipelines-agent `JobServer.cs`, `JobRunner.cs:581-585`).
    pub(super) fn job_event(&self, call: &Call<'_>, plan: &str) -> Result<Reply, Refusal> {
        let body = call.body()?;
        if body["name"] != "JobCompleted" {
            return Ok(Reply::empty(204));
        }
        let Caller::Job { request, .. } = &call.caller else {
            return Err(Refusal::access_denied(&call.caller.name(), "Contribute", plan));
        };
        let mut state = self.lock();
        let pools = &mut call.organization_mut(&mut state).pools;
        let job = pools
            .iter_mut()
            .flat_map(|pool| &mut pool.jobs)
            .find(|job| job.id == *request && job.plan_id.eq_ignore_ascii_case(plan));
        let job = job.ok_or_else(|| Refusal::job_not_found(*request))?;
        let named = body["requestId"].as_u64() == Some(job.id) && body["jobId"] == job.job_id.as_str();
        if !named || job.finished.is_some() {
            return Err(Refusal::job_not_found(*request));
        }
        job.finish(result_name(&body["result"])?, call.now);
        Ok(Reply::empty(204))
    }
}

//! The questions that the machine asks Azure DevOps, one REST request each.
//!
//! Azure DevOps REST API 7.1, area `distributedtask`; what the odd answers mean stands in `ado/failures.rs`.

mod failures;
mod shapes;

use crate::http::{self, Answer as HttpAnswer, Http, Keep, Wanted};
use crate::secret::Secret;
use crate::url::Organization;
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, AgentId, Availability, PoolId, ServerTime};
use failures::failure;
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::json;
use shapes::Reading;
use std::sync::Arc;
use std::time::Duration;

const VERSION: (&str, &str) = ("api-version", "7.1");
/// The permission "Manage" of a pool, in `…/pools/{id}/permissions/{bits}`.
const MANAGE: &str = "2";

/// What came of a question.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) result: Result<AdoResponse, AdoError>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) date: Option<ServerTime>,
}

/// One organization, seen from one pod.
#[derive(Debug)]
pub(crate) struct Ado {
    organization: Organization,
    http: Arc<Http>,
}

struct Route {
    method: Method,
    url: Url,
    body: Option<serde_json::Value>,
}

impl Ado {
    pub(crate) fn new(organization: Organization, http: Arc<Http>) -> Self {
        Self { organization, http }
    }

    /// Asks, and waits no longer than `patience`.
    pub(crate) async fn ask(&self, question: &AdoRequest, token: Option<&Secret>, patience: Duration) -> Heard {
        let mut reading = Reading::new(question);
        let answer = match self.send(self.route(question), &mut reading, token, patience).await {
            Err(problem) => {
                return Heard {
                    result: Err(failures::unreachable(&redact(token, &problem))),
                    retry_after: None,
                    date: None,
                };
            }
            Ok(answer) => answer,
        };
        let result = read(question, &answer, reading).map_err(|failure| AdoError {
            detail: redact(token, &failure.detail),
            ..failure
        });
        Heard {
            result,
            retry_after: answer.retry_after(),
            date: answer.date(),
        }
    }

    async fn send(
        &self,
        route: Route,
        reading: &mut Reading,
        token: Option<&Secret>,
        patience: Duration,
    ) -> Result<HttpAnswer, String> {
        let mut request = self
            .http
            .client()?
            .request(route.method, route.url)
            .timeout(patience)
            .header("accept", "application/json")
            // Asks for a 401 instead of the redirect to a sign-in page.
            .header("x-tfs-fedauthredirect", "Suppress");
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = route.body {
            request = request.json(&body);
        }
        http::send(request, wanted(reading.keep()), |element| reading.element(element)).await
    }

    fn route(&self, question: &AdoRequest) -> Route {
        let pools = |query: &[(&str, &str)]| {
            let query = query.iter().copied().chain([VERSION]);
            self.organization.route(&["pools"], query)
        };
        let agents = |pool: PoolId, query: &[(&str, &str)]| {
            let query = query.iter().copied().chain([VERSION]);
            self.organization
                .route(&["pools", &pool.0.to_string(), "agents"], query)
        };
        let agent = |pool: PoolId, agent: AgentId, query: &[(&str, &str)]| {
            let query = query.iter().copied().chain([VERSION]);
            let (pool, agent) = (pool.0.to_string(), agent.0.to_string());
            self.organization.route(&["pools", &pool, "agents", &agent], query)
        };
        let whole = [("includeCapabilities", "true"), ("includeAssignedRequest", "true")];
        let (method, url, body) = match question {
            AdoRequest::Tenant => (Method::GET, pools(&[]), None),
            AdoRequest::PoolByName(name) => (Method::GET, pools(&[("poolName", name)]), None),
            AdoRequest::MayManage(pool) => {
                let segments = ["pools", &pool.0.to_string(), "permissions", MANAGE];
                let query = [("api-version", "7.2-preview.1")];
                (Method::GET, self.organization.route(&segments, query), None)
            }
            AdoRequest::AgentByName(pool, name) => {
                let query = [("agentName", name.as_str()), whole[0], whole[1]];
                (Method::GET, agents(*pool, &query), None)
            }
            AdoRequest::Agents(pool, _) => (Method::GET, agents(*pool, &[("includeCapabilities", "false")]), None),
            AdoRequest::Agent(pool, id) => (Method::GET, agent(*pool, *id, &whole), None),
            AdoRequest::SetAvailability(pool, id, availability) => (
                Method::PATCH,
                agent(*pool, *id, &[]),
                Some(json!({"id": id.0, "enabled": *availability == Availability::Enabled})),
            ),
            AdoRequest::Delete(pool, id) => (Method::DELETE, agent(*pool, *id, &[]), None),
        };
        Route { method, url, body }
    }
}

/// Reads a response to a question, and says what it means.
///
/// # Errors
/// What kind of failure it is, with the server's words.
pub async fn answer(question: &AdoRequest, response: Response) -> Result<AdoResponse, AdoError> {
    let mut reading = Reading::new(question);
    let wanted = wanted(reading.keep());
    let answer = http::receive(response, wanted, |element| reading.element(element))
        .await
        .map_err(|problem| failures::unreachable(&problem))?;
    read(question, &answer, reading)
}

/// What is kept of an answer: of a success, what was asked for; of anything else, what went wrong.
fn wanted(keep: &'static Keep) -> impl FnOnce(StatusCode) -> Wanted {
    move |status| Wanted {
        keep: if is_success(status) { keep } else { &failures::BODY },
        secret: false,
    }
}

/// Azure DevOps answers 203 with its sign-in page where it does not accept the token.
fn is_success(status: StatusCode) -> bool {
    status.is_success() && status != StatusCode::NON_AUTHORITATIVE_INFORMATION
}

fn read(question: &AdoRequest, answer: &HttpAnswer, reading: Reading) -> Result<AdoResponse, AdoError> {
    if *question == AdoRequest::Tenant {
        return tenant(answer);
    }
    let changed = matches!(question, AdoRequest::SetAvailability(..) | AdoRequest::Delete(..));
    // A page is never the answer to a change; no content may be.
    let fits = answer.is_json() || changed && (answer.status == StatusCode::NO_CONTENT || answer.beginning.is_empty());
    if !is_success(answer.status) || !fits {
        return Err(failure(answer));
    }
    if changed {
        return Ok(AdoResponse::Done);
    }
    reading.answer(answer).ok_or_else(|| failures::garbled(answer))
}

/// The tenant that the organization trusts, from whatever an unauthenticated request is answered with.
fn tenant(answer: &HttpAnswer) -> Result<AdoResponse, AdoError> {
    let tenant = failures::tenant(answer);
    let failed = failure(answer);
    match failed.kind {
        _ if tenant.is_some() => Ok(AdoResponse::Tenant(tenant)),
        AdoErrorKind::Unauthorized | AdoErrorKind::IdentityUnknown | AdoErrorKind::Forbidden => {
            Ok(AdoResponse::Tenant(None))
        }
        AdoErrorKind::Unreachable
        | AdoErrorKind::UnexpectedResponse
        | AdoErrorKind::Unavailable
        | AdoErrorKind::Throttled
        | AdoErrorKind::NotFound
        | AdoErrorKind::JobRunning
        | AdoErrorKind::Refused => Err(failed),
    }
}

fn redact(token: Option<&Secret>, text: &str) -> String {
    token.map_or_else(|| text.to_owned(), |token| token.redact(text))
}

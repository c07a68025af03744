//! Who is asking: Entra tokens as Bearer or as Basic password, agents' own tokens, personal access tokens; and every way
//! in which Azure DevOps says no.

use super::errors::Refusal;
use super::state::{AgentToken, Organization, State};
use super::{Ado, DeletedAgent, ExpiredToken};
use crate::clock::Timestamp;
use crate::http::{Reply, Request};
use crate::jwt::Token;
use crate::recording::{Authorization, Credential};

/// Who is asking.
#[derive(Clone)]
pub(super) enum Caller {
    /// A user of the organization.
    Member {
        /// Azure DevOps identity id.
        id: String,
        /// Display name.
        name: String,
        /// Object id within Entra.
        object_id: String,
    },
    /// An agent with its own token.
    Agent(AgentToken),
    /// The worker of a job, with the token of its message.
    Job {
        /// Its request.
        request: u64,
        /// Its plan.
        plan: String,
    },
}

impl Caller {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Member { name, .. } => name.clone(),
            Self::Agent(token) => format!("agent {}", token.agent),
            Self::Job { request, .. } => format!("job {request}"),
        }
    }
}

/// What is known of a request's credential, for the record.
pub(super) struct Seen {
    pub(super) scheme: Authorization,
    pub(super) token: Option<String>,
    pub(super) token_age: Option<i64>,
}

/// Why somebody is not let in.
enum Denial {
    /// No credential, or none that means anything here.
    Unauthorized,
    /// An Entra token that has expired.
    Expired,
    /// A good token of somebody who is no user.
    Unknown(Refusal),
}

impl Ado {
    /// Finds out who is asking, or answers.
    pub(super) fn authenticate(
        &self,
        request: &Request,
        organization: &str,
        now: Timestamp,
    ) -> (Seen, Result<Caller, Reply>) {
        let Credential { scheme, secret } = Credential::read(request.header("authorization"));
        let state = self.lock();
        let mut seen = Seen {
            scheme,
            token: secret.as_deref().map(crate::recording::fingerprint),
            token_age: None,
        };
        let Some(found) = state.organization(organization) else {
            return (seen, Err(no_organization()));
        };
        let tenant = found.tenant.clone();
        let result = match &secret {
            None => Err(Denial::Unauthorized),
            Some(secret) => self.recognize(&state, found, secret, now, &mut seen.token_age),
        };
        drop(state);
        let result = result.map_err(|denial| match denial {
            Denial::Unknown(refusal) => refusal.reply().with("x-vss-resourcetenant", tenant),
            // What the header is for: without it everybody is sent to the sign-in page, whatever `Accept` says
            // (azidentity `azure_pipelines_credential.go`, azure-devops-docs#13661).
            Denial::Unauthorized if !suppresses_redirect(request) => sign_in_redirect(request, &tenant),
            Denial::Unauthorized => unauthorized(request, &tenant),
            Denial::Expired => self.expired(request, &tenant),
        });
        (seen, result)
    }

    fn recognize(
        &self,
        state: &State,
        organization: &Organization,
        secret: &str,
        now: Timestamp,
        age: &mut Option<i64>,
    ) -> Result<Caller, Denial> {
        if let Some(token) = state.agent_tokens.get(secret) {
            *age = Some(now.seconds() - token.issued.seconds());
            let gone = organization
                .pool(token.pool)
                .is_none_or(|pool| pool.agent(token.agent).is_none());
            let refused = gone && state.behavior.deleted_agent == DeletedAgent::InvalidClient;
            let valid = token.organization.eq_ignore_ascii_case(&organization.name) && now < token.expires && !refused;
            return if valid {
                Ok(Caller::Agent(token.clone()))
            } else {
                Err(Denial::Unauthorized)
            };
        }
        let mut jobs = organization.pools.iter().flat_map(|pool| &pool.jobs);
        if let Some(job) = jobs.find(|job| job.token == secret) {
            return Ok(Caller::Job {
                request: job.id,
                plan: job.plan_id.clone(),
            });
        }
        if let Some(object_id) = organization.pats.get(secret) {
            return member(organization, object_id).ok_or(Denial::Unauthorized);
        }
        let token = Token::parse(secret).ok_or(Denial::Unauthorized)?;
        *age = token.number("iat").map(|issued| now.seconds() - issued);
        let (Some(object_id), Some(tenant), Some(expires)) =
            (token.text("oid"), token.text("tid"), token.number("exp"))
        else {
            return Err(Denial::Unauthorized);
        };
        let meant_for_us = token.is_signed_by(&self.inner.entra.public_key()) && token.is_for(self.audience());
        if !meant_for_us || tenant != organization.tenant {
            return Err(Denial::Unauthorized);
        }
        if expires <= now.seconds() {
            return Err(Denial::Expired);
        }
        // Clocks within one cloud agree within minutes.
        if token.number("nbf").is_some_and(|from| from > now.seconds() + 300) {
            return Err(Denial::Unauthorized);
        }
        member(organization, object_id).ok_or_else(|| Denial::Unknown(Refusal::identity_unknown(tenant, object_id)))
    }

    fn expired(&self, request: &Request, tenant: &str) -> Reply {
        let reads = ["GET", "POST"].contains(&request.method.as_str());
        let page = match *self.inner.expired.lock().expect("the emulator does not panic") {
            ExpiredToken::AsAsked => reads && !suppresses_redirect(request),
            ExpiredToken::SignInPage => reads,
            ExpiredToken::Unauthorized => false,
        };
        if page {
            sign_in_page(tenant)
        } else {
            unauthorized(request, tenant)
        }
    }
}

fn member(organization: &Organization, object_id: &str) -> Option<Caller> {
    let mut members = organization.members.iter();
    let member = members.find(|member| member.object_id.eq_ignore_ascii_case(object_id))?;
    Some(Caller::Member {
        id: member.id.clone(),
        name: member.name.clone(),
        object_id: member.object_id.clone(),
    })
}

fn suppresses_redirect(request: &Request) -> bool {
    let header = request.header("x-tfs-fedauthredirect");
    header.is_some_and(|value| value.eq_ignore_ascii_case("suppress"))
}

/// 401 with all challenges of the hosted service, each in a line of its own.
pub(super) fn unauthorized(request: &Request, tenant: &str) -> Reply {
    let realm = "https://tfsprodweu4.visualstudio.com/";
    // Changes are told in JSON (azure-devops-auth-samples#52).
    let reply = if ["GET", "POST", "OPTIONS"].contains(&request.method.as_str()) {
        Reply::html(
            401,
            "<!DOCTYPE html><html><head><title>Access Denied: The Personal Access Token used has expired.</title></head>\
             <body><p>TF400813: The user '' is not authorized to access this resource.</p></body></html>",
        )
    } else {
        Refusal::unauthorized().reply()
    };
    reply
        .with(
            "www-authenticate",
            format!("Bearer authorization_uri=https://login.microsoftonline.com/{tenant}"),
        )
        .with("www-authenticate", format!("Basic realm=\"{realm}\""))
        .with("www-authenticate", "TFS-Federated")
        .with("x-tfs-fedauthrealm", realm)
        .with("x-tfs-fedauthissuer", realm)
        .with("x-vss-resourcetenant", tenant)
}

/// 203 with the sign-in page.
pub(super) fn sign_in_page(tenant: &str) -> Reply {
    Reply::html(
        203,
        "<!DOCTYPE html><html lang=\"en-US\"><head><title>Azure DevOps Services | Sign In</title></head><body>\
         <a id=\"signin\" href=\"https://app.vssps.visualstudio.com/_signin\">Sign In</a></body></html>",
    )
    .with("x-vss-resourcetenant", tenant)
}

/// 302 to the sign-in page; who follows it gets a page with 203 (Azure/azure-sdk-for-cpp#5786).
pub(super) fn sign_in_redirect(request: &Request, tenant: &str) -> Reply {
    let reply_to = format!("{}{}", request.origin(), request.path);
    let page = super::hosts::sign_in(request);
    let location = format!("{page}?realm=dev.azure.com&reply_to={reply_to}");
    let body = format!(
        "<html><head><title>Object moved</title></head><body><h2>Object moved to <a href=\"{location}\">here</a>.</h2></body></html>"
    );
    Reply::html(302, body)
        .with("location", location)
        .with("x-vss-resourcetenant", tenant)
}

/// 404 for an organization that does not exist.
pub(super) fn no_organization() -> Reply {
    Reply::html(
        404,
        "<!DOCTYPE html><html><head><title>404 - Not Found</title></head><body>The resource cannot be found.</body></html>",
    )
}

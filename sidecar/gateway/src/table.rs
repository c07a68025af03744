//! The closed table: what a request with the ticket may ask for.
//!
//! It holds what `config.sh`, `config.sh remove` and start scripts ask with an administrator's token
//! (azure-pipelines-agent `ConfigurationManager.cs`, azure-devops-docs `docker.md`), as far as it concerns this pod's agent.
//! A request is built anew from what was understood: path in lower case, parameters from a list of the row.

use crate::answer::{self, Answer};
use crate::change::Meant;
use crate::judge::Scope;
use crate::reading::Reading;
use crate::target::{Target, escaped};
use azure_protocol::{AgentId, PoolId, same_name};
use http::{Method, StatusCode, Uri};

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Answered by the gateway itself.
    Answer(Answer),
    /// The pool is not known yet: wait, then judge again.
    Hold,
    /// Sent on, with the credential that it has, or with the sidecar's token for the ticket.
    Onward(Onward),
    /// With the ticket: is an agent of this name registered? The machine may refuse or clear the way; then this pod's agent
    /// is listed if it has the name, and no other. Without a name only the listing.
    Lookup(Option<String>),
    /// With the ticket: register an agent.
    Register(Meant),
    /// With the ticket: remove this pod's agent.
    Unregister(AgentId),
    /// With the ticket: change this pod's agent. Only taking it out of service passes.
    Change(AgentId),
}

/// A request as it is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onward {
    /// Method.
    pub method: Method,
    /// Path and query below the organization, with a slash at the beginning.
    pub target: String,
    /// What the answer tells, or is changed to.
    pub reading: Reading,
    /// Whether the request's body goes, too.
    pub with_body: bool,
}

/// Every request may name a version (learn.microsoft.com, REST API versioning).
const VERSION: &str = "api-version";
const INCLUDES: [&str; 5] = [
    "includecapabilities",
    "includeassignedrequest",
    "includelastcompletedrequest",
    "propertyfilters",
    "demands",
];

/// Judges a request with the ticket, below the organization.
pub(crate) fn judge(scope: &Scope<'_>, method: &Method, target: &Target<'_>) -> Verdict {
    let Some(pool) = scope.pool else {
        return Verdict::Hold;
    };
    match row(scope, pool, method, target) {
        Ok(verdict) => verdict,
        Err(sentence) => Verdict::Answer(answer::refused(&sentence)),
    }
}

/// The row that the request is of, or why there is none.
fn row(scope: &Scope<'_>, pool: PoolId, method: &Method, target: &Target<'_>) -> Result<Verdict, String> {
    let segments = target
        .plain()
        .ok_or("with the ticket, paths are written without escapes")?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ours = |parameters: &[&str], reading| onward(method, &segments, target, parameters, reading);
    match (method.as_str(), segments.as_slice()) {
        ("OPTIONS", ["_apis"]) => ours(&[], Reading::Nothing),
        // Of one area, as azure-devops-node-api asks (`VsoClient.ts`).
        ("OPTIONS", ["_apis", area]) if is_word(area) => ours(&[], Reading::Nothing),
        ("GET", ["_apis", "connectiondata"]) => ours(
            &["connectoptions", "lastchangeid", "lastchangeid64"],
            Reading::ConnectionData,
        ),
        ("GET", ["_apis", "resourceareas"]) => Ok(Verdict::Answer(answer::no_areas())),
        ("POST", ["_apis", "customerintelligence", ..]) => Ok(Verdict::Answer(answer::accepted())),
        ("GET", ["_apis", "featureavailability", "featureflags", name]) if is_word(name) => ours(
            &["userid", "checkfeatureexists", "setatapplicationlevelalso"],
            Reading::Nothing,
        ),
        ("GET", ["_apis", "distributedtask", "packages", below @ ..])
            if (1..=3).contains(&below.len()) && below.iter().all(|segment| is_word(segment)) =>
        {
            ours(&["platform", "top", "$top"], Reading::Nothing)
        }
        ("GET", ["_apis", "distributedtask", "pools"]) => pools(scope, method, &segments, target),
        (_, ["_apis", "distributedtask", "pools", named, below @ ..]) => {
            if id(named) != Some(pool.0) {
                return Err(format!(
                    "the ticket is for pool \"{}\" (id {}), not for {named}",
                    scope.pool_name, pool.0
                ));
            }
            match (method.as_str(), below) {
                ("GET", []) => ours(&["properties", "actionfilter"], Reading::Nothing),
                ("GET", ["agents"]) => {
                    parameters(target, &[&INCLUDES[..], &["agentname"]].concat())?;
                    Ok(Verdict::Lookup(target.parameter("agentName")))
                }
                ("POST", ["agents"]) => {
                    parameters(target, &[])?;
                    Ok(Verdict::Register(Meant::New))
                }
                (_, ["agents", agent]) => one_agent(scope, method, &segments, target, agent),
                _ => Err(outside(method, target)),
            }
        }
        _ => Err(outside(method, target)),
    }
}

/// This pod's pool, by its name; also where none is named.
fn pools(scope: &Scope<'_>, method: &Method, segments: &[&str], target: &Target<'_>) -> Result<Verdict, String> {
    let mut known = parameters(target, &["poolname", "pooltype", "actionfilter", "properties"])?;
    match known.iter().find(|(name, _)| name == "poolname") {
        Some((_, name)) if !same_name(name, scope.pool_name) => {
            return Err(format!(
                "the ticket is for pool \"{}\"; the agent container asks for pool \"{name}\": let both be the same (AZP_POOL, or \
                 the annotation {})",
                scope.pool_name,
                contract::POOL_ANNOTATION
            ));
        }
        Some(_) => {}
        None => known.push(("poolname".to_owned(), scope.pool_name.to_owned())),
    }
    Ok(Verdict::Onward(Onward {
        method: method.clone(),
        target: written(segments, &known),
        reading: Reading::Nothing,
        with_body: false,
    }))
}

/// A request about one agent, which has to be this pod's.
fn one_agent(
    scope: &Scope<'_>,
    method: &Method,
    segments: &[&str],
    target: &Target<'_>,
    named: &str,
) -> Result<Verdict, String> {
    let agent = id(named).map(AgentId);
    let Some(own) = scope.own.filter(|own| agent == Some(*own)) else {
        return match agent.filter(|agent| scope.ended.contains(agent)) {
            Some(agent) => Ok(Verdict::Answer(answer::agent_not_found(
                scope.pool.map(|pool| pool.0),
                agent,
            ))),
            None => Err(format!(
                "agent {named} is not the one that this pod registered, and the ticket is for no other"
            )),
        };
    };
    match method.as_str() {
        "GET" => onward(method, segments, target, &INCLUDES, Reading::Nothing),
        "PUT" => {
            parameters(target, &[])?;
            Ok(Verdict::Register(Meant::Replacement))
        }
        "PATCH" => {
            parameters(target, &[])?;
            Ok(Verdict::Change(own))
        }
        "DELETE" => {
            parameters(target, &[])?;
            Ok(Verdict::Unregister(own))
        }
        _ => Err(outside(method, target)),
    }
}

fn onward(
    method: &Method,
    segments: &[&str],
    target: &Target<'_>,
    allowed: &[&str],
    reading: Reading,
) -> Result<Verdict, String> {
    Ok(Verdict::Onward(Onward {
        method: method.clone(),
        target: written(segments, &parameters(target, allowed)?),
        reading,
        with_body: false,
    }))
}

/// The parameters, names in lower case, if each is allowed and sent once.
fn parameters(target: &Target<'_>, allowed: &[&str]) -> Result<Vec<(String, String)>, String> {
    let mut known: Vec<(String, String)> = Vec::new();
    for (name, value) in target.parameters().ok_or("the query cannot be read")? {
        let name = name.to_ascii_lowercase();
        if name != VERSION && !allowed.contains(&name.as_str()) {
            return Err(format!("with the ticket, the parameter {name:?} is not allowed here"));
        }
        if known.iter().any(|(other, _)| *other == name) {
            return Err(format!("the parameter {name:?} is there twice"));
        }
        known.push((name, value));
    }
    Ok(known)
}

/// Path and query as we write them.
fn written(segments: &[&str], parameters: &[(String, String)]) -> String {
    let mut text = format!("/{}", segments.join("/"));
    if segments == ["_apis"] {
        // As the library asks for it.
        text.push('/');
    }
    for (number, (name, value)) in parameters.iter().enumerate() {
        text.push(if number == 0 { '?' } else { '&' });
        // The one name with another character than letters.
        text.push_str(&name.replace("$top", "%24top"));
        text.push('=');
        text.push_str(&escaped(value));
    }
    text
}

fn outside(method: &Method, target: &Target<'_>) -> String {
    let path = target.as_sent();
    let path = path.split('?').next().unwrap_or_default();
    let shown: String = path.chars().take(120).collect();
    format!(
        "{method} {shown} is not among the requests that the ticket allows; it configures and removes this pod's agent, and does \
         nothing else"
    )
}

/// An id: digits, and one spelling of each number.
pub(crate) fn id(text: &str) -> Option<i64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// A name of a platform, a version or a flag.
fn is_word(text: &str) -> bool {
    text.len() <= 128
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// The version that a request names in its query, as the query of the request that is made of it; clients of the library name it
/// in `Accept`.
pub fn version(uri: &Uri) -> String {
    let named = Target::read(uri).and_then(|target| target.parameter(VERSION));
    match named.filter(|version| !version.is_empty() && is_word(version)) {
        Some(version) => format!("?{VERSION}={version}"),
        None => String::new(),
    }
}

/// For a request that is no request.
pub(crate) fn bad(sentence: &str) -> Verdict {
    Verdict::Answer(answer::senseless(StatusCode::BAD_REQUEST, sentence))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_goes_on_and_nothing_else_with_it() {
        for (uri, expected) in [
            ("/a?x=1&API-Version=7.2-preview.1", "?api-version=7.2-preview.1"),
            ("/a", ""),
            ("/a?api-version=", ""),
            ("/a?api-version=7.1%26b=c", ""),
            ("/a?api-version=7.1&api-version=7.2", ""),
        ] {
            assert_eq!(version(&uri.parse().expect(uri)), expected, "{uri}");
        }
    }
}

//! What the error responses of Azure DevOps mean.
//!
//! Its client library picks an exception by `typeKey`, not by status (actions/runner, `WrappedException.cs`), so the type
//! takes precedence here, too. A sign-in page instead of JSON is how Azure DevOps refuses a token; any other HTML page comes
//! from a proxy in between.

use super::{AdoError, AdoErrorKind};
use crate::http::{Keep, Response, excerpt};
use serde::Deserialize;

/// Message codes that mean: this identity is not a user of the organization.
const IDENTITY_UNKNOWN: &[&str] = &["TF401444", "VS800075"];
/// An organization without a tenant says this one.
const NO_TENANT: &str = "00000000-0000-0000-0000-000000000000";

/// What is kept of a response that is not a success.
pub(super) const BODY: Keep = Keep::Object(&[
    ("message", Keep::Scalar),
    ("typeKey", Keep::Scalar),
    ("typeName", Keep::Scalar),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    message: Option<String>,
    type_key: Option<String>,
    type_name: Option<String>,
}

/// A response whose body has an unexpected shape.
pub(super) fn garbled(answer: &Response) -> AdoError {
    AdoError {
        kind: AdoErrorKind::UnexpectedResponse,
        detail: format!("an unknown shape of answer, {}", answer.describe()),
        tenant: tenant(answer),
    }
}

/// What a response that is not a success means.
pub(super) fn failure(answer: &Response) -> AdoError {
    let body: Body = answer.json().unwrap_or_default();
    let message = body.message.as_deref().or_else(|| answer.header("x-tfs-serviceerror"));
    let kind = kind(answer, body.type_key.as_deref().or(body.type_name.as_deref()), message);
    let mut detail = match (message, body.type_key.as_deref()) {
        (Some(message), Some(key)) => format!("{} {}: {}", answer.status.as_u16(), excerpt(key), excerpt(message)),
        (Some(message), None) => format!("{}: {}", answer.status.as_u16(), excerpt(message)),
        (None, _) => answer.describe(),
    };
    if let Some(activity) = answer.header("activityid").or_else(|| answer.header("x-vss-e2eid")) {
        detail.push_str(&format!(" (activity {})", excerpt(activity)));
    }
    AdoError {
        kind,
        detail,
        tenant: tenant(answer),
    }
}

fn kind(answer: &Response, exception: Option<&str>, message: Option<&str>) -> AdoErrorKind {
    let everything = String::from_utf8_lossy(&answer.beginning);
    let says = |code: &&str| message.is_some_and(|message| message.contains(*code)) || everything.contains(*code);
    if IDENTITY_UNKNOWN.iter().any(says) {
        return AdoErrorKind::IdentityUnknown;
    }
    if let Some(kind) = exception.and_then(kind_of_exception) {
        return kind;
    }
    let its_own = is_its_own(answer);
    match answer.status.as_u16() {
        203 | 302 | 303 | 401 => AdoErrorKind::Unauthorized,
        200..=299 if !answer.is_json() && is_sign_in(answer) => AdoErrorKind::Unauthorized,
        403 if answer.is_json() || its_own => AdoErrorKind::Forbidden,
        404 | 410 => AdoErrorKind::NotFound,
        429 => AdoErrorKind::Throttled,
        408 | 500..=599 => AdoErrorKind::Unavailable,
        400..=499 if answer.is_json() || its_own => AdoErrorKind::Refused,
        _ => AdoErrorKind::UnexpectedResponse,
    }
}

fn kind_of_exception(name: &str) -> Option<AdoErrorKind> {
    // A `typeName` is "Namespace.Type, Assembly", a `typeKey` the bare type.
    let name = name.split(',').next().unwrap_or_default();
    match name.rsplit('.').next().unwrap_or_default() {
        "TaskAgentJobStillRunningException" => Some(AdoErrorKind::JobRunning),
        "TaskAgentNotFoundException" | "TaskAgentPoolNotFoundException" => Some(AdoErrorKind::NotFound),
        "AccessDeniedException" => Some(AdoErrorKind::Forbidden),
        _ => None,
    }
}

/// Whether Azure DevOps itself responded, and not a proxy in between.
fn is_its_own(answer: &Response) -> bool {
    let signs = [
        "activityid",
        "x-tfs-processid",
        "x-vss-e2eid",
        "x-vss-resourcetenant",
        "x-tfs-session",
    ];
    signs.iter().any(|name| answer.header(name).is_some()) || is_sign_in(answer)
}

/// Whether this is the sign-in page. The headers do not tell, since a proxy may replace only the body.
fn is_sign_in(answer: &Response) -> bool {
    let text = String::from_utf8_lossy(&answer.beginning);
    text.contains("_signin")
        || text.contains("<title>Sign In")
        || contract::DEFAULT_ALLOWED_AUTHORITIES
            .split(',')
            .any(|host| text.contains(host))
}

/// The tenant that the organization trusts, where the answer says so.
pub(super) fn tenant(answer: &Response) -> Option<String> {
    let named = answer.header("x-vss-resourcetenant").map(str::to_owned);
    let challenged = || {
        let challenges = answer.headers.get_all("www-authenticate").iter();
        challenges
            .filter_map(|challenge| challenge.to_str().ok())
            .find_map(|challenge| {
                let (_, uri) = challenge.split_once("authorization_uri=")?;
                let uri = uri.trim_start_matches('"').split(['"', ',', ' ']).next()?;
                Some(uri.trim_end_matches('/').rsplit('/').next()?.to_owned())
            })
    };
    named.or_else(challenged).filter(|tenant| {
        let plain = tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        tenant.len() == NO_TENANT.len() && plain && tenant != NO_TENANT
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue, StatusCode};
    use serde_json::json;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        Response {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            beginning: body.as_bytes().to_vec(),
            ..Response::of_json(StatusCode::OK, &BODY, body, &mut |_| true)
        }
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    const HTML: (&str, &str) = ("content-type", "text/html");
    const OWN: (&str, &str) = ("x-tfs-processid", "p");

    #[test]
    fn each_error_response_has_its_kind() {
        use AdoErrorKind::{
            Forbidden, IdentityUnknown, NotFound, Refused, Throttled, Unauthorized, Unavailable, UnexpectedResponse,
        };
        for (status, headers, body, expected) in [
            (203, &[HTML][..], "<title>Sign In</title>", Unauthorized),
            (302, &[HTML], "", Unauthorized),
            (301, &[HTML], "", UnexpectedResponse),
            (200, &[HTML, OWN], "<title>Sign In</title>", Unauthorized),
            (
                200,
                &[HTML],
                "<a href=https://login.microsoftonline.com/x>",
                Unauthorized,
            ),
            (200, &[HTML], "<title>Corporate proxy</title>", UnexpectedResponse),
            (200, &[HTML, OWN], "<title>Corporate proxy</title>", UnexpectedResponse),
            (401, &[], "", Unauthorized),
            (401, &[HTML], "TF400813: not authorized", Unauthorized),
            (401, &[HTML], "TF401444: Please sign-in at least once", IdentityUnknown),
            (401, &[("x-tfs-serviceerror", "TF401444: sign in")], "", IdentityUnknown),
            (403, &[JSON], "{}", Forbidden),
            (403, &[HTML], "blocked by the proxy", UnexpectedResponse),
            (403, &[HTML, OWN], "", Forbidden),
            (404, &[HTML], "", NotFound),
            (407, &[HTML], "", UnexpectedResponse),
            (429, &[JSON], "{}", Throttled),
            (408, &[], "", Unavailable),
            (503, &[HTML], "", Unavailable),
            (409, &[JSON], "{}", Refused),
            (400, &[JSON], "{}", Refused),
        ] {
            assert_eq!(
                failure(&answer(status, headers, body)).kind,
                expected,
                "{status} {headers:?} {body}"
            );
        }
    }

    #[test]
    fn the_exception_type_takes_precedence_over_the_status() {
        use AdoErrorKind::{Forbidden, JobRunning, NotFound};
        let package = "Microsoft.TeamFoundation.DistributedTask.WebApi";
        for (status, name, expected) in [
            (400, "TaskAgentJobStillRunningException", JobRunning),
            (409, "TaskAgentJobStillRunningException", JobRunning),
            (400, "TaskAgentNotFoundException", NotFound),
            (404, "TaskAgentPoolNotFoundException", NotFound),
            (401, "AccessDeniedException", Forbidden),
        ] {
            let key = json!({"message": "words", "typeKey": name}).to_string();
            let full = json!({"message": "words", "typeName": format!("{package}.{name}, {package}")}).to_string();
            assert_eq!(failure(&answer(status, &[JSON], &key)).kind, expected, "{name}");
            assert_eq!(failure(&answer(status, &[JSON], &full)).kind, expected, "{name}");
        }
    }

    #[test]
    fn the_detail_has_type_message_and_activity() {
        let body = json!({"message": "No\nway.", "typeKey": "AccessDeniedException"}).to_string();
        let failure = failure(&answer(403, &[JSON, ("activityid", "a-1")], &body));
        assert_eq!(failure.detail, "403 AccessDeniedException: No way. (activity a-1)");
    }

    #[test]
    fn the_tenant_is_in_one_of_two_headers() {
        let guid = "72f988bf-86f1-41af-91ab-2d7cd011db47";
        let uri = format!("Bearer authorization_uri=https://login.microsoftonline.com/{guid}");
        assert_eq!(
            tenant(&answer(401, &[("x-vss-resourcetenant", guid)], "")).as_deref(),
            Some(guid)
        );
        assert_eq!(
            tenant(&answer(401, &[("www-authenticate", &uri)], "")).as_deref(),
            Some(guid)
        );
        assert_eq!(
            tenant(&answer(401, &[("www-authenticate", "Basic realm=\"x\"")], "")),
            None
        );
        assert_eq!(tenant(&answer(401, &[("x-vss-resourcetenant", NO_TENANT)], "")), None);
        assert_eq!(tenant(&answer(401, &[("x-vss-resourcetenant", "../../..")], "")), None);
    }
}

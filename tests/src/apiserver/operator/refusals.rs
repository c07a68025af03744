//! Refusals, as the API server writes them.

use super::super::admission::Refusal;
use super::super::reads::status;
use azure_emulators::http::{Reply, Request};

/// A refusal as the API server writes it.
pub(super) fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Forbidden(message) => status(403, "Forbidden", message),
        Refusal::Denied { code, .. } => status(u16::try_from(*code).unwrap_or(403), "Forbidden", &refusal.to_string()),
        Refusal::Failed { webhook, problem } => {
            let message = format!(
                "Internal error occurred: failed calling webhook \"{webhook}\": failed to call webhook: Post \
                 \"https://ado-agent-webhook.{}.svc:443/mutate?timeout=5s\": {}",
                contract::SYSTEM_NAMESPACE,
                as_go_says(problem)
            );
            status(500, "InternalError", &message)
        }
        Refusal::Unstable(_) => status(500, "InternalError", &refusal.to_string()),
    }
}

/// Our TLS library's words in those of Go's.
fn as_go_says(problem: &str) -> String {
    for (ours, go) in [
        (
            "UnknownIssuer",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            "BadSignature",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            "Expired",
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
        ),
        (
            "NotValidForName",
            "tls: failed to verify certificate: x509: certificate is valid for other.example, not the service",
        ),
        (
            "Connection refused",
            "dial tcp 10.96.0.1:443: connect: connection refused",
        ),
    ] {
        if problem.contains(ours) {
            return go.to_owned();
        }
    }
    problem.to_owned()
}

pub(super) fn no_such_path() -> Reply {
    status(404, "NotFound", "the server could not find the requested resource")
}

pub(super) fn forbidden(request: &Request) -> Reply {
    let verb = match request.method.as_str() {
        "POST" => "create",
        "DELETE" => "delete",
        "GET" => "list",
        _ => "update",
    };
    let resource = request.segments.last().map_or("", String::as_str);
    let message =
        format!("{resource} is forbidden: User \"double\" cannot {verb} resource \"{resource}\" in API group \"\"");
    status(403, "Forbidden", &message)
}

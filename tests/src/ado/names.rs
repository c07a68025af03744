//! Names of the routes, for records and counts.

/// The route's name; `unknown` where there is none.
pub(super) fn name(method: &str, path: &[&str]) -> &'static str {
    match (method, path) {
        ("GET", ["_apis", "connectiondata"]) => "GET connectionData",
        ("OPTIONS", ["_apis", ..]) => "OPTIONS",
        ("POST", ["_apis", "oauth2", "token"]) => "POST oauth2/token",
        ("GET", ["_emulator", "agent-package", ..]) => "GET agent package",
        ("GET", ["_apis", "featureavailability", ..]) => "GET featureFlags/{name}",
        ("POST", [.., "customerintelligence"] | [_, "customerintelligence", ..]) => "POST customerintelligence",
        ("POST", ["_apis", "serviceprincipalentitlements"]) => "POST serviceprincipalentitlements",
        ("GET", ["_apis", "securityroles", ..]) => "GET securityroles",
        ("PUT", ["_apis", "securityroles", ..]) => "PUT securityroles",
        ("GET", ["_apis", "distributedtask", "packages", ..]) => "GET packages",
        ("GET", ["_apis", "distributedtask", "pools"]) => "GET pools",
        ("POST", ["_apis", "distributedtask", "pools"]) => "POST pools",
        (_, ["_apis", "distributedtask", "pools", _, below @ ..]) => match (method, below) {
            ("GET", []) => "GET pools/{id}",
            ("PATCH", []) => "PATCH pools/{id}",
            ("DELETE", []) => "DELETE pools/{id}",
            ("GET", ["permissions", _]) => "GET permissions/{bits}",
            ("GET", ["agents"]) => "GET agents",
            ("POST", ["agents"]) => "POST agents",
            ("GET", ["agents", _]) => "GET agents/{id}",
            ("PUT", ["agents", _]) => "PUT agents/{id}",
            ("PATCH", ["agents", _]) => "PATCH agents/{id}",
            ("DELETE", ["agents", _]) => "DELETE agents/{id}",
            ("PUT", ["agents", _, "updates"]) => "PUT agents/{id}/updates",
            ("PUT", ["agents", _, "usercapabilities"]) => "PUT agents/{id}/usercapabilities",
            ("POST", ["sessions"]) => "POST sessions",
            ("DELETE", ["sessions", _]) => "DELETE sessions/{id}",
            ("GET", ["messages"]) => "GET messages",
            ("DELETE", ["messages", _]) => "DELETE messages/{id}",
            ("GET", ["jobrequests"]) => "GET jobrequests",
            ("GET", ["jobrequests", _]) => "GET jobrequests/{id}",
            ("PATCH", ["jobrequests", _]) => "PATCH jobrequests/{id}",
            _ => "unknown",
        },
        _ => "unknown",
    }
}

//! Entra's refusals: every AADSTS code that the emulator can answer, with the status and the `error` that go with it.

use crate::clock::Timestamp;
use crate::guid;
use crate::http::{Reply, Request};
use serde_json::json;

/// One AADSTS code.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// The number.
    pub code: u32,
    /// Status of the answer.
    pub status: u16,
    /// `error` of the answer.
    pub error: &'static str,
    /// Text of the answer; `{}` stands for what was presented.
    pub text: &'static str,
}

const fn code(code: u32, status: u16, error: &'static str, text: &'static str) -> Code {
    Code {
        code,
        status,
        error,
        text,
    }
}

/// Every code that the emulator knows.
///
/// 70021 and its kin came with 400 `invalid_request` until 2022 (azure-workload-identity#340, #616), and come with 401
/// `invalid_client` since 2023 (external-secrets#2783, azure-workload-identity#1200, microsoft/Agents#202 for 7002137);
/// 7002138 is quoted in Azure/login#515 and #517, 700024 with 401 in Azure/azure-cli#28708.
pub const CODES: &[Code] = &[
    code(50027, 401, "invalid_client", "JWT token is invalid or malformed."),
    code(
        50033,
        503,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    code(50049, 400, "invalid_instance", "Unknown or invalid instance."),
    code(
        50059,
        400,
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    code(
        50087,
        503,
        "temporarily_unavailable",
        "A transient error has occurred during strong authentication. Please try again.",
    ),
    code(
        50166,
        400,
        "invalid_request",
        "Request to External OIDC endpoint failed. {}",
    ),
    code(
        50196,
        400,
        "invalid_grant",
        "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
    ),
    code(
        53003,
        400,
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    code(
        70001,
        400,
        "unauthorized_client",
        "Application with identifier '{}' was not found in the directory. It is not supported or disabled.",
    ),
    code(
        70003,
        400,
        "unsupported_grant_type",
        "The app requested an unsupported grant type '{}'.",
    ),
    code(
        70011,
        400,
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {} is not valid.",
    ),
    code(
        70021,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion. {}",
    ),
    code(
        70023,
        400,
        "invalid_request",
        "External OIDC provider token lifetime is longer than allowed. {}",
    ),
    code(
        90002,
        400,
        "invalid_request",
        "Tenant '{}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
    ),
    code(
        90006,
        503,
        "temporarily_unavailable",
        "The service is temporarily unavailable. Please try again.",
    ),
    code(
        90012,
        503,
        "temporarily_unavailable",
        "The service is temporarily unavailable. Request timed out.",
    ),
    code(
        90024,
        503,
        "temporarily_unavailable",
        "A transient error has occurred. Request budget exceeded.",
    ),
    code(
        90033,
        503,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    code(
        90038,
        400,
        "invalid_request",
        "Confidential Client is not supported in Cross Cloud request. Tenant '{}' belongs to another national cloud.",
    ),
    code(
        90055,
        429,
        "temporarily_unavailable",
        "The request has been throttled due to the tenant's excessive request rate.",
    ),
    code(
        90061,
        400,
        "invalid_request",
        "Request to External OIDC endpoint failed. {}",
    ),
    code(
        90090,
        503,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    code(
        90091,
        503,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    code(
        500011,
        400,
        "invalid_resource",
        "The resource principal named {} was not found in the tenant. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.",
    ),
    code(
        530032,
        400,
        "invalid_grant",
        "Access has been blocked by a security policy of the tenant.",
    ),
    code(
        650052,
        400,
        "invalid_client",
        "The app is trying to access a service '{}' that your organization lacks a service principal for.",
    ),
    code(
        650057,
        400,
        "invalid_client",
        "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration. {}",
    ),
    code(
        700011,
        400,
        "unauthorized_client",
        "Application with identifier '{}' was not found in the directory.",
    ),
    code(
        700016,
        400,
        "unauthorized_client",
        "Application with identifier '{}' was not found in the directory. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    code(
        700024,
        401,
        "invalid_client",
        "Client assertion is not within its valid time range. {}",
    ),
    code(
        700025,
        401,
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    code(
        700027,
        401,
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not registered on application. {}",
    ),
    code(
        700211,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer '{}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    ),
    code(
        700212,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion audience '{}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    ),
    code(
        700213,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    ),
    code(
        900023,
        400,
        "invalid_request",
        "Specified tenant identifier '{}' is neither a valid DNS name, nor a valid external domain.",
    ),
    code(
        900144,
        400,
        "invalid_request",
        "The request body must contain the following parameter: '{}'.",
    ),
    code(
        900382,
        400,
        "invalid_request",
        "Confidential Client is not supported in Cross Cloud request.",
    ),
    code(
        900432,
        400,
        "invalid_request",
        "Confidential Client is not supported in Cross Cloud request.",
    ),
    code(
        900561,
        400,
        "invalid_request",
        "The endpoint only accepts POST requests. Received a {} request.",
    ),
    code(
        7002137,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{}'. Please make sure the federated identity credential Subject is correct.",
    ),
    code(
        7002138,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. See documentation at: https://learn.microsoft.com/entra/workload-id/workload-identity-federation. See breaking change notification and remediation at: https://learn.microsoft.com/en-us/entra/identity-platform/reference-breaking-changes#august-2024.",
    ),
    code(7000112, 400, "unauthorized_client", "Application '{}' is disabled."),
    code(
        7000215,
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{}'.",
    ),
    code(
        7000218,
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    code(
        7000272,
        401,
        "invalid_client",
        "The provided signature value did not match the expected signature value, or its key is not published by the issuer. {}",
    ),
];

/// A refusal: a code and what was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u32,
    pub(super) presented: String,
}

pub(super) fn refuse<T>(code: u32, presented: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        presented: presented.into(),
    })
}

impl Refusal {
    /// The answer as Entra writes it.
    pub(super) fn reply(&self, request: &Request, now: Timestamp) -> Reply {
        let unknown = code(self.code, 400, "invalid_request", "{}");
        let known = CODES.iter().find(|known| known.code == self.code).unwrap_or(&unknown);
        let text = known.text.replace("{}", &self.presented);
        let trace = guid::random();
        let correlation = request
            .header("client-request-id")
            .map_or_else(guid::random, str::to_owned);
        let number = self.code;
        let time = now.entra();
        let body = json!({
            "error": known.error,
            "error_description":
                format!("AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}"),
            "error_codes": [number],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        });
        Reply::json(known.status, &body).with("x-ms-request-id", trace)
    }
}

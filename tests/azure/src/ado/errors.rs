//! Azure DevOps' refusals: status, message and the `typeKey` by which its clients choose what to do.

use crate::http::Reply;
use serde_json::json;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    type_key: &'static str,
    namespace: &'static str,
    message: String,
}

const AGENTS: &str = "Microsoft.TeamFoundation.DistributedTask.WebApi";
const FRAMEWORK: &str = "Microsoft.TeamFoundation.Framework.Server";
const SERVICES: &str = "Microsoft.VisualStudio.Services.Common";
const WEB_API: &str = "Microsoft.VisualStudio.Services.WebApi";

impl Refusal {
    fn new(status: u16, type_key: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            type_key,
            namespace: AGENTS,
            message: message.into(),
        }
    }

    fn of(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    pub(super) fn pool_not_found(pool: i64) -> Self {
        let message = format!("No agent pool found with identifier {pool}.");
        Self::new(404, "TaskAgentPoolNotFoundException", message)
    }

    pub(super) fn pool_exists(name: &str) -> Self {
        let message = format!("Agent pool {name} already exists.");
        Self::new(409, "TaskAgentPoolExistsException", message)
    }

    pub(super) fn agent_not_found(pool: &str, agent: i64) -> Self {
        let message = format!("No agent found in pool {pool} with identifier {agent}.");
        Self::new(404, "TaskAgentNotFoundException", message)
    }

    pub(super) fn is_agent_not_found(&self) -> bool {
        self.type_key == "TaskAgentNotFoundException"
    }

    pub(super) fn agent_exists(pool: i64, agent: &str) -> Self {
        let message = format!("Pool {pool} already contains an agent with name {agent}.");
        Self::new(409, "TaskAgentExistsException", message)
    }

    /// The text: azure-devops-docs#10586.
    pub(super) fn job_still_running(pool: &str, agent: &str) -> Self {
        let message = format!("Agent \"{agent}\" is running a job for pool \"{pool}\"");
        Self::new(400, "TaskAgentJobStillRunningException", message)
    }

    pub(super) fn job_not_found(request: u64) -> Self {
        let message = format!("No job request found with identifier {request}.");
        Self::new(404, "TaskAgentJobNotFoundException", message)
    }

    pub(super) fn job_token_expired(request: u64) -> Self {
        let message = format!("The lock of job request {request} has expired.");
        Self::new(400, "TaskAgentJobTokenExpiredException", message)
    }

    pub(super) fn session_conflict(agent: &str, owner: &str) -> Self {
        let message = format!("The task agent {agent} already has an active session for owner {owner}.");
        Self::new(409, "TaskAgentSessionConflictException", message)
    }

    pub(super) fn session_expired(session: &str) -> Self {
        let message = format!("The agent session {session} has expired.");
        Self::new(404, "TaskAgentSessionExpiredException", message)
    }

    /// 403: azure-pipelines-agent#5090.
    pub(super) fn access_denied(who: &str, permission: &str, pool: &str) -> Self {
        Self::new(
            403,
            "AccessDeniedException",
            format!(
                "Access denied. {who} needs {permission} permissions for pool {pool} to perform the action. For more \
                 information, contact the Azure DevOps Server administrator."
            ),
        )
    }

    /// For pools as such (azure-devops-docs#13093).
    pub(super) fn pools_denied(who: &str) -> Self {
        Self::new(
            403,
            "AccessDeniedException",
            format!(
                "Access denied. {who} needs Manage permissions to perform the action. For more information, contact the \
                 Azure DevOps Server administrator."
            ),
        )
    }

    pub(super) fn organization_denied(who: &str) -> Self {
        let message = format!(
            "Access Denied: {who} needs the following permission(s) to perform this action: Edit instance-level information"
        );
        Self::new(403, "AccessCheckException", message).of("Microsoft.VisualStudio.Services.Security")
    }

    pub(super) fn entitlement_not_found(id: &str) -> Self {
        let message = format!("The member with id {id} was not found.");
        Self::new(404, "MemberNotFoundException", message)
            .of("Microsoft.VisualStudio.Services.MemberEntitlementManagement")
    }

    /// The identity is not a user of the organization; word for word as in kedacore/keda#4867 and #7578.
    pub(super) fn identity_unknown(tenant: &str, object_id: &str) -> Self {
        let message = format!(
            "TF401444: Please sign-in at least once as {tenant}\\{tenant}\\{object_id} in a web browser to enable access \
             to the service."
        );
        Self::new(401, "UnauthorizedRequestException", message).of(FRAMEWORK)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "TF400813: The user '' is not authorized to access this resource.";
        Self::new(401, "UnauthorizedRequestException", message).of(FRAMEWORK)
    }

    /// The text: Azure DevOps documentation, "Rate and usage limits".
    pub(super) fn throttled() -> Self {
        let message = "TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource \
                       'Concurrency' in namespace 'User'.";
        Self::new(429, "RequestBlockedException", message).of(FRAMEWORK)
    }

    pub(super) fn bad_argument(message: impl Into<String>) -> Self {
        Self::new(400, "VssPropertyValidationException", message).of(SERVICES)
    }

    pub(super) fn version_not_specified(method: &str) -> Self {
        let message = format!(
            "No api-version was supplied for the \"{method}\" request. The version must be supplied either as part of \
             the Accept header (e.g. \"application/json; api-version=1.0\") or as a query parameter (e.g. \
             \"?api-version=1.0\")."
        );
        Self::new(400, "VssVersionNotSpecifiedException", message).of(WEB_API)
    }

    pub(super) fn version_not_valid(text: &str) -> Self {
        let message = format!(
            "Invalid api version string: \"{text}\". Api version string must be in the format: \
             {{Major}}.{{Minor}}[-preview[.{{ResourceVersion}}]]."
        );
        Self::new(400, "VssInvalidApiResourceVersionException", message).of(WEB_API)
    }

    pub(super) fn version_out_of_range(text: &str, newest: &str) -> Self {
        let message = format!(
            "The requested REST API version of {text} is out of range for this server. The latest REST API version this \
             server supports is {newest}."
        );
        Self::new(400, "VssVersionOutOfRangeException", message).of(WEB_API)
    }

    pub(super) fn version_out_of_range_for_route(text: &str, route: &str) -> Self {
        let message = format!(
            "The request matched route {route}, but the requested REST API version {text} was outside the valid version \
             range for this route."
        );
        Self::new(400, "VssVersionOutOfRangeException", message).of(WEB_API)
    }

    pub(super) fn version_under_preview(text: &str) -> Self {
        let message = format!(
            "The requested version \"{text}\" of the resource is under preview. The -preview flag must be supplied in \
             the api-version for such requests. For example: \"{text}-preview\""
        );
        Self::new(400, "VssInvalidPreviewVersionException", message).of(WEB_API)
    }

    pub(super) fn content_type_not_supported(declared: &str, method: &str, allowed: &str) -> Self {
        let message = format!(
            "The request indicated a Content-Type of \"{declared}\" for method type \"{method}\" which is not \
             supported. Valid content types for this method are: {allowed}."
        );
        Self::new(400, "VssRequestContentTypeNotSupportedException", message).of(WEB_API)
    }

    pub(super) fn no_such_route(method: &str, path: &str) -> Self {
        let message = format!("The controller for path '{path}' was not found or does not implement {method}.");
        Self::new(404, "HttpException", message).of("System.Web")
    }

    pub(super) fn reply(&self) -> Reply {
        let (key, namespace) = (self.type_key, self.namespace);
        Reply::json(
            self.status,
            &json!({
                "$id": "1",
                "innerException": null,
                "message": self.message,
                "typeName": format!("{namespace}.{key}, {namespace}"),
                "typeKey": key,
                "errorCode": 0,
                "eventId": 3000,
            }),
        )
    }
}

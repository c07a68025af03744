//! What Microsoft's SDKs (MSAL, azidentity) ask before they ask for a token: instance, tenant, keys.

use super::Entra;
use super::errors::Refusal;
use crate::guid;
use crate::http::{Reply, Request};
use serde_json::json;

impl Entra {
    /// `GET /common/discovery/instance?api-version=1.1&authorization_endpoint=…`: which hosts are one cloud.
    pub(super) fn instance_discovery(&self, request: &Request) -> Reply {
        let now = self.clock().now();
        let endpoint = request.parameter("authorization_endpoint").unwrap_or_default();
        let Some((host, tenant)) = endpoint
            .strip_prefix("https://")
            .and_then(|rest| rest.split_once('/'))
            .map(|(host, path)| (host, path.split('/').next().unwrap_or("common")))
        else {
            let refusal = Refusal {
                code: 50049,
                presented: endpoint.to_owned(),
            };
            return refusal.reply(request, now);
        };
        Reply::json(
            200,
            &json!({
                "tenant_discovery_endpoint":
                    format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration"),
                "api-version": "1.1",
                "metadata": [
                    {
                        "preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net",
                        "aliases": ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
                    },
                    {
                        "preferred_network": "login.partner.microsoftonline.cn",
                        "preferred_cache": "login.partner.microsoftonline.cn",
                        "aliases": ["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
                    },
                    {
                        "preferred_network": "login.microsoftonline.us", "preferred_cache": "login.microsoftonline.us",
                        "aliases": ["login.microsoftonline.us", "login.usgovcloudapi.net"],
                    },
                    { "preferred_network": host, "preferred_cache": host, "aliases": [host] },
                ],
            }),
        )
    }

    /// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
    pub(super) fn tenant_discovery(&self, tenant: &str, request: &Request) -> Reply {
        let id = match self.lock().directory.tenant(tenant) {
            Some(tenant) => tenant.id.clone(),
            None if ["common", "organizations"].contains(&tenant) => "{tenantid}".to_owned(),
            None => {
                let refusal = Refusal {
                    code: if guid::is_guid(tenant) || tenant.contains('.') {
                        90002
                    } else {
                        900_023
                    },
                    presented: tenant.to_owned(),
                };
                return refusal.reply(request, self.clock().now());
            }
        };
        let origin = request.origin();
        Reply::json(
            200,
            &json!({
                "token_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/token"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                "jwks_uri": format!("{origin}/{tenant}/discovery/v2.0/keys"),
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": format!("{origin}/{id}/v2.0"),
                "request_uri_parameter_supported": false,
                "authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/devicecode"),
                "end_session_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/logout"),
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
                "cloud_graph_host_name": "graph.windows.net",
                "msgraph_host": "graph.microsoft.com",
            }),
        )
    }

    /// `GET /{tenant}/discovery/v2.0/keys`.
    pub(super) fn keys(&self) -> Reply {
        Reply::json(200, &json!({ "keys": [self.inner.key.jwk()] }))
    }
}

//! What clients ask first: connection data, resource areas, feature flags.

use super::Ado;
use super::auth::Caller;
use super::call::{Call, list};
use super::errors::Refusal;
use super::locations;
use crate::http::Reply;
use serde_json::{Value, json};

/// The service id with which a client finds every area at the same URL (actions/runner `LocationService.cs`).
const ON_THE_SAME_URL: &str = "87966eaa-cb2a-443f-be3c-47bd3b5bf3cb";

impl Ado {
    pub(super) fn connection_data(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let state = self.lock();
        let organisation = call.organisation(&state);
        let who = match &call.caller {
            Caller::Member { id, name, .. } => json!({ "id": id, "providerDisplayName": name, "isActive": true }),
            Caller::Agent(token) => {
                json!({ "id": token.client_id, "providerDisplayName": call.caller.name(), "isActive": true })
            }
        };
        let mapping = json!({
            "moniker": "PublicAccessMapping",
            "displayName": "Public Access Mapping",
            "accessPoint": call.base,
            "virtualDirectory": "",
            "serviceOwner": ON_THE_SAME_URL,
        });
        let definition = json!({
            "serviceType": "LocationService2",
            "identifier": ON_THE_SAME_URL,
            "displayName": "Location Service",
            "relativeToSetting": "fullyQualified",
            "serviceOwner": ON_THE_SAME_URL,
            "locationMappings": [{ "accessMappingMoniker": "PublicAccessMapping", "location": call.base }],
            "toolId": "Framework",
            "status": "active",
            "inheritLevel": "none",
        });
        Ok(Reply::json(
            200,
            &json!({
                "authenticatedUser": who,
                "authorizedUser": who,
                "instanceId": organisation.instance,
                "deploymentId": organisation.instance,
                "deploymentType": "hosted",
                "locationServiceData": {
                    "serviceOwner": ON_THE_SAME_URL,
                    "defaultAccessMappingMoniker": "PublicAccessMapping",
                    "lastChangeId": 1,
                    "lastChangeId64": 1,
                    "clientCacheFresh": false,
                    "clientCacheTimeToLive": 60,
                    "accessMappings": [mapping],
                    "serviceDefinitions": [definition],
                },
            }),
        ))
    }

    /// `GET ResourceAreas` (all) and `GET ResourceAreas/{areaId}` (one), with which Microsoft's clients begin
    /// (learn.microsoft.com/azure/devops/extend/develop/work-with-urls).
    pub(super) fn resource_areas(&self, call: &Call<'_>, area: &[&str]) -> Result<Reply, Refusal> {
        let areas = locations::areas(|service| call.target.url(service));
        match area {
            [] => Ok(list(&areas)),
            [id] => {
                let found = areas.into_iter().find(|area| area["id"] == **id);
                Ok(Reply::json(200, &found.unwrap_or(Value::Null)))
            }
            _ => Err(Refusal::no_such_route(&call.request.method, &call.request.path)),
        }
    }

    /// Every feature flag is off.
    pub(super) fn feature_flag(&self, name: &str) -> Reply {
        Reply::json(
            200,
            &json!({ "name": name, "effectiveState": "Off", "explicitState": "Off" }),
        )
    }
}

//! What the agent's library asks first: connection data, resource locations, feature flags.

use super::Ado;
use super::auth::Caller;
use super::call::{Call, list};
use super::errors::Refusal;
use crate::http::Reply;
use serde_json::{Value, json};

/// The service id with which a client finds every area at the same URL (actions/runner `LocationService.cs`).
const ON_THE_SAME_URL: &str = "87966eaa-cb2a-443f-be3c-47bd3b5bf3cb";

/// Location id, area, resource, route.
const LOCATIONS: &[(&str, &str, &str, &str)] = &[
    (
        "00d9565f-ed9c-4a06-9a50-00e7896ccab4",
        "Location",
        "ConnectionData",
        "_apis/connectionData",
    ),
    (
        "a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd",
        "distributedtask",
        "area",
        "_apis/{area}",
    ),
    (
        "a8c47e17-4d56-4a56-92bb-de7ea7dc65be",
        "distributedtask",
        "pools",
        "_apis/{area}/{resource}/{poolId}",
    ),
    (
        "e298ef32-5878-4cab-993c-043836571f42",
        "distributedtask",
        "agents",
        "_apis/{area}/pools/{poolId}/{resource}/{agentId}",
    ),
    (
        "134e239e-2df3-4794-a6f6-24f1f19ec8dc",
        "distributedtask",
        "sessions",
        "_apis/{area}/pools/{poolId}/{resource}/{sessionId}",
    ),
    (
        "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7",
        "distributedtask",
        "messages",
        "_apis/{area}/pools/{poolId}/{resource}/{messageId}",
    ),
    (
        "fc825784-c92a-4299-9221-998a02d1b54f",
        "distributedtask",
        "jobrequests",
        "_apis/{area}/pools/{poolId}/{resource}/{requestId}",
    ),
    (
        "8cc1b02b-ae49-4516-b5ad-4f9b29967c30",
        "distributedtask",
        "updates",
        "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}",
    ),
    (
        "30ba3ada-fedf-4da8-bbb5-dacf2f82e176",
        "distributedtask",
        "usercapabilities",
        "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}",
    ),
    (
        "8ffcd551-079c-493a-9c02-54346299d144",
        "distributedtask",
        "packages",
        "_apis/{area}/{resource}/{packageType}/{platform}/{version}",
    ),
    (
        "60aac929-f0cd-4bc8-9ce4-6b30e8f1b1bd",
        "distributedtask",
        "tasks",
        "_apis/{area}/{resource}/{taskId}/{versionString}",
    ),
    (
        "5cecd946-d704-471e-a45f-3b4064fcfaba",
        "distributedtask",
        "plans",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/{resource}/{planId}",
    ),
    (
        "557624af-b29e-4c20-8ab0-0399d2204f3f",
        "distributedtask",
        "events",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/{resource}",
    ),
    (
        "83597576-cc2c-453c-bea6-2882ae6a1653",
        "distributedtask",
        "timelines",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/{resource}/{timelineId}",
    ),
    (
        "8893bc5b-35b2-4be7-83cb-99e683551db4",
        "distributedtask",
        "records",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/timelines/{timelineId}/{resource}",
    ),
    (
        "858983e4-19bd-4c5e-864c-507b59b58b12",
        "distributedtask",
        "feed",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/timelines/{timelineId}/records/{recordId}/{resource}",
    ),
    (
        "46f5667d-263a-4684-91b1-dff7fdcf64e2",
        "distributedtask",
        "logs",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/{resource}/{logId}",
    ),
    (
        "7898f959-9cdf-4096-b29e-7f293031629e",
        "distributedtask",
        "attachments",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/timelines/{timelineId}/records/{recordId}/{resource}/{type}/{name}",
    ),
    (
        "3e2b80f8-9e6f-441e-8393-005610692d9c",
        "FeatureAvailability",
        "FeatureFlags",
        "_apis/{area}/{resource}/{name}",
    ),
    (
        "9461c234-c84c-4ed2-b918-2f0f92ad0a35",
        "securityroles",
        "roleassignments",
        "_apis/{area}/scopes/{scopeId}/{resource}/resources/{resourceId}/{identityId}",
    ),
    (
        "f4cc9a86-453c-48d2-b44d-d3bd5c105f4f",
        "securityroles",
        "roledefinitions",
        "_apis/{area}/scopes/{scopeId}/{resource}",
    ),
    (
        "b5cc35c2-ff2b-491d-a085-24b6e9f396fd",
        "customerintelligence",
        "events",
        "_apis/{area}/{resource}",
    ),
];

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

    /// `OPTIONS _apis/`: where everything is.
    pub(super) fn locations(&self) -> Reply {
        let location = |(id, area, resource, route): &(&str, &str, &str, &str)| -> Value {
            json!({
                "id": id, "area": area, "resourceName": resource, "routeTemplate": route, "resourceVersion": 1,
                "minVersion": "1.0", "maxVersion": "7.2", "releasedVersion": "0.0",
            })
        };
        list(&LOCATIONS.iter().map(location).collect::<Vec<_>>())
    }

    /// Every feature flag is off.
    pub(super) fn feature_flag(&self, name: &str) -> Reply {
        Reply::json(
            200,
            &json!({ "name": name, "effectiveState": "Off", "explicitState": "Off" }),
        )
    }
}

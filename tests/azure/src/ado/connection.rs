//! What clients ask first: connection data, resource areas, feature flags.

use super::auth::Caller;
use super::call::{Call, list};
use super::errors::Refusal;
use super::hosts::{Service, Target};
use super::locations;
use super::{Ado, ConnectionData};
use crate::http::Reply;
use serde_json::{Value, json};

/// The owner with which a client finds every area at the same URL (actions/runner `LocationService.cs`).
const ON_PREMISES: &str = "87966eaa-cb2a-443f-be3c-47bd3b5bf3cb";
/// The hosted service of pools and agents; also the `serviceOwner` of its jobs.
pub(super) const HOSTED: &str = "00025394-6065-48ca-87d9-7f5672854ef7";
/// The service that is asked for an area that no definition names.
const ROOT: &str = "951917ac-a960-4999-8464-e3f0aa25b381";
const NO_OWNER: &str = "00000000-0000-0000-0000-000000000000";

const PUBLIC: &str = "PublicAccessMapping";
const BY_ID: &str = "HostGuidAccessMapping";

impl Ado {
    pub(super) fn connection_data(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let state = self.lock();
        let organization = call.organization(&state);
        let who = match &call.caller {
            Caller::Member { id, name, .. } => json!({ "id": id, "providerDisplayName": name, "isActive": true }),
            Caller::Agent(token) => {
                json!({ "id": token.client_id, "providerDisplayName": call.caller.name(), "isActive": true })
            }
            Caller::Job { plan, .. } => {
                json!({ "id": plan, "providerDisplayName": call.caller.name(), "isActive": true })
            }
        };
        let (owner, mappings, definitions) = match state.behavior.connection_data {
            ConnectionData::Hosted => hosted(call.target, &organization.instance),
            ConnectionData::OnPremises => on_premises(call.base),
        };
        Ok(Reply::json(
            200,
            &json!({
                "authenticatedUser": who,
                "authorizedUser": who,
                "instanceId": organization.instance,
                "deploymentId": organization.instance,
                "deploymentType": "hosted",
                "locationServiceData": {
                    "serviceOwner": owner,
                    "defaultAccessMappingMoniker": PUBLIC,
                    "lastChangeId": 1,
                    "lastChangeId64": 1,
                    "clientCacheFresh": false,
                    "clientCacheTimeToLive": 60,
                    "accessMappings": mappings,
                    "serviceDefinitions": definitions,
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

/// Owner, access mappings and service definitions of the hosted service: whose client looks an area up, finds it at the
/// address of its service (actions/runner `LocationService.cs:42-75`).
fn hosted(target: &Target, instance: &str) -> (&'static str, Value, Value) {
    let by_id = |service| {
        let url = target.url(service);
        let origin = url
            .trim_end_matches(&target.organization)
            .trim_end_matches('/')
            .to_owned();
        format!("{origin}/A{instance}")
    };
    let mapping = |moniker: &str, name: &str, point: String| {
        json!({
            "moniker": moniker, "displayName": name, "accessPoint": format!("{point}/"), "virtualDirectory": "",
            "serviceOwner": NO_OWNER,
        })
    };
    let definition = |identifier: &str, name: &str, service: Service| {
        let at =
            |moniker: &str, point: String| json!({ "accessMappingMoniker": moniker, "location": format!("{point}/") });
        json!({
            "serviceType": "LocationService2",
            "identifier": identifier,
            "displayName": name,
            "relativeToSetting": "fullyQualified",
            "serviceOwner": HOSTED,
            "locationMappings": [at(BY_ID, by_id(service)), at(PUBLIC, target.url(service))],
            "toolId": "Framework",
            "status": "active",
            "inheritLevel": "none",
            "parentServiceType": "LocationService2",
            "parentIdentifier": HOSTED,
        })
    };
    let mappings = json!([
        mapping(BY_ID, "Host Guid Access Mapping", by_id(Service::Main)),
        mapping(PUBLIC, "Public Access Mapping", target.url(Service::Main)),
        mapping("CodexAccessMapping", "Codex Access Mapping", target.collection_url()),
    ]);
    let areas = locations::AREAS
        .iter()
        .map(|(id, name, service)| definition(id, name, *service));
    let services = [
        definition(HOSTED, "Location Service", Service::Main),
        definition(ROOT, "SPS Location Service", Service::Identity),
    ];
    (HOSTED, mappings, services.into_iter().chain(areas).collect())
}

/// The same of a server with everything at one URL.
fn on_premises(base: &str) -> (&'static str, Value, Value) {
    let mapping = json!({
        "moniker": PUBLIC, "displayName": "Public Access Mapping", "accessPoint": base, "virtualDirectory": "",
        "serviceOwner": ON_PREMISES,
    });
    let definition = json!({
        "serviceType": "LocationService2",
        "identifier": ON_PREMISES,
        "displayName": "Location Service",
        "relativeToSetting": "fullyQualified",
        "serviceOwner": ON_PREMISES,
        "locationMappings": [{ "accessMappingMoniker": PUBLIC, "location": base }],
        "toolId": "Framework",
        "status": "active",
        "inheritLevel": "none",
    });
    (ON_PREMISES, json!([mapping]), json!([definition]))
}

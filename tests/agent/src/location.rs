//! What the library makes of `connectionData`: where the next requests go, and what it remembers of it.

use crate::pause;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// With this owner everything is found at the typed URL (actions/runner `LocationService.cs`).
const ON_PREMISES: &str = "87966eaa-cb2a-443f-be3c-47bd3b5bf3cb";
/// The area of pools and agents, and the service that is asked where no definition names the area.
const AREAS: [&str; 2] = [
    "a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd",
    "951917ac-a960-4999-8464-e3f0aa25b381",
];

/// `lastChangeId` of the location data that this process knows; -1: none.
static LAST_CHANGE: AtomicI64 = AtomicI64::new(-1);

/// What a connection asks `connectionData` for. Processes of the real agent share the number through a file.
pub(crate) fn query() -> String {
    let last = LAST_CHANGE.load(Ordering::Relaxed);
    let options = if last == -1 { 1 } else { 0 };
    format!("connectOptions={options}&lastChangeId={last}&lastChangeId64={last}")
}

/// Keeps what a later connection of this process asks with.
pub(crate) fn remember(data: &Value) {
    if let Some(id) = data["locationServiceData"]["lastChangeId"].as_i64() {
        LAST_CHANGE.store(id, Ordering::Relaxed);
    }
}

/// The URL of pools and agents: the typed one, unless a hosted service owns the location data. Then its definitions lead.
pub(crate) fn area(data: &Value, typed: &str) -> Result<String, String> {
    let location = &data["locationServiceData"];
    if location.is_null() {
        return Err(format!("{typed}: connectionData without locationServiceData"));
    }
    let moniker = location["defaultAccessMappingMoniker"].as_str().unwrap_or_default();
    let mappings = location["accessMappings"].as_array().into_iter().flatten();
    if !mappings.into_iter().any(|mapping| mapping["moniker"] == moniker) {
        return Err(format!(
            "{typed}: the default access mapping {moniker} is not among the mappings"
        ));
    }
    let owner = location["serviceOwner"].as_str().unwrap_or_default();
    if owner.is_empty() || owner.eq_ignore_ascii_case(ON_PREMISES) {
        return Ok(typed.to_owned());
    }
    let is_of = |definition: &&Value, area: &str| {
        definition["serviceType"] == "LocationService2"
            && definition["identifier"]
                .as_str()
                .is_some_and(|id| id.eq_ignore_ascii_case(area))
    };
    let definitions = || location["serviceDefinitions"].as_array().into_iter().flatten();
    let definition = AREAS
        .iter()
        .find_map(|area| definitions().find(|definition| is_of(definition, area)));
    let url = definition.and_then(|definition| {
        let mut mappings = definition["locationMappings"].as_array()?.iter();
        mappings.find(|mapping| mapping["accessMappingMoniker"] == moniker)?["location"].as_str()
    });
    url.map(|url| url.trim_end_matches('/').to_owned())
        .ok_or_else(|| format!("{typed}: no service definition says where {} is", AREAS[0]))
}

/// A user without a folder for settings pays for the location data's file at every connection. Measured once, with the
/// library of 2019: configuring took 5.9 s instead of 0.7 s. Whether today's library still does is not known.
pub(crate) async fn wait_for_cache() {
    let home = PathBuf::from(crate::variable("HOME").unwrap_or_default());
    let has_folder = [".config", ".local/share"]
        .iter()
        .any(|folder| home.join(folder).is_dir());
    if !has_folder && !rustix::process::geteuid().is_root() {
        tokio::time::sleep(pause(Duration::from_millis(650))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn data(owner: &str, definitions: &Value) -> Value {
        json!({ "locationServiceData": {
            "serviceOwner": owner,
            "defaultAccessMappingMoniker": "m",
            "accessMappings": [{ "moniker": "m", "accessPoint": "https://a" }],
            "serviceDefinitions": definitions,
        } })
    }

    #[test]
    fn a_hosted_owner_leads_to_where_its_definitions_say() {
        let elsewhere = json!([{ "serviceType": "LocationService2", "identifier": AREAS[1], "locationMappings": [
            { "accessMappingMoniker": "m", "location": "https://elsewhere/org/" },
        ] }]);
        let hosted = "00025394-6065-48ca-87d9-7f5672854ef7";
        assert_eq!(
            area(&data(hosted, &elsewhere), "https://a").unwrap(),
            "https://elsewhere/org"
        );
        for owner in ["", ON_PREMISES] {
            assert_eq!(area(&data(owner, &elsewhere), "https://a").unwrap(), "https://a");
        }
        assert!(area(&data(hosted, &json!([])), "https://a").is_err());
    }

    #[test]
    fn location_data_without_its_default_mapping_is_refused() {
        assert!(area(&json!({}), "https://a").is_err());
        let mut without = data("", &json!([]));
        without["locationServiceData"]["accessMappings"] = json!([]);
        assert!(area(&without, "https://a").is_err());
    }
}

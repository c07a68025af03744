//! Every resource of the REST API that the emulator has: its location id, where it is, and which versions of it may be asked for.
//!
//! Location ids and revisions: `azure-devops-node-api` 17 and Python `azure-devops` 7.1.0b4. A resource counts as released
//! where the Python package's released client (7.0) has it; every other resource is under preview, as the service's refusals
//! say of `connectionData`, `ResourceAreas`, `securityroles`, `permissions` and the entitlements.

use super::hosts::Service;
use serde_json::{Value, json};

/// A version of the REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The newest version that the service knows.
pub(super) const NEWEST: Version = Version(7, 2);
const RELEASED: Version = Version(7, 1);
const OLDEST: Version = Version(1, 0);
/// As clients read it: under preview at every version.
const NEVER_RELEASED: Version = Version(0, 0);

/// A resource and its route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    /// Location id.
    pub(super) id: &'static str,
    area: &'static str,
    resource: &'static str,
    /// Below the organization; `{area}` and `{resource}` stand for the names, other braces for values.
    route: &'static str,
    pub(super) min: Version,
    pub(super) released: Version,
    /// The newest revision of the resource (`resourceVersion`): the 2 of `7.2-preview.2`.
    pub(super) revision: u32,
    service: Service,
}

const fn preview(id: &'static str, area: &'static str, resource: &'static str, route: &'static str) -> Location {
    Location {
        id,
        area,
        resource,
        route,
        min: OLDEST,
        released: NEVER_RELEASED,
        revision: 1,
        service: Service::Main,
    }
}

const fn released(id: &'static str, area: &'static str, resource: &'static str, route: &'static str) -> Location {
    Location {
        released: RELEASED,
        ..preview(id, area, resource, route)
    }
}

const fn revised(revision: u32, location: Location) -> Location {
    Location { revision, ..location }
}

/// On the host of the entitlements; the minimum is what `az devops invoke` prints for it in public walk-throughs.
const fn entitlement(id: &'static str, route: &'static str) -> Location {
    Location {
        min: Version(7, 1),
        service: Service::Entitlements,
        ..preview(id, ENTITLEMENTS_AREA, "ServicePrincipalEntitlements", route)
    }
}

/// On every host.
const fn everywhere(id: &'static str, resource: &'static str, route: &'static str) -> Location {
    Location {
        service: Service::Any,
        ..preview(id, "Location", resource, route)
    }
}

const TASK: &str = "distributedtask";
const ENTITLEMENTS_AREA: &str = "MemberEntitlementManagement";

const LOCATIONS: &[Location] = &[
    everywhere(
        "00d9565f-ed9c-4a06-9a50-00e7896ccab4",
        "ConnectionData",
        "_apis/{resource}",
    ),
    everywhere(
        "e81700f7-3be2-46de-8624-2eb35882fcaa",
        "ResourceAreas",
        "_apis/{resource}/{areaId}",
    ),
    released(
        "a8c47e17-4d56-4a56-92bb-de7ea7dc65be",
        TASK,
        "pools",
        "_apis/{area}/{resource}/{poolId}",
    ),
    released(
        "e298ef32-5878-4cab-993c-043836571f42",
        TASK,
        "agents",
        "_apis/{area}/pools/{poolId}/{resource}/{agentId}",
    ),
    preview(
        "162778f3-4b48-48f3-9d58-436fb9c407bc",
        TASK,
        "permissions",
        "_apis/{area}/pools/{poolId}/{resource}/{permissions}",
    ),
    preview(
        "134e239e-2df3-4794-a6f6-24f1f19ec8dc",
        TASK,
        "sessions",
        "_apis/{area}/pools/{poolId}/{resource}/{sessionId}",
    ),
    preview(
        "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7",
        TASK,
        "messages",
        "_apis/{area}/pools/{poolId}/{resource}/{messageId}",
    ),
    preview(
        "fc825784-c92a-4299-9221-998a02d1b54f",
        TASK,
        "jobrequests",
        "_apis/{area}/pools/{poolId}/{resource}/{requestId}",
    ),
    preview(
        "8cc1b02b-ae49-4516-b5ad-4f9b29967c30",
        TASK,
        "updates",
        "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}",
    ),
    preview(
        "30ba3ada-fedf-4da8-bbb5-dacf2f82e176",
        TASK,
        "usercapabilities",
        "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}",
    ),
    revised(
        2,
        preview(
            "8ffcd551-079c-493a-9c02-54346299d144",
            TASK,
            "packages",
            "_apis/{area}/{resource}/{packageType}/{platform}/{version}",
        ),
    ),
    preview(
        "60aac929-f0cd-4bc8-9ce4-6b30e8f1b1bd",
        TASK,
        "tasks",
        "_apis/{area}/{resource}/{taskId}/{versionString}",
    ),
    preview(
        "5cecd946-d704-471e-a45f-3b4064fcfaba",
        TASK,
        "plans",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/{resource}/{planId}",
    ),
    preview(
        "557624af-b29e-4c20-8ab0-0399d2204f3f",
        TASK,
        "events",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/{resource}",
    ),
    preview(
        "83597576-cc2c-453c-bea6-2882ae6a1653",
        TASK,
        "timelines",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/{resource}/{timelineId}",
    ),
    preview(
        "8893bc5b-35b2-4be7-83cb-99e683551db4",
        TASK,
        "records",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/timelines/{timelineId}/{resource}",
    ),
    preview(
        "858983e4-19bd-4c5e-864c-507b59b58b12",
        TASK,
        "feed",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/timelines/{timelineId}/records/{recordId}/{resource}",
    ),
    preview(
        "46f5667d-263a-4684-91b1-dff7fdcf64e2",
        TASK,
        "logs",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/{resource}/{logId}",
    ),
    preview(
        "7898f959-9cdf-4096-b29e-7f293031629e",
        TASK,
        "attachments",
        "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/timelines/{timelineId}/records/{recordId}/{resource}/{type}/{name}",
    ),
    preview(
        "3e2b80f8-9e6f-441e-8393-005610692d9c",
        "FeatureAvailability",
        "FeatureFlags",
        "_apis/{area}/{resource}/{name}",
    ),
    preview(
        "9461c234-c84c-4ed2-b918-2f0f92ad0a35",
        "securityroles",
        "roleassignments",
        "_apis/{area}/scopes/{scopeId}/{resource}/resources/{resourceId}/{identityId}",
    ),
    preview(
        "f4cc9a86-453c-48d2-b44d-d3bd5c105f4f",
        "securityroles",
        "roledefinitions",
        "_apis/{area}/scopes/{scopeId}/{resource}",
    ),
    preview(
        "b5cc35c2-ff2b-491d-a085-24b6e9f396fd",
        "customerintelligence",
        "events",
        "_apis/{area}/{resource}",
    ),
    entitlement("f03dbf50-80f8-41b7-8ca2-65b6a178caba", "_apis/{resource}"),
    entitlement(
        "1d491a66-190b-43ae-86b8-9c2688c55186",
        "_apis/{resource}/{servicePrincipalId}",
    ),
    // Revision 3 is what the published specification of 7.2 asks for; public scripts ask for 7.1-preview.2.
    revised(
        3,
        Location {
            resource: "MemberEntitlements",
            ..entitlement("1e8cabfb-1fda-461e-860f-eeeae54d06bb", "_apis/{resource}/{memberId}")
        },
    ),
];

/// Areas that clients look up before their first call: id, name, service. `securityroles` is in none, on the real service
/// either: `az devops invoke --area securityroles` says that the area is not present (azure-devops-cli-extension#1315).
pub(super) const AREAS: &[(&str, &str, Service)] = &[
    ("a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd", TASK, Service::Main),
    (
        "68ddce18-2501-45f1-a17b-7931a9922690",
        ENTITLEMENTS_AREA,
        Service::Entitlements,
    ),
    (
        "c8e5af97-4b95-4e73-9e7f-69a06507967c",
        "FeatureAvailability",
        Service::Main,
    ),
];

/// The resource that a path (in lower case, below the organization) belongs to.
pub(super) fn find(path: &[&str]) -> Option<&'static Location> {
    let matching = LOCATIONS
        .iter()
        .filter_map(|location| Some((location.matches(path)?, location)));
    Some(matching.max_by_key(|(literals, _)| *literals)?.1)
}

/// `OPTIONS _apis`: the resources of a host.
pub(super) fn of(service: Service) -> Vec<Value> {
    let here = LOCATIONS.iter().filter(|location| location.service.is_at(service));
    here.map(Location::json).collect()
}

/// `GET _apis/ResourceAreas`: where the client of each area finds it. `url` gives the address of a service.
pub(super) fn areas(url: impl Fn(Service) -> String) -> Vec<Value> {
    let area = |(id, name, service): &(&str, &str, Service)| json!({ "id": id, "name": name, "locationUrl": format!("{}/", url(*service)) });
    AREAS.iter().map(area).collect()
}

impl Location {
    /// How many segments of the route are literal, if the path is of this route. Values at its end may be missing.
    fn matches(&self, path: &[&str]) -> Option<usize> {
        let mut segments = path.iter();
        let mut literals = 0;
        for part in self.route.split('/') {
            let wanted = match part {
                "{area}" => Some(self.area),
                "{resource}" => Some(self.resource),
                value if value.starts_with('{') => None,
                literal => Some(literal),
            };
            match (segments.next(), wanted) {
                (Some(segment), Some(wanted)) if segment.eq_ignore_ascii_case(wanted) => literals += 1,
                (Some(_) | None, Some(_)) => return None,
                (Some(_) | None, None) => {}
            }
        }
        segments.next().is_none().then_some(literals)
    }

    /// Whether it is found at a host of this service.
    pub(super) fn is_at(&self, host: Service) -> bool {
        self.service.is_at(host)
    }

    /// Area and resource, as refusals name the route.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.area, self.resource)
    }

    /// The version with which the service answers where none was asked for: the newest released one, else the newest.
    pub(super) fn default_version(&self) -> String {
        if self.released == NEVER_RELEASED {
            format!("{NEWEST}-preview.{}", self.revision)
        } else {
            self.released.to_string()
        }
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "area": self.area,
            "resourceName": self.resource,
            "routeTemplate": self.route,
            "resourceVersion": self.revision,
            "minVersion": self.min.to_string(),
            "maxVersion": NEWEST.to_string(),
            "releasedVersion": self.released.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> Option<&'static str> {
        let path = path.to_ascii_lowercase();
        find(&path.split('/').collect::<Vec<_>>()).map(|location| location.resource)
    }

    #[test]
    fn a_path_belongs_to_the_resource_whose_route_says_most() {
        for (path, expected) in [
            ("_apis/distributedtask/pools", Some("pools")),
            ("_apis/DistributedTask/pools/7", Some("pools")),
            ("_apis/distributedtask/pools/7/agents", Some("agents")),
            ("_apis/distributedtask/pools/7/agents/3", Some("agents")),
            ("_apis/distributedtask/pools/7/agents/3/updates", Some("updates")),
            ("_apis/distributedtask/pools/7/permissions/2", Some("permissions")),
            ("_apis/distributedtask/packages/agent", Some("packages")),
            ("_apis/connectionData", Some("ConnectionData")),
            ("_apis/resourceAreas", Some("ResourceAreas")),
            (
                "_apis/serviceprincipalentitlements/x",
                Some("ServicePrincipalEntitlements"),
            ),
            ("_apis/memberentitlements", Some("MemberEntitlements")),
            (
                "_apis/securityroles/scopes/s/roleassignments/resources/7",
                Some("roleassignments"),
            ),
            ("_apis/customerintelligence/events", Some("events")),
            ("_apis/distributedtask", None),
            ("_apis/distributedtask/pools/7/agents/3/nothing", None),
        ] {
            assert_eq!(resource(path), expected, "{path}");
        }
    }

    #[test]
    fn every_location_has_its_own_id() {
        let mut ids: Vec<&str> = LOCATIONS.iter().map(|location| location.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), LOCATIONS.len());
    }
}

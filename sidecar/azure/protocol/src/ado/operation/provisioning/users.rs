//! Users of the organization that are service principals: managed identities and enterprise applications.

use super::super::{Endpoint, Operation, Right, Service, Subject};
use super::{PREVIEW, endpoint};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a user may do, by its license (`accountLicenseType`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum License {
    /// Basic (`express`) or more.
    Enough(String),
    /// Stakeholder, or none: pools can be looked at, whatever the role.
    TooLittle(String),
}

impl License {
    pub(super) fn of(word: &str) -> Self {
        let poor = ["stakeholder", "none"]
            .iter()
            .any(|poor| poor.eq_ignore_ascii_case(word));
        if poor {
            Self::TooLittle(word.to_owned())
        } else {
            Self::Enough(word.to_owned())
        }
    }
}

/// A service principal that is a user of the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePrincipal {
    /// Its identity ID in Azure DevOps, which roles are given to.
    pub id: String,
    /// Object ID in Entra: of the managed identity, or of the enterprise application.
    pub object_id: String,
    /// Display name.
    pub name: String,
    /// Its license.
    pub license: License,
}

/// One page of the service principals that are users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePrincipalPage {
    /// Those of this page.
    pub users: Vec<ServicePrincipal>,
    /// What asks for the next page; `None`: this is the last.
    pub next: Option<String>,
}

/// The users of the organization that are service principals, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePrincipals {
    /// [`ServicePrincipalPage::next`] of the page before.
    pub page: Option<String>,
}

/// Makes a service principal a user of the organization with the license Basic; one that is a user already keeps its ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddServicePrincipal {
    /// Object ID in Entra.
    pub object_id: String,
    /// Display name.
    pub name: String,
}

/// Takes a service principal out of the organization, with its license and its roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveServicePrincipal {
    /// Its identity ID in Azure DevOps.
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPage {
    // Documented as an array and seen with `items`; older revisions call it `members`.
    #[serde(alias = "members", alias = "value")]
    items: Vec<RawMember>,
    #[serde(default)]
    continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMember {
    id: String,
    #[serde(alias = "servicePrincipal")]
    member: RawSubject,
    access_level: Option<RawAccessLevel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSubject {
    #[serde(default)]
    origin_id: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAccessLevel {
    account_license_type: Option<String>,
}

impl RawMember {
    fn read(self) -> Option<ServicePrincipal> {
        let license = self.access_level.and_then(|level| level.account_license_type);
        Some(ServicePrincipal {
            id: self.id,
            object_id: self.member.origin_id?,
            name: self.member.display_name.unwrap_or_default(),
            license: License::of(license.as_deref().unwrap_or("none")),
        })
    }
}

impl Operation for ServicePrincipals {
    type Output = ServicePrincipalPage;

    fn name(&self) -> &'static str {
        "list-service-principals"
    }

    fn endpoint(&self) -> Endpoint {
        let mut query = vec![("$filter", "userType eq 'application'"), ("$orderBy", "name Ascending")];
        query.extend(self.page.as_deref().map(|page| ("continuationToken", page)));
        query.push(("api-version", "7.1-preview.2"));
        endpoint(
            Service::Entitlements,
            Method::GET,
            &["memberentitlements"],
            &query,
            None,
        )
    }

    fn read(&self, body: &[u8]) -> Option<ServicePrincipalPage> {
        let page: RawPage = serde_json::from_slice(body).ok()?;
        Some(ServicePrincipalPage {
            users: page.items.into_iter().filter_map(RawMember::read).collect(),
            next: page.continuation_token.filter(|token| !token.is_empty()),
        })
    }

    fn action(&self) -> String {
        "list the users that are service principals".to_owned()
    }

    fn subject(&self) -> Subject {
        Subject::Organization
    }

    fn right(&self) -> Right {
        Right::CollectionAdministrator
    }
}

impl Operation for AddServicePrincipal {
    /// Its identity ID in Azure DevOps, or why the service refuses it: a refusal has status 200, too.
    type Output = Result<String, String>;

    fn name(&self) -> &'static str {
        "add-service-principal"
    }

    fn endpoint(&self) -> Endpoint {
        let body = json!({
            "accessLevel": {"accountLicenseType": "express"},
            "projectEntitlements": [],
            "servicePrincipal": {
                "displayName": self.name,
                "originId": self.object_id,
                "origin": "aad",
                "subjectKind": "servicePrincipal",
            },
        });
        endpoint(
            Service::Entitlements,
            Method::POST,
            &["serviceprincipalentitlements"],
            &[PREVIEW],
            Some(body),
        )
    }

    fn read(&self, body: &[u8]) -> Option<Self::Output> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let result = body.get("operationResult")?;
        if result.get("isSuccess")?.as_bool()? {
            return Some(Ok(result.pointer("/result/id")?.as_str()?.to_owned()));
        }
        let errors = result.get("errors").and_then(Value::as_array).into_iter().flatten();
        let errors: Vec<&str> = errors.filter_map(|error| error.get("value")?.as_str()).collect();
        Some(Err(if errors.is_empty() {
            "no reason was given".to_owned()
        } else {
            errors.join("; ")
        }))
    }

    fn action(&self) -> String {
        format!("make {} a user", self.name)
    }

    fn subject(&self) -> Subject {
        Subject::Organization
    }

    fn right(&self) -> Right {
        Right::CollectionAdministrator
    }
}

impl Operation for RemoveServicePrincipal {
    type Output = ();

    fn name(&self) -> &'static str {
        "remove-service-principal"
    }

    fn endpoint(&self) -> Endpoint {
        endpoint(
            Service::Entitlements,
            Method::DELETE,
            &["serviceprincipalentitlements", &self.id],
            &[PREVIEW],
            None,
        )
    }

    fn read(&self, _: &[u8]) -> Option<()> {
        Some(())
    }

    fn action(&self) -> String {
        "take the user out of the organization".to_owned()
    }

    fn subject(&self) -> Subject {
        Subject::Organization
    }

    fn right(&self) -> Right {
        Right::CollectionAdministrator
    }
}

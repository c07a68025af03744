//! Which organization and which of Azure DevOps' services a request is for: from the host and the first segment of the path.

use crate::http::Request;

/// A part of Azure DevOps with a host of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// `dev.azure.com` and `ORGANIZATION.visualstudio.com`: pools, agents, jobs, roles.
    Main,
    /// `vsaex.…`: user entitlements.
    Entitlements,
    /// `vssps.…`: the agents' own tokens.
    Identity,
    /// Any other host, such as an IP address: everything is there. Of a resource: it is on every host.
    Any,
}

impl Service {
    /// Whether a resource of this service is found at a host of that one.
    pub(super) fn is_at(self, host: Self) -> bool {
        self == host || self == Self::Any || host == Self::Any
    }

    /// The part of the host name that tells the services apart.
    fn label(self) -> &'static str {
        match self {
            Self::Main | Self::Any => "",
            Self::Entitlements => "vsaex.",
            Self::Identity => "vssps.",
        }
    }
}

const COLLECTION: &str = "DefaultCollection";

/// Where a request goes.
pub(super) struct Target {
    pub(super) organization: String,
    /// The organization's URL as the client addresses it.
    pub(super) base: String,
    /// Segments behind the organization.
    pub(super) rest: Vec<String>,
    /// Whose host was asked.
    pub(super) service: Service,
    form: Form,
    port: String,
}

/// The sign-in page: on a host of its own for Azure's names, else here.
pub(super) fn sign_in(request: &Request) -> String {
    let host = request.host();
    if host == "dev.azure.com" || host.ends_with(".dev.azure.com") || host.ends_with(".visualstudio.com") {
        let port = port(request);
        return format!("https://spsprodweu4.vssps.visualstudio.com{port}/_signin");
    }
    format!("{}/_signin", request.origin())
}

/// With a colon, if the client named one.
fn port(request: &Request) -> String {
    let host = request.host();
    request.authority.get(host.len()..).unwrap_or_default().to_owned()
}

/// How the organization is written.
enum Form {
    /// `https://dev.azure.com/ORGANIZATION`.
    Path,
    /// `https://ORGANIZATION.visualstudio.com`.
    Legacy,
    /// A host that Azure does not know.
    Elsewhere,
}

impl Target {
    /// `None` where the request names no organization.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let host = request.host();
        let port = port(request);
        let mut rest = request.segments.clone();
        if let Some(name) = host.strip_suffix(".visualstudio.com") {
            let (organization, service) = match name.split_once('.') {
                None => (name, Service::Main),
                Some((organization, "vsaex")) => (organization, Service::Entitlements),
                Some((organization, "vssps")) => (organization, Service::Identity),
                Some(_) => return None,
            };
            let target = Self {
                organization: organization.to_owned(),
                base: request.origin(),
                rest,
                service,
                form: Form::Legacy,
                port,
            };
            return Some(target.in_collection());
        }
        if rest.is_empty() {
            return None;
        }
        let (service, form) = match host.as_str() {
            "dev.azure.com" => (Service::Main, Form::Path),
            "vsaex.dev.azure.com" => (Service::Entitlements, Form::Path),
            "vssps.dev.azure.com" => (Service::Identity, Form::Path),
            _ => (Service::Any, Form::Elsewhere),
        };
        let organization = rest.remove(0);
        let target = Self {
            base: format!("{}/{organization}", request.origin()),
            organization,
            rest,
            service,
            form,
            port,
        };
        Some(target.in_collection())
    }

    /// Older URLs name the one collection of an organization.
    fn in_collection(mut self) -> Self {
        if self.rest.first().is_some_and(|first| first == COLLECTION) {
            self.rest.remove(0);
            self.base = format!("{}/{COLLECTION}", self.base);
        }
        self
    }

    /// Where agents get their own tokens: on a host of the organization, in whichever form that is written
    /// (azure-pipelines-agent#1775, #2171).
    pub(super) fn token_url(&self) -> String {
        let (organization, port) = (&self.organization, &self.port);
        match self.form {
            Form::Path | Form::Legacy => {
                format!("https://{organization}.vssps.visualstudio.com{port}/_apis/oauth2/token")
            }
            Form::Elsewhere => format!("{}/_apis/oauth2/token", self.base),
        }
    }

    /// The older URL of the organization, with its collection.
    pub(super) fn collection_url(&self) -> String {
        let (organization, port) = (&self.organization, &self.port);
        match self.form {
            Form::Path | Form::Legacy => format!("https://{organization}.visualstudio.com{port}/{COLLECTION}"),
            Form::Elsewhere => format!("{}/{COLLECTION}", self.base),
        }
    }

    /// The organization's URL at a service, in the form in which the client addresses it, without a slash at its end.
    pub(super) fn url(&self, service: Service) -> String {
        let (organization, label, port) = (&self.organization, service.label(), &self.port);
        match self.form {
            Form::Path => format!("https://{label}dev.azure.com{port}/{organization}"),
            Form::Legacy => format!("https://{organization}.{label}visualstudio.com{port}"),
            Form::Elsewhere => self.base.clone(),
        }
    }
}

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

/// Where a request goes.
pub(super) struct Target {
    pub(super) organisation: String,
    /// The organization's URL as the client addresses it.
    pub(super) base: String,
    /// Segments behind the organization.
    pub(super) rest: Vec<String>,
    /// Whose host was asked.
    pub(super) service: Service,
    form: Form,
    /// With a colon, if the client named one.
    port: String,
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
        let port = request.authority[host.len().min(request.authority.len())..].to_owned();
        let mut rest = request.segments.clone();
        if let Some(name) = host.strip_suffix(".visualstudio.com") {
            let (organisation, service) = match name.split_once('.') {
                None => (name, Service::Main),
                Some((organisation, "vsaex")) => (organisation, Service::Entitlements),
                Some((organisation, "vssps")) => (organisation, Service::Identity),
                Some(_) => return None,
            };
            return Some(Self {
                organisation: organisation.to_owned(),
                base: request.origin(),
                rest,
                service,
                form: Form::Legacy,
                port,
            });
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
        let organisation = rest.remove(0);
        Some(Self {
            base: format!("{}/{organisation}", request.origin()),
            organisation,
            rest,
            service,
            form,
            port,
        })
    }

    /// The organization's URL at a service, in the form in which the client addresses it, without a slash at its end.
    pub(super) fn url(&self, service: Service) -> String {
        let (organisation, label, port) = (&self.organisation, service.label(), &self.port);
        match self.form {
            Form::Path => format!("https://{label}dev.azure.com{port}/{organisation}"),
            Form::Legacy => format!("https://{organisation}.{label}visualstudio.com{port}"),
            Form::Elsewhere => self.base.clone(),
        }
    }
}

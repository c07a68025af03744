//! Organisation URL, pool and agent name: where they are found, what the sidecar is told, what the agent container lacks.
//! Also the proxies on the way to them.

use crate::environment::{Environment, Found, unescape};
use crate::overrides::Overrides;
use crate::text::quote;
use crate::url::organisation_url;
use crate::variable::{Variable, field, literal};
use crate::{Denial, Settings};
use contract::Reason;
use std::borrow::Cow;

/// Where a setting may be found when the container starts.
const ENV_FROM: &str = "envFrom";

/// Position of an entry of the agent container that the sidecar gets a copy of, and its name there.
type Copied = (usize, &'static str);

/// What is set on the sidecar and on the agent container.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Organisation<'a> {
    /// Variables of the sidecar.
    pub(crate) sidecar: Vec<Variable<'a>>,
    /// Variables that the agent container lacks, and the position of an empty entry that each replaces.
    pub(crate) agent: Vec<(Option<usize>, Variable<'a>)>,
    pub(crate) warnings: Vec<String>,
    /// Where URL, pool and name were found, as the status annotation says it.
    pub(crate) sources: [&'static str; 3],
}

/// One of the settings.
struct Wanted<'a, 'w> {
    /// The start script's variable.
    variable: &'static str,
    /// The sidecar's variables: what wins, and what a source of `envFrom` may say.
    explicit: &'static str,
    from: &'static str,
    /// The sidecar's variable for what counts when nothing else does.
    fallback: Option<&'static str>,
    annotation: Option<(&'static str, Cow<'a, str>)>,
    default: Option<Fallback<'a>>,
    /// Whether the container's value means the same as the annotation's.
    same: &'w dyn Fn(&str, &str) -> bool,
}

/// What counts where the pod says nothing.
#[derive(Clone, Copy)]
enum Fallback<'a> {
    /// A value of the operator's.
    Operator(&'a str),
    /// A value of ours.
    BuiltIn(&'a str),
    /// The pod's name, which nobody knows yet.
    PodName,
}

impl<'a> Fallback<'a> {
    fn source(self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::BuiltIn(_) => "default",
            Self::PodName => "pod-name",
        }
    }

    fn entry(self, name: &'static str) -> Variable<'a> {
        match self {
            Self::Operator(value) | Self::BuiltIn(value) => literal(name, value),
            Self::PodName => field(name, "metadata.name"),
        }
    }
}

/// Finds all three, and the proxies on the way to them.
pub(crate) fn find<'a>(
    agent: &str,
    environment: &Environment<'a>,
    overrides: &Overrides<'a>,
    settings: &'a Settings,
) -> Result<Organisation<'a>, Denial> {
    if let Found::Literal(_, url) = environment.find(contract::AZP_URL_VARIABLE) {
        organisation_url(&unescape(url), &settings.allowed_hosts).map_err(|sentence| {
            let place = format!("{} of container {}", contract::AZP_URL_VARIABLE, quote(agent));
            Denial::new(Reason::BadUrl, format!("{place} is {sentence}"))
        })?;
    }
    let same_url = |theirs: &str, ours: &str| {
        organisation_url(theirs, &settings.allowed_hosts).is_ok_and(|theirs| theirs.eq_ignore_ascii_case(ours))
    };
    let wanted = [
        Wanted {
            variable: contract::AZP_URL_VARIABLE,
            explicit: contract::URL_VARIABLE,
            from: contract::URL_FROM_VARIABLE,
            fallback: Some(contract::URL_DEFAULT_VARIABLE),
            annotation: overrides.url.clone().map(|url| (contract::URL_ANNOTATION, url.into())),
            default: settings.url.as_deref().map(Fallback::Operator),
            same: &same_url,
        },
        Wanted {
            variable: contract::AZP_POOL_VARIABLE,
            explicit: contract::POOL_VARIABLE,
            from: contract::POOL_FROM_VARIABLE,
            fallback: Some(contract::POOL_DEFAULT_VARIABLE),
            annotation: overrides.pool.map(|pool| (contract::POOL_ANNOTATION, pool.into())),
            default: Some(match &settings.pool {
                Some(pool) => Fallback::Operator(pool),
                None => Fallback::BuiltIn(contract::DEFAULT_POOL),
            }),
            same: &str::eq_ignore_ascii_case,
        },
        Wanted {
            variable: contract::AZP_AGENT_NAME_VARIABLE,
            explicit: contract::AGENT_NAME_VARIABLE,
            from: contract::AGENT_NAME_FROM_VARIABLE,
            fallback: None,
            annotation: None,
            default: Some(Fallback::PodName),
            same: &|theirs, ours| theirs == ours,
        },
    ];
    let mut found = Organisation::default();
    let (mut copies, proxies) = proxies(environment, settings);
    found.sidecar.extend(proxies);
    for (nth, wanted) in wanted.iter().enumerate() {
        found.sources[nth] = one(agent, environment, wanted, &mut found, &mut copies)?;
    }
    found.sidecar.extend(environment.copies(&copies)?);
    Ok(found)
}

/// Finds one setting and says where.
fn one<'a>(
    agent: &str,
    environment: &Environment<'a>,
    wanted: &Wanted<'a, '_>,
    found: &mut Organisation<'a>,
    copies: &mut Vec<Copied>,
) -> Result<&'static str, Denial> {
    let place = environment.find(wanted.variable);
    if let Some((key, value)) = &wanted.annotation {
        found.sidecar.push(literal(wanted.explicit, value.clone()));
        match place {
            Found::Literal(_, theirs) if !(wanted.same)(&unescape(theirs), value) => {
                return Err(conflict(agent, wanted.variable, &unescape(theirs), key, value));
            }
            Found::Literal(..) => {}
            Found::Dynamic(_) => found.warnings.push(format!(
                "annotation {key} is used, but {} of container {} is set from elsewhere and must say the same",
                wanted.variable,
                quote(agent)
            )),
            Found::Blank(index) => found.agent.push((Some(index), literal(wanted.variable, value.clone()))),
            // An explicit annotation hides what a source may bring.
            Found::Perhaps | Found::Absent => found.agent.push((None, literal(wanted.variable, value.clone()))),
        }
        return Ok("annotation");
    }
    let replaced = match place {
        Found::Literal(index, _) | Found::Dynamic(index) => {
            copies.push((index, wanted.explicit));
            return Ok("container");
        }
        Found::Perhaps => {
            found
                .sidecar
                .extend(environment.numbered_references(wanted.variable, wanted.from));
            let default = wanted.fallback.zip(wanted.default);
            found.sidecar.extend(default.map(|(name, default)| default.entry(name)));
            return Ok(ENV_FROM);
        }
        Found::Blank(index) => Some(index),
        Found::Absent => None,
    };
    let Some(default) = wanted.default else {
        return Err(no_url(agent));
    };
    found
        .sidecar
        .push(default.entry(wanted.fallback.unwrap_or(wanted.explicit)));
    found.agent.push((replaced, default.entry(wanted.variable)));
    Ok(default.source())
}

/// Start scripts that find no name take the host's, which in the node's network is the same for all agents of the node: each
/// would replace the one before. Only where `envFrom` may bring a name do we not set one.
pub(crate) fn shared_name_warning(agent: &str, name_source: &str, on_host_network: bool) -> Option<String> {
    (on_host_network && name_source == ENV_FROM).then(|| {
        format!(
            "hostNetwork: unless the envFrom of container {} brings {}, all agents of a node take the node's name and replace \
             each other; set it from metadata.name",
            quote(agent),
            contract::AZP_AGENT_NAME_VARIABLE
        )
    })
}

fn conflict(agent: &str, variable: &str, theirs: &str, key: &str, value: &str) -> Denial {
    Denial::new(
        Reason::Conflict,
        format!(
            "annotation {key} is {}, but {variable} of container {} is {}; remove one of them",
            quote(value),
            quote(agent),
            quote(theirs)
        ),
    )
}

fn no_url(agent: &str) -> Denial {
    Denial::new(
        Reason::NoUrl,
        format!(
            "no organisation URL: set {} on container {} or annotation {} on the pod, for instance to \
             \"https://dev.azure.com/ORGANISATION\"",
            contract::AZP_URL_VARIABLE,
            quote(agent),
            contract::URL_ANNOTATION
        ),
    )
}

/// The proxy variables: copies of the agent container's entries, else the operator's.
fn proxies<'a>(environment: &Environment<'_>, settings: &'a Settings) -> (Vec<Copied>, Vec<Variable<'a>>) {
    let mut copies = Vec::new();
    for name in contract::PROXY_VARIABLES {
        copies.extend(environment.positions(name).next_back().map(|index| (index, *name)));
    }
    if !copies.is_empty() {
        return (copies, Vec::new());
    }
    let operator = [("HTTPS_PROXY", &settings.https_proxy), ("NO_PROXY", &settings.no_proxy)];
    let set = operator
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| literal(name, value)));
    (copies, set.collect())
}

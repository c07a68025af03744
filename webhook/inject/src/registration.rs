//! Where the agent registers (organization URL, pool, agent name): where that is found, what the sidecar gets of it, and what
//! the agent container lacks.

use crate::env_var::{EnvVar, field, literal};
use crate::environment::{Environment, Found, unescape};
use crate::handoff::Setting;
use crate::origin::Origin;
use crate::overrides::Overrides;
use crate::pod::Sharing;
use crate::proxy::Copied;
use crate::recipes::{self, NAMES, POOLS, Spelling, URLS};
use crate::text::quote;
use crate::{Denial, Settings};
use contract::{DenyReason, OrganizationUrl};
use std::borrow::Cow;

/// Under this name the sidecar gets a copy of the organization's name, where it is known at run time only.
const ACCOUNT_COPY: &str = "ADO_AGENT_REF_VSTS_ACCOUNT";

/// Where URL, pool and name were found, and what that means for the two containers.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) url: Origin,
    pub(crate) pool: Origin,
    pub(crate) name: Origin,
    pub(crate) containers: Containers<'a>,
}

/// What is set on the sidecar and on the agent container.
#[derive(Debug, Default)]
pub(crate) struct Containers<'a> {
    /// Variables of the sidecar.
    pub(crate) sidecar: Vec<EnvVar<'a>>,
    /// Entries of the agent container that the sidecar gets a copy of.
    pub(crate) copies: Vec<Copied>,
    /// The organization URL of the sidecar, where it is made of a name that is copied: it has to come after that.
    pub(crate) account_url: Option<EnvVar<'a>>,
    /// Variables that the agent container lacks, and the position of an empty entry that each replaces.
    pub(crate) agent: Vec<Setting<'a>>,
    pub(crate) warnings: Vec<String>,
}

/// One of the three settings, and the variables that may hold it.
struct Wanted<'a, 'w> {
    /// The start scripts' variables, the one of the newest recipe first.
    variables: &'static [Spelling; 3],
    /// The sidecar's variables: what wins, and what a source of `envFrom` may say of the first spelling.
    explicit: &'static str,
    from: &'static str,
    /// The sidecar's variable for what counts when nothing else does.
    fallback: Option<&'static str>,
    annotation: Option<(&'static str, Cow<'a, str>)>,
    default: Option<Fallback<'a>>,
    /// Whether two values mean the same.
    same: &'w dyn Fn(&str, &str) -> bool,
}

/// What counts where the pod says nothing.
#[derive(Clone, Copy)]
enum Fallback<'a> {
    /// The operator's setting.
    Operator(&'a str),
    /// A default of the product.
    BuiltIn(&'a str),
    /// The pod's name, which may not exist yet.
    PodName,
}

impl<'a> Fallback<'a> {
    fn origin(self) -> Origin {
        match self {
            Self::Operator(_) => Origin::Operator,
            Self::BuiltIn(_) => Origin::Default,
            Self::PodName => Origin::PodName,
        }
    }

    fn entry(self, name: &'static str) -> EnvVar<'a> {
        match self {
            Self::Operator(value) | Self::BuiltIn(value) => literal(name, value),
            Self::PodName => field(name, "metadata.name"),
        }
    }
}

/// Finds organization URL, pool and agent name.
pub(crate) fn find<'a>(
    agent: &str,
    environment: &Environment<'a>,
    overrides: &Overrides<'a>,
    settings: &'a Settings,
) -> Result<Registration<'a>, Denial> {
    recipes::check_literals(agent, environment, settings)?;
    let same_url = |theirs: &str, ours: &str| {
        let organization = |url| OrganizationUrl::parse(url, &settings.allowed_hosts).ok();
        match (organization(theirs), organization(ours)) {
            (Some(theirs), Some(ours)) => theirs.organization().eq_ignore_ascii_case(ours.organization()),
            (None, _) | (_, None) => false,
        }
    };
    let url = Wanted {
        variables: &URLS,
        explicit: contract::URL_VARIABLE,
        from: contract::URL_FROM_VARIABLE,
        fallback: Some(contract::URL_DEFAULT_VARIABLE),
        annotation: overrides
            .url
            .as_ref()
            .map(|url| (contract::URL_ANNOTATION, url.to_string().into())),
        default: settings.url.as_ref().map(|url| Fallback::Operator(url.as_str())),
        same: &same_url,
    };
    let pool = Wanted {
        variables: &POOLS,
        explicit: contract::POOL_VARIABLE,
        from: contract::POOL_FROM_VARIABLE,
        fallback: Some(contract::POOL_DEFAULT_VARIABLE),
        annotation: overrides.pool.map(|pool| (contract::POOL_ANNOTATION, pool.into())),
        default: Some(match &settings.pool {
            Some(pool) => Fallback::Operator(pool),
            None => Fallback::BuiltIn(contract::DEFAULT_POOL),
        }),
        same: &str::eq_ignore_ascii_case,
    };
    let name = Wanted {
        variables: &NAMES,
        explicit: contract::AGENT_NAME_VARIABLE,
        from: contract::AGENT_NAME_FROM_VARIABLE,
        fallback: None,
        annotation: None,
        default: Some(Fallback::PodName),
        same: &|theirs, ours| theirs == ours,
    };
    let mut containers = Containers::default();
    Ok(Registration {
        url: one(agent, environment, &url, &mut containers)?,
        pool: one(agent, environment, &pool, &mut containers)?,
        name: one(agent, environment, &name, &mut containers)?,
        containers,
    })
}

/// Finds one setting and says where.
fn one<'a>(
    agent: &str,
    environment: &Environment<'a>,
    wanted: &Wanted<'a, '_>,
    found: &mut Containers<'a>,
) -> Result<Origin, Denial> {
    let newest = wanted.variables[0].variable;
    let places = || {
        let find = |spelling: &'static Spelling| (spelling, environment.find(spelling.variable));
        wanted.variables.iter().map(find)
    };
    let blank = match environment.find(newest) {
        Found::Blank(index) => Some(index),
        Found::Literal(..) | Found::Dynamic(_) | Found::Perhaps | Found::Absent => None,
    };
    let is_set = |place: &Found<'_>| matches!(place, Found::Literal(..) | Found::Dynamic(_));
    if let Some((key, value)) = &wanted.annotation {
        found.sidecar.push(literal(wanted.explicit, value.clone()));
        for (spelling, place) in places() {
            let variable = spelling.variable;
            match place {
                Found::Literal(_, theirs) if !(wanted.same)(&spelling.value(theirs), value) => {
                    return Err(conflict(agent, variable, &unescape(theirs), key, value));
                }
                Found::Dynamic(_) => found.warnings.push(format!(
                    "annotation {key} is used, but {variable} of container {} comes from a reference (valueFrom, envFrom) and must have the same value",
                    quote(agent)
                )),
                Found::Literal(..) | Found::Blank(_) | Found::Perhaps | Found::Absent => {}
            }
        }
        // An explicit annotation hides what a source may bring.
        if !is_set(&environment.find(newest)) {
            found.agent.push((blank, literal(newest, value.clone())));
        }
        return Ok(Origin::Annotation);
    }
    if let Some((spelling, place)) = places().find(|(_, place)| is_set(place)) {
        found
            .warnings
            .extend(disagreement(agent, spelling, place, places(), wanted));
        explicit(spelling, place, wanted, found);
        return Ok(Origin::Container);
    }
    if places().any(|(_, place)| place == Found::Perhaps) {
        let references = environment.numbered_references(newest, wanted.from);
        found.sidecar.extend(references);
        for spelling in &wanted.variables[1..] {
            if environment.find(spelling.variable) == Found::Perhaps {
                found.sidecar.extend(environment.brought(spelling.variable));
            }
        }
        let default = wanted.fallback.zip(wanted.default);
        found.sidecar.extend(default.map(|(name, default)| default.entry(name)));
        return Ok(Origin::EnvFrom);
    }
    let Some(default) = wanted.default else {
        return Err(no_url(agent));
    };
    if let Fallback::BuiltIn(value) = default {
        found.warnings.push(format!(
            "container {}: no pool is named, so {newest} is set to {}, whatever the image's own environment says; name the pool in the \
             pod template",
            quote(agent),
            quote(value)
        ));
    }
    found
        .sidecar
        .push(default.entry(wanted.fallback.unwrap_or(wanted.explicit)));
    found.agent.push((blank, default.entry(newest)));
    Ok(default.origin())
}

/// The sidecar gets what the container says. A container of an older recipe also gets the newer name of it, so that there is
/// one answer whichever its start script reads.
fn explicit<'a>(spelling: &'static Spelling, place: Found<'a>, wanted: &Wanted<'a, '_>, found: &mut Containers<'a>) {
    let variable = spelling.variable;
    let newest = wanted.variables[0].variable;
    match place {
        Found::Literal(_, text) if spelling.is_account => {
            found.sidecar.push(literal(wanted.explicit, spelling.value(text)));
        }
        Found::Dynamic(index) if spelling.is_account => {
            found.copies.push((index, ACCOUNT_COPY));
            found.account_url = Some(EnvVar::Value {
                name: wanted.explicit.into(),
                value: contract::account_url(&format!("$({ACCOUNT_COPY})")).into(),
            });
        }
        Found::Literal(index, _) | Found::Dynamic(index) => found.copies.push((index, wanted.explicit)),
        Found::Blank(_) | Found::Perhaps | Found::Absent => {}
    }
    if variable != newest {
        let reference = format!("$({variable})");
        let value = if spelling.is_account {
            contract::account_url(&reference)
        } else {
            reference
        };
        found.agent.push((
            None,
            EnvVar::Value {
                name: newest.into(),
                value: value.into(),
            },
        ));
    }
}

/// A second recipe's variable that says something else.
fn disagreement<'a>(
    agent: &str,
    first: &Spelling,
    place: Found<'_>,
    places: impl Iterator<Item = (&'static Spelling, Found<'a>)>,
    wanted: &Wanted<'_, '_>,
) -> Option<String> {
    let Found::Literal(_, ours) = place else { return None };
    let ours = first.value(ours);
    let differs = |(spelling, place): &(&Spelling, Found<'_>)| match place {
        Found::Literal(_, theirs) => !(wanted.same)(&spelling.value(theirs), &ours),
        Found::Dynamic(_) | Found::Blank(_) | Found::Perhaps | Found::Absent => false,
    };
    let (other, _) = places.into_iter().find(differs)?;
    Some(format!(
        "container {}: {} and {} differ, and {} is used; an image that reads {} registers elsewhere: remove one of them",
        quote(agent),
        first.variable,
        other.variable,
        first.variable,
        other.variable
    ))
}

/// Start scripts that find no name take the host's, which in the node's network is the same for all agents of the node: each
/// would replace the one before. Only where `envFrom` may bring a name do we not set one.
pub(crate) fn shared_name_warning(agent: &str, name: Origin, sharing: &Sharing) -> Option<String> {
    (sharing.host_network && name == Origin::EnvFrom).then(|| {
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
        DenyReason::Conflict,
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
        DenyReason::NoUrl,
        format!(
            "no organization URL: set {} on container {} or annotation {} on the pod, for instance to \
             \"https://dev.azure.com/ORGANIZATION\"",
            contract::AZP_URL_VARIABLE,
            quote(agent),
            contract::URL_ANNOTATION
        ),
    )
}

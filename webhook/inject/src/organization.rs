//! Organization URL, pool and agent name: where they are found, what the sidecar is told, what the agent container lacks.

use crate::environment::{Environment, Found, unescape};
use crate::overrides::Overrides;
use crate::proxies::{Copied, proxies};
use crate::recipes::{self, NAMES, POOLS, Spelling, URLS};
use crate::text::quote;
use crate::url::{organization_of, organization_url};
use crate::variable::{Variable, field, literal};
use crate::{Denial, Settings};
use contract::DenyReason;
use std::borrow::Cow;

/// Where a setting may be found when the container starts.
const ENV_FROM: &str = "envFrom";

/// Under this name the sidecar gets a copy of the organization's name, where it is known at run time only.
const ACCOUNT_COPY: &str = "ADO_AGENT_REF_VSTS_ACCOUNT";

/// What is set on the sidecar and on the agent container.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Organization<'a> {
    /// Variables of the sidecar.
    pub(crate) sidecar: Vec<Variable<'a>>,
    /// Variables that the agent container lacks, and the position of an empty entry that each replaces.
    pub(crate) agent: Vec<(Option<usize>, Variable<'a>)>,
    pub(crate) warnings: Vec<String>,
    /// The organization URL, where it is made of a name that is copied: it has to stand behind that.
    account: Option<Variable<'a>>,
    /// Where URL, pool and name were found, as the status annotation says it.
    pub(crate) sources: [&'static str; 3],
}

/// One of the settings.
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
) -> Result<Organization<'a>, Denial> {
    recipes::check_literals(agent, environment, settings)?;
    let same_url = |theirs: &str, ours: &str| {
        let organization = |url| organization_url(url, &settings.allowed_hosts).ok();
        match (organization(theirs), organization(ours)) {
            (Some(theirs), Some(ours)) => organization_of(&theirs).eq_ignore_ascii_case(organization_of(&ours)),
            (None, _) | (_, None) => false,
        }
    };
    let wanted = [
        Wanted {
            variables: &URLS,
            explicit: contract::URL_VARIABLE,
            from: contract::URL_FROM_VARIABLE,
            fallback: Some(contract::URL_DEFAULT_VARIABLE),
            annotation: overrides.url.clone().map(|url| (contract::URL_ANNOTATION, url.into())),
            default: settings.url.as_deref().map(Fallback::Operator),
            same: &same_url,
        },
        Wanted {
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
        },
        Wanted {
            variables: &NAMES,
            explicit: contract::AGENT_NAME_VARIABLE,
            from: contract::AGENT_NAME_FROM_VARIABLE,
            fallback: None,
            annotation: None,
            default: Some(Fallback::PodName),
            same: &|theirs, ours| theirs == ours,
        },
    ];
    let mut found = Organization::default();
    let (mut copies, proxies) = proxies(environment, settings);
    found.sidecar.extend(proxies);
    for (nth, wanted) in wanted.iter().enumerate() {
        found.sources[nth] = one(agent, environment, wanted, &mut found, &mut copies)?;
    }
    found.sidecar.extend(environment.copies(&copies)?);
    found.sidecar.extend(found.account.take());
    environment.check_size(&found.sidecar)?;
    Ok(found)
}

/// Finds one setting and says where.
fn one<'a>(
    agent: &str,
    environment: &Environment<'a>,
    wanted: &Wanted<'a, '_>,
    found: &mut Organization<'a>,
    copies: &mut Vec<Copied>,
) -> Result<&'static str, Denial> {
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
                    "annotation {key} is used, but {variable} of container {} is set from elsewhere and must say the same",
                    quote(agent)
                )),
                Found::Literal(..) | Found::Blank(_) | Found::Perhaps | Found::Absent => {}
            }
        }
        // An explicit annotation hides what a source may bring.
        if !is_set(&environment.find(newest)) {
            found.agent.push((blank, literal(newest, value.clone())));
        }
        return Ok("annotation");
    }
    if let Some((spelling, place)) = places().find(|(_, place)| is_set(place)) {
        found
            .warnings
            .extend(disagreement(agent, spelling, place, places(), wanted));
        explicit(spelling, place, wanted, found, copies);
        return Ok("container");
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
        return Ok(ENV_FROM);
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
    Ok(default.source())
}

/// The sidecar gets what the container says. A container of an older recipe also gets the newer name of it, so that there is
/// one answer whichever its start script reads.
fn explicit<'a>(
    spelling: &'static Spelling,
    place: Found<'a>,
    wanted: &Wanted<'a, '_>,
    found: &mut Organization<'a>,
    copies: &mut Vec<Copied>,
) {
    let variable = spelling.variable;
    let newest = wanted.variables[0].variable;
    match place {
        Found::Literal(_, text) if spelling.is_account => {
            found.sidecar.push(literal(wanted.explicit, spelling.value(text)));
        }
        Found::Dynamic(index) if spelling.is_account => {
            copies.push((index, ACCOUNT_COPY));
            found.account = Some(Variable::Value {
                name: wanted.explicit.into(),
                value: contract::account_url(&format!("$({ACCOUNT_COPY})")).into(),
            });
        }
        Found::Literal(index, _) | Found::Dynamic(index) => copies.push((index, wanted.explicit)),
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
            Variable::Value {
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
        "container {}: {} and {} say different things and {} counts; an image that reads {} registers elsewhere: remove one of them",
        quote(agent),
        first.variable,
        other.variable,
        first.variable,
        other.variable
    ))
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

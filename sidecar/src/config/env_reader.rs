//! Reads variables and collects what is missing or wrong.

use azure::Proxies;
use contract::{HostList, RefusalReason};
use lifecycle::Refusal;
use std::path::PathBuf;

/// A name of an older recipe, and how its value is converted.
type Older = (&'static str, fn(String) -> String);

/// Variables that name the organization, the pool or the agent.
pub(crate) struct Setting {
    /// Its name in the agent container, for messages.
    name: &'static str,
    wins: &'static str,
    /// Numbered: the value from an `envFrom` source.
    from: &'static str,
    /// Its names in older recipes; they may come from `envFrom`.
    older: [Older; 2],
    default: Option<&'static str>,
}

fn as_it_is(value: String) -> String {
    value
}

/// The organization URL.
pub(crate) const URL: Setting = Setting {
    name: contract::AZP_URL_VARIABLE,
    wins: contract::URL_VARIABLE,
    from: contract::URL_FROM_VARIABLE,
    older: [
        (contract::VSTS_ACCOUNT_VARIABLE, |account| {
            contract::account_url(&account)
        }),
        (contract::AZDO_URL_VARIABLE, as_it_is),
    ],
    default: Some(contract::URL_DEFAULT_VARIABLE),
};
/// The pool.
pub(crate) const POOL: Setting = Setting {
    name: contract::AZP_POOL_VARIABLE,
    wins: contract::POOL_VARIABLE,
    from: contract::POOL_FROM_VARIABLE,
    older: [
        (contract::VSTS_POOL_VARIABLE, as_it_is),
        (contract::AZDO_POOL_VARIABLE, as_it_is),
    ],
    default: Some(contract::POOL_DEFAULT_VARIABLE),
};
/// The agent's name.
pub(crate) const AGENT_NAME: Setting = Setting {
    name: contract::AZP_AGENT_NAME_VARIABLE,
    wins: contract::AGENT_NAME_VARIABLE,
    from: contract::AGENT_NAME_FROM_VARIABLE,
    older: [
        (contract::VSTS_AGENT_VARIABLE, as_it_is),
        (contract::AZDO_AGENT_VARIABLE, as_it_is),
    ],
    default: None,
};

/// The environment, and the problems found so far.
pub(crate) struct EnvReader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    refusals: Vec<Refusal>,
}

impl<'a> EnvReader<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            refusals: Vec::new(),
        }
    }

    /// The value; an empty one counts as absent, since azwi and Kubernetes write empty ones.
    pub(crate) fn optional(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?;
        let trimmed = value.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    /// The value, or an empty one that has been reported.
    pub(crate) fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.refuse(format!("{name} is missing"));
            String::new()
        })
    }

    pub(crate) fn path(&self, name: &str, default: &str) -> PathBuf {
        self.optional(name)
            .map_or_else(|| PathBuf::from(default), PathBuf::from)
    }

    /// Organization URL, pool or agent name: the variable that wins, else the value from `envFrom`, else the default.
    /// A value of the agent container that begins or ends with white space is refused: start scripts do not trim it.
    pub(crate) fn setting(&mut self, setting: &Setting) -> Option<String> {
        let numbered = |from: &str| self.last(|number| format!("{from}_{number}"));
        let older = || {
            let mut older = setting.older.iter();
            older.find_map(|(name, value)| self.brought(name).map(value))
        };
        let found = self
            .plain(setting.wins)
            .or_else(|| numbered(setting.from))
            .or_else(older);
        let Some(value) = found else {
            return self.optional(setting.default?);
        };
        if value.trim() != value {
            self.refusals.push(Refusal {
                reason: RefusalReason::WhiteSpace,
                sentence: format!(
                    "{} of the agent container begins or ends with white space, which the start script takes as it is (a Secret \
                     made with echo ends with a line break; printf and echo -n add none); correct the Secret or ConfigMap and replace \
                     the pod",
                    setting.name
                ),
            });
        }
        Some(value.trim().to_owned())
    }

    /// The value, untrimmed, unless it is only white space.
    fn plain(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.trim().is_empty())
    }

    /// The last non-empty one of the numbered variables, as Kubernetes merges `envFrom`.
    fn last(&self, name: impl Fn(usize) -> String) -> Option<String> {
        let numbers = (0..contract::ENV_FROM_SOURCES_MAX).rev();
        numbers.map(name).find_map(|name| self.plain(&name))
    }

    /// The value that the agent container gets from `envFrom` under this name.
    fn brought(&self, name: &str) -> Option<String> {
        self.last(|number| format!("{}{number}_{name}", contract::ENV_FROM_VARIABLE_PREFIX))
    }

    /// The agent container's value of a proxy variable.
    fn proxy(&self, name: &str) -> Option<String> {
        let value = self.plain(name).or_else(|| self.brought(name))?;
        Some(value.trim().to_owned())
    }

    /// A list of hosts; the default where it is not set.
    pub(crate) fn hosts(&mut self, name: &str, default: &str) -> Option<HostList> {
        let value = self.optional(name).unwrap_or_else(|| default.to_owned());
        match HostList::parse(&value) {
            Ok(hosts) => Some(hosts),
            Err(error) => {
                self.refuse(format!("{name} is {error}"));
                None
            }
        }
    }

    /// The configured tenant.
    pub(crate) fn tenant(&mut self) -> Option<String> {
        let name = contract::AZURE_TENANT_ID_VARIABLE;
        let tenant = self.optional(name)?;
        let plain = tenant
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        if !plain {
            self.wrong(name, &tenant, "expected a GUID or a domain");
        }
        Some(tenant)
    }

    /// The proxies of the agent container, each by itself, else the operator's. The lower-case names win, as in curl.
    pub(crate) fn proxies(&mut self) -> Option<Proxies> {
        let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, self.proxy(name)?)));
        let default = |name: &'static str| Some((name, self.optional(name)?));
        let https = first(contract::HTTPS_PROXY_VARIABLES).or_else(|| default(contract::HTTPS_PROXY_DEFAULT_VARIABLE));
        let except = first(contract::NO_PROXY_VARIABLES).or_else(|| default(contract::NO_PROXY_DEFAULT_VARIABLE));
        let of_the_agent = |name: &str| {
            let (_, [user, password]) = contract::PROXY_CREDENTIALS.iter().find(|entry| entry.0 == name)?;
            Some((self.proxy(user)?, self.proxy(password).unwrap_or_default()))
        };
        let credentials = https.as_ref().and_then(|(name, _)| of_the_agent(name));
        let name = https.as_ref().map_or("", |(name, _)| *name);
        let except = except.map(|(_, list)| list);
        match Proxies::new(https.map(|(_, url)| url), credentials, except) {
            Ok(proxies) => Some(proxies),
            Err(problem) => {
                // The value is not shown: it may contain a password.
                self.refuse(format!("{name}: {problem}; expected http://HOST:PORT"));
                None
            }
        }
    }

    /// The value; a refusal is recorded.
    pub(crate) fn accept<T>(&mut self, value: Result<T, Refusal>) -> Option<T> {
        value.map_err(|refusal| self.refusals.push(refusal)).ok()
    }

    /// Records an invalid value.
    pub(crate) fn wrong(&mut self, name: &str, value: &str, expected: &str) {
        // A missing value has been reported as missing.
        if !value.is_empty() {
            self.refuse(format!("{name} is {value:?}: {expected}"));
        }
    }

    /// Records that the environment is incomplete or wrong.
    pub(crate) fn refuse(&mut self, sentence: String) {
        self.refusals.push(Refusal {
            reason: RefusalReason::BadConfiguration,
            sentence,
        });
    }

    /// All recorded problems as one refusal.
    pub(crate) fn refusal(self) -> Option<Refusal> {
        let reason = self.refusals.first()?.reason;
        let sentences: Vec<String> = self.refusals.into_iter().map(|refusal| refusal.sentence).collect();
        Some(Refusal {
            reason,
            sentence: sentences.join("; "),
        })
    }
}

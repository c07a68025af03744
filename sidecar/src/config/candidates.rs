//! Reads names out of an environment and keeps account of what is missing or wrong.

use crate::http::Proxies;
use contract::Reason;
use lifecycle::Refusal;
use std::path::PathBuf;

/// The environment, and what was found wrong in it so far.
pub(crate) struct Names<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    refusals: Vec<Refusal>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            refusals: Vec::new(),
        }
    }

    /// The value; an empty one counts as absent, as azwi and Kubernetes write such.
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

    /// The variable that wins, else the last non-empty of the numbered ones (as Kubernetes merges `envFrom`), else the default.
    pub(crate) fn candidates(&self, wins: &str, numbered: &str, default: Option<&str>) -> Option<String> {
        self.optional(wins)
            .or_else(|| {
                (0..contract::ENV_FROM_SOURCES_MAX)
                    .rev()
                    .find_map(|number| self.optional(&format!("{numbered}_{number}")))
            })
            .or_else(|| self.optional(default?))
    }

    /// A list of hosts; the default where it is not set. What is no host is reported and left out.
    pub(crate) fn list(&mut self, name: &str, default: &str) -> Vec<String> {
        let value = self.optional(name).unwrap_or_else(|| default.to_owned());
        let mut entries: Vec<String> = value.split(',').map(|entry| entry.trim().to_owned()).collect();
        entries.retain(|entry| {
            let good = contract::is_host_entry(entry);
            if !good {
                self.wrong(
                    name,
                    &contract::redacted(entry),
                    "expected hosts (dev.azure.com) and patterns (*.visualstudio.com), separated by `,`",
                );
            }
            good
        });
        entries
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

    /// The proxies of the environment: the lower-case names win, as in curl.
    pub(crate) fn proxies(&mut self) -> Option<Proxies> {
        let https = self.optional("https_proxy").or_else(|| self.optional("HTTPS_PROXY"));
        let except = self.optional("no_proxy").or_else(|| self.optional("NO_PROXY"));
        match Proxies::new(https, except) {
            Ok(proxies) => Some(proxies),
            Err(problem) => {
                // The value stays unsaid: it may carry a password.
                self.refuse(format!("HTTPS_PROXY: {problem}; expected http://HOST:PORT"));
                None
            }
        }
    }

    /// The value, or its refusal noted.
    pub(crate) fn accept<T>(&mut self, value: Result<T, Refusal>) -> Option<T> {
        value.map_err(|refusal| self.refusals.push(refusal)).ok()
    }

    /// Notes a value that cannot be understood.
    pub(crate) fn wrong(&mut self, name: &str, value: &str, expected: &str) {
        // A missing value has been reported as missing.
        if !value.is_empty() {
            self.refuse(format!("{name} is {value:?}: {expected}"));
        }
    }

    /// Notes that the environment is incomplete or wrong.
    pub(crate) fn refuse(&mut self, sentence: String) {
        self.refusals.push(Refusal {
            reason: Reason::BadConfiguration,
            sentence,
        });
    }

    /// Everything that was found wrong, in one sentence.
    pub(crate) fn refusal(self) -> Option<Refusal> {
        let reason = self.refusals.first()?.reason;
        let sentences: Vec<String> = self.refusals.into_iter().map(|refusal| refusal.sentence).collect();
        Some(Refusal {
            reason,
            sentence: sentences.join("; "),
        })
    }
}

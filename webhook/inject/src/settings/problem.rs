//! What is wrong with a setting.

use super::variable;
use contract::OrganizationUrlError;
use std::fmt;

/// A setting that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the setting: the flag without its dashes.
    pub setting: &'static str,
    what: String,
}

impl Problem {
    /// The value is not what it has to be. It is repeated, so a URL has to be redacted.
    pub fn wrong(setting: &'static str, value: &str, expected: &str) -> Self {
        let what = format!("is {value:?}; expected {expected}");
        Self { setting, what }
    }

    /// There is no value, and no default.
    pub fn missing(setting: &'static str, expected: &str) -> Self {
        let what = format!("is missing; expected {expected}");
        Self { setting, what }
    }

    /// The value is not an organization URL that is allowed.
    pub(super) fn is(setting: &'static str, error: &OrganizationUrlError) -> Self {
        let what = format!("is {error}");
        Self { setting, what }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, what } = self;
        write!(f, "--{setting} ({}) {what}", variable(setting))
    }
}

impl std::error::Error for Problem {}

//! Which agent the stub imitates. Their listeners differ in the .NET that they run on, and with it in what signals do.

use std::fmt;
use std::str::FromStr;

/// A major version of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentVersion {
    /// On .NET 8: SIGTERM ends the listener in order, its exit code is 143 (measured with a real listener; Microsoft's
    /// runtime may also answer 0).
    V4,
    /// On .NET 10, which no longer raises an event for SIGTERM: the signal ends the listener at once, its session stays open,
    /// and its worker goes on. What scripts download today.
    V5,
}

impl AgentVersion {
    /// Both, the older one first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V5];

    /// The version that the stub claims to have: major, minor, patch.
    pub fn numbers(self) -> [u32; 3] {
        match self {
            Self::V4 => [4, 255, 0],
            Self::V5 => [5, 278, 0],
        }
    }

    /// The numbers as the agent writes them.
    pub(crate) fn dotted(self) -> String {
        self.numbers().map(|number| number.to_string()).join(".")
    }
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "v4",
            Self::V5 => "v5",
        })
    }
}

impl FromStr for AgentVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|version| version.to_string() == text);
        found.ok_or_else(|| format!("there is no stub agent \"{text}\": v4 or v5"))
    }
}

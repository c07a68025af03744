//! The capabilities that an agent publishes: what it is, and its environment (`EnvironmentCapabilitiesProvider.cs`).

use serde_json::{Map, Value};

/// Variables that are never published.
const IGNORED: [&str; 8] = [
    "comp_wordbreaks",
    "ls_colors",
    "TERM",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "SHLVL",
    "PSMODULEPATH",
    "SYSTEM_ACCESSTOKEN",
];

/// From this length on a value is not published.
const TOO_LONG: usize = 1024;

/// Version that the stub claims to have, see [`super::VERSION`].
pub(super) const VERSION: &str = "4.255.0";

/// The system capabilities of an agent with this name and environment.
pub(super) fn scan(agent: &str, environment: &[(String, String)]) -> Map<String, Value> {
    let ignored: Vec<&str> = environment
        .iter()
        .filter(|(name, _)| name == "VSO_AGENT_IGNORE")
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut capabilities: Map<String, Value> = environment
        .iter()
        .filter(|(name, _)| !IGNORED.contains(&name.as_str()) && !ignored.contains(&name.as_str()))
        // Inputs are taken out of the environment before it is published.
        .filter(|(name, _)| !name.to_ascii_lowercase().starts_with("vsts_agent_input_"))
        .filter(|(_, value)| value.chars().count() < TOO_LONG)
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    for (name, value) in [
        ("Agent.Name", agent),
        ("Agent.Version", VERSION),
        ("Agent.ComputerName", &host_name()),
        ("Agent.OS", "Linux"),
        ("Agent.Stub", "true"),
    ] {
        capabilities.insert(name.to_owned(), value.into());
    }
    capabilities
}

/// The machine's name: in Kubernetes the pod's.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

/// What the agent says about its machine.
pub(super) fn os_description() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {} (stub agent)", release.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishes_the_environment_but_for_what_is_ignored_or_too_long() {
        let environment = [
            ("ADO_AGENT_OWNER", "ado-agent/v1/c/n/p/u".to_owned()),
            ("AZP_TOKEN_FILE", "/t".to_owned()),
            ("VSO_AGENT_IGNORE", "AZP_TOKEN,AZP_TOKEN_FILE".to_owned()),
            ("TERM", "xterm".to_owned()),
            ("SHORT", "x".repeat(1023)),
            ("LONG", "x".repeat(1024)),
            ("VSTS_AGENT_INPUT_TOKEN", "secret".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let capabilities = scan("a", &environment);
        let has = |name: &str| capabilities.contains_key(name);
        assert!(has("ADO_AGENT_OWNER") && has("SHORT") && has("VSO_AGENT_IGNORE"));
        assert!(!has("AZP_TOKEN_FILE") && !has("TERM") && !has("LONG") && !has("VSTS_AGENT_INPUT_TOKEN"));
        assert_eq!(capabilities["Agent.Name"], "a");
    }
}

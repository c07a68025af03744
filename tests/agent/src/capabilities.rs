//! The capabilities that an agent publishes: what it is, and its environment (`EnvironmentCapabilitiesProvider.cs`,
//! `AgentCapabilitiesProvider.cs`). It does not look for tools.

use serde_json::{Map, Value};
use std::path::Path;

/// Variables that are never published. Names are compared with their case.
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

/// What an agent says about itself beside its environment.
#[derive(Debug)]
pub(crate) struct Own<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// The agent's root.
    pub(crate) home: &'a Path,
    pub(crate) is_service: bool,
    /// Is masked wherever it stands in a value.
    pub(crate) secret: Option<&'a str>,
}

/// The system capabilities of an agent with this environment.
pub(crate) fn scan(own: &Own<'_>, environment: &[(String, String)]) -> Map<String, Value> {
    let ignored: Vec<&str> = environment
        .iter()
        .filter(|(name, _)| name == "VSO_AGENT_IGNORE")
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let masked = |value: &str| -> Value {
        match own.secret.filter(|secret| !secret.is_empty()) {
            Some(secret) => value.replace(secret, "***").into(),
            None => value.into(),
        }
    };
    let mut capabilities: Map<String, Value> = environment
        .iter()
        .filter(|(name, _)| !IGNORED.contains(&name.as_str()) && !ignored.contains(&name.as_str()))
        // Inputs are taken out of the environment before it is published.
        .filter(|(name, _)| !name.to_ascii_lowercase().starts_with("vsts_agent_input_"))
        .filter(|(_, value)| value.chars().count() < TOO_LONG)
        .map(|(name, value)| (name.clone(), masked(value)))
        .collect();
    for (name, value) in [
        ("Agent.Name", own.name),
        ("Agent.OS", "Linux"),
        ("Agent.OSArchitecture", architecture()),
        ("InteractiveSession", if own.is_service { "False" } else { "True" }),
        ("Agent.Version", own.version),
        ("Agent.ComputerName", &machine_name()),
        ("Agent.HomeDirectory", &own.home.display().to_string()),
        ("Agent.Stub", "true"),
    ] {
        capabilities.insert(name.to_owned(), masked(value));
    }
    capabilities
}

/// As .NET calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "X64",
        "aarch64" => "ARM64",
        "arm" => "ARM",
        other => other,
    }
}

/// .NET's name of the machine, in Kubernetes the pod's: up to the first dot.
pub(crate) fn machine_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| up_to_the_first_dot(&name))
}

fn up_to_the_first_dot(host: &str) -> String {
    host.trim().split('.').next().unwrap_or_default().to_owned()
}

/// What the agent says about its machine.
pub(crate) fn os_description() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {} (stub agent)", release.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own<'a>() -> Own<'a> {
        Own {
            name: "a",
            version: "5.278.0",
            home: Path::new("/azp"),
            is_service: false,
            secret: Some("secret"),
        }
    }

    #[test]
    fn publishes_the_environment_but_for_what_is_ignored_or_too_long() {
        let environment = [
            ("ADO_AGENT_OWNER", "ado-agent/v1/c/n/p/u".to_owned()),
            ("AZP_TOKEN_FILE", "/t".to_owned()),
            ("VSO_AGENT_IGNORE", "AZP_TOKEN,AZP_TOKEN_FILE".to_owned()),
            ("TERM", "xterm".to_owned()),
            ("term", "xterm".to_owned()),
            ("SHORT", "x".repeat(1023)),
            ("LONG", "x".repeat(1024)),
            ("VSTS_AGENT_INPUT_TOKEN", "secret".to_owned()),
            ("HEADER", "Bearer secret".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let capabilities = scan(&own(), &environment);
        let has = |name: &str| capabilities.contains_key(name);
        assert!(has("ADO_AGENT_OWNER") && has("SHORT") && has("VSO_AGENT_IGNORE") && has("term"));
        assert!(!has("AZP_TOKEN_FILE") && !has("TERM") && !has("LONG") && !has("VSTS_AGENT_INPUT_TOKEN"));
        assert_eq!(capabilities["HEADER"], "Bearer ***");
    }

    #[test]
    fn says_what_it_is() {
        let capabilities = scan(&own(), &[]);
        assert_eq!(capabilities["Agent.Name"], "a");
        assert_eq!(capabilities["Agent.Version"], "5.278.0");
        assert_eq!(capabilities["Agent.HomeDirectory"], "/azp");
        assert_eq!(capabilities["InteractiveSession"], "True");
        assert!(!capabilities["Agent.OSArchitecture"].as_str().unwrap().is_empty());
        assert_eq!(up_to_the_first_dot("azp-0.agents.svc.cluster.local\n"), "azp-0");
        let as_service = Own {
            is_service: true,
            ..own()
        };
        assert_eq!(scan(&as_service, &[])["InteractiveSession"], "False");
    }
}

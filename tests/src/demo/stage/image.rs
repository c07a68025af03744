//! Images of the agent container: each start script of `tests/agent/start`, as root and as a user.

use crate::kubelet::Image;
use crate::programs::repository;
use std::path::Path;

/// A start script with its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentImage {
    /// Name of the script in `tests/agent/start`.
    pub script: &'static str,
    /// Whether the image's user is root.
    pub is_root: bool,
}

/// Every start script, in the order of the catalog.
pub const SCRIPTS: [&str; 10] = [
    "gen0",
    "gen0b",
    "gen1",
    "gen2",
    "gen3",
    "gen4",
    "foreground",
    "read-once",
    "own-exchange",
    "article",
];

/// Whether a start script does the Entra exchange itself, so that its pod needs what the Azure Workload Identity webhook adds.
pub fn does_own_exchange(script: &str) -> bool {
    ["own-exchange", "article"].contains(&script)
}

impl AgentImage {
    /// The one of the examples: today's recipe, with a user of its own.
    pub const EXAMPLE: Self = Self {
        script: "gen3",
        is_root: false,
    };

    pub(super) fn name(self) -> String {
        let user = if self.is_root { "root" } else { "user" };
        format!("registry.example.com/{}:{user}", self.script)
    }

    fn user(self) -> u32 {
        if self.is_root { 0 } else { 1000 }
    }

    pub(super) fn image(self, ca: &Path) -> Image {
        let script = repository()
            .join("tests/agent/start")
            .join(format!("{}.sh", self.script));
        let trust = "/etc-of-image/ca.pem";
        let mut variables = vec![
            ("HOME", "/azp"),
            ("TARGETARCH", "linux-x64"),
            // The image trusts the private CA in its own way, which is not the injector's business.
            ("CURL_CA_BUNDLE", trust),
            ("SSL_CERT_FILE", trust),
            // The only shortened pauses: 30 s between removal attempts, and those of the stub agent.
            ("STUB_RETRY_SECONDS", "1"),
            ("STUB_AGENT_HURRY", "20"),
        ];
        if self.is_root {
            variables.push(("AGENT_ALLOW_RUNASROOT", "true"));
        }
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Image {
            entrypoint: vec!["./start.sh".to_owned()],
            env: variables.into_iter().map(owned).collect(),
            user: (self.user(), self.user()),
            directory: "/azp".to_owned(),
            copies: vec![(script, "/azp/start.sh".to_owned())],
            programs: vec![(ca.to_owned(), trust.to_owned())],
            ..Image::default()
        }
    }
}

//! The script that is tried: how it is started, and what its text says about what it needs.

use super::Script;
use contract::{SECRET_VARIABLES, TOKEN_FILE_VARIABLES};

/// Where the script lies in its container, as in Microsoft's recipe.
pub(super) const PLACE: &str = "/azp/start.sh";
/// The working directory of its container.
pub(super) const DIRECTORY: &str = "/azp";

/// What tells that a script fetches the agent by itself.
const DOWNLOADS: [&str; 5] = [
    "distributedtask/packages",
    "download.agent.dev.azure.com",
    "vstsagentpackage",
    "vsts-agent-",
    "pipelines-agent-",
];

/// A start script.
pub(super) struct Subject {
    /// Without the lines that are comments, but with the first one.
    code: String,
    is_executable: bool,
    first_line: String,
}

/// How the script is started.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The entry point of the image.
    pub(super) entrypoint: Vec<String>,
    /// What an image has to see to, or why no container could start it as it is.
    pub(super) obstacle: Option<Obstacle>,
    /// The program that has to be there.
    pub(super) interpreter: String,
}

/// What is in the way of `ENTRYPOINT ["/azp/start.sh"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It has no `#!` line.
    NoInterpreter,
    /// Its lines end as on Windows.
    WindowsLines,
    /// It may not be executed.
    NotExecutable,
}

impl Subject {
    pub(super) fn new(script: &Script) -> Self {
        let text = String::from_utf8_lossy(&script.content);
        let is_code = |line: &&str| !line.trim_start().starts_with('#');
        Self {
            code: text.lines().filter(is_code).collect::<Vec<_>>().join("\n"),
            is_executable: script.is_executable,
            first_line: text.split('\n').next().unwrap_or_default().to_owned(),
        }
    }

    /// As `ENTRYPOINT ["/azp/start.sh"]` starts it, or, where that cannot work, through its interpreter.
    pub(super) fn start(&self) -> Start {
        let line = self.first_line.strip_prefix("#!").map(str::trim);
        let through = |interpreter: &str, obstacle| {
            let mut entrypoint: Vec<String> = interpreter.split_whitespace().map(str::to_owned).collect();
            entrypoint.push(PLACE.to_owned());
            Start {
                interpreter: program_of(interpreter),
                entrypoint,
                obstacle: Some(obstacle),
            }
        };
        match line {
            None | Some("") => through("/bin/sh", Obstacle::NoInterpreter),
            Some(interpreter) if self.first_line.ends_with('\r') => through(interpreter, Obstacle::WindowsLines),
            Some(interpreter) if !self.is_executable => through(interpreter, Obstacle::NotExecutable),
            Some(interpreter) => Start {
                interpreter: program_of(interpreter),
                entrypoint: vec![PLACE.to_owned()],
                obstacle: None,
            },
        }
    }

    /// Whether this word stands in the code.
    pub(super) fn says(&self, word: &str) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.code.match_indices(word).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    }

    /// Whether it knows a token file.
    fn reads_a_token_file(&self) -> bool {
        TOKEN_FILE_VARIABLES.iter().any(|name| self.says(name))
    }

    /// The variable with a secret that it reads its token from, where it knows no file and no exchange.
    pub(super) fn only_variable(&self) -> Option<&'static str> {
        if self.reads_a_token_file() || self.trades_the_federated_token() {
            return None;
        }
        let others = [
            "AGENT_PAT",
            "VSTS_PAT",
            "AGENT_TOKEN",
            "AZURE_DEVOPS_TOKEN",
            "AZURE_PIPELINES_PAT",
            "AZP_PAT",
        ];
        let known = SECRET_VARIABLES.iter().copied().chain(others);
        known.into_iter().find(|name| self.says(name))
    }

    /// Whether it trades the pod's federated token at Entra itself.
    pub(super) fn trades_the_federated_token(&self) -> bool {
        self.says("AZURE_FEDERATED_TOKEN_FILE")
    }

    /// Where the image has to have the agent; empty where the script fetches it.
    pub(super) fn agent_folders(&self) -> Vec<String> {
        let needs_it = ["config.sh", "run.sh", "run-docker.sh", "Agent.Listener"];
        if !needs_it.iter().any(|file| self.code.contains(file))
            || DOWNLOADS.iter().any(|sign| self.code.contains(sign))
        {
            return Vec::new();
        }
        let mut folders = vec![DIRECTORY.to_owned()];
        let words = self.code.split(|c: char| c.is_whitespace() || "\"'`;()&|".contains(c));
        let mut previous = "";
        for word in words.filter(|word| !word.is_empty()) {
            let folder = match word.rsplit_once('/') {
                Some((folder, file)) if needs_it.contains(&file) => folder,
                _ if previous == "cd" => word.trim_end_matches('/'),
                _ => "",
            };
            previous = word;
            if folder.starts_with('/') && !folder.contains(['$', '*']) && !folders.iter().any(|known| known == folder) {
                folders.push(folder.to_owned());
            }
        }
        folders
    }
}

/// The program that a `#!` line really needs: what `env` looks for, or the interpreter.
fn program_of(interpreter: &str) -> String {
    let mut words = interpreter.split_whitespace();
    let first = words.next().unwrap_or_default();
    let wanted = if first.ends_with("/env") {
        words.find(|word| !word.starts_with('-')).unwrap_or(first)
    } else {
        first
    };
    wanted.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str, is_executable: bool) -> Script {
        Script {
            content: text.as_bytes().to_owned(),
            is_executable,
        }
    }

    fn subject(text: &str) -> Subject {
        Subject::new(&script(text, true))
    }

    #[test]
    fn a_script_is_started_as_its_first_line_says_and_otherwise_the_reason_is_given() {
        let own = subject("#!/bin/bash\n:").start();
        assert_eq!((own.entrypoint, own.obstacle), (vec![PLACE.to_owned()], None));
        assert_eq!(subject("#!/usr/bin/env -S python3 -u\n").start().interpreter, "python3");
        for (text, is_executable, entrypoint, obstacle) in [
            ("echo", true, vec!["/bin/sh", PLACE], Obstacle::NoInterpreter),
            (
                "#!/bin/bash -e\r\n:\r\n",
                true,
                vec!["/bin/bash", "-e", PLACE],
                Obstacle::WindowsLines,
            ),
            (
                "#!/bin/bash\n",
                false,
                vec!["/bin/bash", PLACE],
                Obstacle::NotExecutable,
            ),
        ] {
            let start = Subject::new(&script(text, is_executable)).start();
            assert_eq!(start.entrypoint, entrypoint);
            assert_eq!(start.obstacle, Some(obstacle));
        }
    }

    #[test]
    fn words_count_as_whole_words_and_not_in_comments() {
        let text = "#!/bin/bash\n  # AZP_TOKEN_FILE\necho \"${AZP_TOKEN}\" $MY_AZDO_TOKEN_FILE";
        let subject = subject(text);
        assert!(subject.says("AZP_TOKEN") && !subject.says("TOKEN"));
        assert_eq!(subject.only_variable(), Some("AZP_TOKEN"));
        assert_eq!(self::subject("$AZP_TOKEN $AZP_TOKEN_FILE").only_variable(), None);
    }

    #[test]
    fn the_agent_is_put_where_a_script_that_does_not_fetch_it_looks_for_it() {
        let folders = |text: &str| subject(text).agent_folders();
        assert_eq!(folders("./config.sh; ./run.sh"), ["/azp"]);
        assert_eq!(
            folders("cd /opt/agent/\n\"/azdo/config.sh\" $X/run.sh"),
            ["/azp", "/opt/agent", "/azdo"]
        );
        assert!(folders("curl $AZP_URL/_apis/distributedtask/packages/agent; ./config.sh").is_empty());
        assert!(folders("echo hello").is_empty());
    }
}

//! Runs `demo --script` and reads what it says.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one run said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    /// Kind and sentence of each finding.
    pub(crate) findings: Vec<(String, String)>,
    pub(crate) all: String,
}

impl Said {
    /// The sentences of a kind.
    pub(crate) fn of(&self, kind: &str) -> Vec<&str> {
        let found = self.findings.iter().filter(|(found, _)| found == kind);
        found.map(|(_, sentence)| sentence.as_str()).collect()
    }

    pub(crate) fn has(&self, kind: &str, part: &str) -> bool {
        self.of(kind).iter().any(|sentence| sentence.contains(part))
    }

    #[track_caller]
    pub(crate) fn assert_finding(&self, kind: &str, part: &str) {
        assert!(self.has(kind, part), "{kind}: {part}\n{}", self.all);
    }
}

pub(crate) fn demo(script: &Path, arguments: &[&str]) -> Said {
    run(Command::new(env!("CARGO_BIN_EXE_demo")), script, arguments)
}

pub(crate) fn run(mut demo: Command, script: &Path, arguments: &[&str]) -> Said {
    // The pauses of our scripts and of the stub agent are shortened.
    let output = demo
        .args([
            "--json",
            "--grace=30",
            "--env=STUB_RETRY_SECONDS=1",
            "--env=STUB_AGENT_HURRY=20",
            "--script",
        ])
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Said {
        code: output.status.code().unwrap(),
        findings: lines
            .iter()
            .filter(|line| line["finding"].is_string())
            .map(|line| (string(&line["finding"]), string(&line["sentence"])))
            .collect(),
        all: format!(
            "{}\n{text}{}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Runs all of them at once: they mostly wait.
pub(crate) fn at_once<T: Send + 'static, const N: usize>(runs: [impl FnOnce() -> T + Send + 'static; N]) -> [T; N] {
    runs.map(std::thread::spawn).map(|run| match run.join() {
        Ok(said) => said,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A folder with a script of this text, which may be executed.
pub(crate) fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("start.sh");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

/// A script that has its agent in the image, with these lines before it registers.
pub(crate) fn baked(lines: &str) -> String {
    format!(
        "#!/bin/bash\nset -e\n{lines}\n./config.sh --unattended --url \"$AZP_URL\" --auth PAT --token \"$(cat \"$AZP_TOKEN_FILE\")\" \
         --pool \"$AZP_POOL\" --agent \"${{AZP_AGENT_NAME:-$(hostname)}}\" --replace --acceptTeeEula\nexec ./run.sh \"$@\"\n"
    )
}

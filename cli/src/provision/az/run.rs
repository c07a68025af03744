//! Starts `az`: the person's own sign-in, no shell, nothing on its standard input.

use super::Line;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long one call may take; `az` alone needs seconds to start.
const LIMIT: Duration = Duration::from_secs(300);
/// Longest excerpt of what `az` says, in characters.
const EXCERPT: usize = 600;
/// How `az` ends where what it should show does not exist.
const NOT_FOUND: i32 = 3;

/// Why `az` gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AzError {
    /// There is no `az`.
    #[error("there is no az on this machine's PATH")]
    Missing,
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It ended with an error, or said something else than JSON.
    #[error("{0}")]
    Failed(String),
}

/// Runs a line, and reads what it prints. Its output never appears in an error: it may be a token.
pub(crate) async fn run(Line(arguments): &Line) -> Result<Value, AzError> {
    let mut command = Command::new("az");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Err(AzError::Missing),
        Ok(Err(error)) => return Err(AzError::Failed(format!("az cannot be started: {error}"))),
        Err(_) => return Err(AzError::Failed(format!("az did not end within {} s", LIMIT.as_secs()))),
    };
    let said = excerpt(&output.stderr);
    match output.status.code() {
        Some(0) => read(&output.stdout),
        Some(NOT_FOUND) => Err(AzError::NotFound(said)),
        Some(code) => Err(AzError::Failed(format!("az ended with {code}: {said}"))),
        None => Err(AzError::Failed(format!("az was ended by a signal: {said}"))),
    }
}

/// Deletions print nothing.
fn read(output: &[u8]) -> Result<Value, AzError> {
    if output.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(output).map_err(|_| AzError::Failed("az printed something that is not JSON".to_owned()))
}

fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "it said nothing".to_owned(),
        None => line,
    }
}

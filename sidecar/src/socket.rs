//! How `probe`, `ready` and `pre-stop` talk to `run`: a command over a socket in the state volume, a line back; of
//! `probe --json`, the line is JSON.
//!
//! The clients run under the sidecar's CPU limit and within the kubelet's timeouts, so they use a plain blocking socket.

use lifecycle::{Status, TokenAge};
use serde_json::json;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

const FILE: &str = "socket";
const PROBE: &[u8; 4] = b"prob";
const DETAILS: &[u8; 4] = b"json";
const READY: &[u8; 4] = b"redy";
const PRE_STOP: &[u8; 4] = b"stop";
const TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after a failed `accept`: without free file descriptors the next one would fail at once.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Longest line that a client reads, in bytes.
const LINE: u64 = 8 * 1024;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCommand {
    Probe,
    Details,
    Ready,
    PreStop,
}

/// What `probe --json` says in addition to the status; nothing where the configuration is refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    pub(crate) organization: Option<String>,
    pub(crate) pool: Option<String>,
    /// Name under which the agent is expected to register.
    pub(crate) agent: Option<String>,
    pub(crate) token: Option<TokenAge>,
}

/// A client that waits for its reply.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) command: ClientCommand,
    stream: UnixStream,
}

/// Binds the socket and replaces that of an earlier run.
pub(crate) fn bind(directory: &Path) -> io::Result<UnixListener> {
    let path = directory.join(FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => UnixListener::bind(path),
    }
}

/// Accepts a client, not before `earliest`.
pub(crate) async fn accept(listener: &UnixListener, earliest: Instant) -> io::Result<UnixStream> {
    if earliest > Instant::now() {
        tokio::time::sleep_until(earliest).await;
    }
    Ok(listener.accept().await?.0)
}

/// Reads the command of a client; `None` where it is unknown or takes too long.
pub(crate) async fn read(mut stream: UnixStream) -> Option<Client> {
    let mut word = [0; 4];
    let read = tokio::time::timeout(TIMEOUT, stream.read_exact(&mut word)).await;
    read.ok()?.ok()?;
    let command = match &word {
        PROBE => ClientCommand::Probe,
        DETAILS => ClientCommand::Details,
        READY => ClientCommand::Ready,
        PRE_STOP => ClientCommand::PreStop,
        _ => return None,
    };
    Some(Client { command, stream })
}

impl Client {
    /// Answers with the status, as JSON with the details if the client asked for that.
    pub(crate) async fn answer(mut self, status: Status, details: Details) {
        let succeeds = match self.command {
            ClientCommand::Probe | ClientCommand::Details | ClientCommand::PreStop => status.agent_may_start,
            ClientCommand::Ready => status.is_ready,
        };
        let mark = if succeeds { '+' } else { '-' };
        let line = match self.command {
            ClientCommand::Details => format!("{mark}{}", details_json(&status, &details)),
            ClientCommand::Probe | ClientCommand::Ready | ClientCommand::PreStop => {
                format!("{mark}{}: {}", status.reason, status.sentence)
            }
        };
        // A client that has disconnected asks again.
        let _ = tokio::time::timeout(TIMEOUT, self.stream.write_all(line.as_bytes())).await;
    }
}

/// The status for machines, with the members of [`contract::PROBE_MEMBERS`].
fn details_json(status: &Status, details: &Details) -> serde_json::Value {
    let token = details.token.map(|token| {
        json!({
            (contract::PROBE_TOKEN_AGE): token.age.as_secs(),
            (contract::PROBE_TOKEN_REMAINING): token.remaining.as_secs(),
        })
    });
    json!({
        (contract::PROBE_VERSION): env!("CARGO_PKG_VERSION"),
        (contract::PROBE_REASON): status.reason.as_str(),
        (contract::PROBE_SENTENCE): status.sentence,
        (contract::PROBE_AGENT_MAY_START): status.agent_may_start,
        (contract::PROBE_READY): status.is_ready,
        (contract::PROBE_ORGANIZATION): details.organization,
        (contract::PROBE_POOL): details.pool,
        (contract::PROBE_AGENT): details.agent,
        (contract::PROBE_TOKEN): token,
    })
}

/// The reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether the command succeeds: the agent may start, or (`ready`) is online and stays.
    pub succeeds: bool,
    /// The status line.
    pub line: String,
}

/// Asks the running sidecar for its status.
///
/// # Errors
/// No sidecar answers.
pub fn probe(directory: &Path) -> io::Result<Reply> {
    ask(directory, PROBE)
}

/// Asks the running sidecar for its status as JSON.
///
/// # Errors
/// No sidecar answers.
pub fn probe_json(directory: &Path) -> io::Result<Reply> {
    ask(directory, DETAILS)
}

/// Asks the running sidecar whether the agent is online and stays.
///
/// # Errors
/// No sidecar answers.
pub fn ready(directory: &Path) -> io::Result<Reply> {
    ask(directory, READY)
}

/// Reports to the running sidecar that the pod is terminating (T0), and returns as soon as it has noted that.
///
/// # Errors
/// No sidecar answers.
pub fn pre_stop(directory: &Path) -> io::Result<Reply> {
    ask(directory, PRE_STOP)
}

fn ask(directory: &Path, word: &[u8]) -> io::Result<Reply> {
    let mut stream = Blocking::connect(directory.join(FILE))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(word)?;
    let mut line = String::new();
    stream.take(LINE).read_to_string(&mut line)?;
    let (succeeds, rest) = match (line.strip_prefix('+'), line.strip_prefix('-')) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(io::Error::other("the sidecar closed the connection without a reply")),
    };
    Ok(Reply {
        succeeds,
        line: rest.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Reason;
    use std::collections::BTreeSet;

    #[tokio::test(flavor = "current_thread")]
    async fn a_command_is_read_and_answered() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        assert!(probe(&path).is_err(), "no server listens");
        std::fs::write(path.join(FILE), "left behind").expect("written");
        let listener = bind(&path).expect("bound");
        for (ask, command, succeeds) in [
            (probe as fn(&Path) -> io::Result<Reply>, ClientCommand::Probe, true),
            (ready, ClientCommand::Ready, false),
            (pre_stop, ClientCommand::PreStop, true),
        ] {
            let path = path.clone();
            let asking = tokio::task::spawn_blocking(move || ask(&path));
            let (stream, _) = listener.accept().await.expect("a client connects");
            let client = read(stream).await.expect("a command");
            assert_eq!(client.command, command);
            let status = Status {
                reason: Reason::Ready,
                sentence: "all is well".into(),
                agent_may_start: true,
                is_ready: false,
            };
            client.answer(status, Details::default()).await;
            let reply = asking.await.expect("no panic").expect("a line");
            assert_eq!((reply.succeeds, reply.line.as_str()), (succeeds, "ready: all is well"));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn details_are_one_line_of_json() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        let listener = bind(&path).expect("bound");
        let asking = tokio::task::spawn_blocking(move || probe_json(&path));
        let (stream, _) = listener.accept().await.expect("a client connects");
        let client = read(stream).await.expect("a command");
        let status = Status {
            reason: Reason::Ready,
            sentence: "all is \"well\"".into(),
            agent_may_start: true,
            is_ready: false,
        };
        let token = TokenAge {
            age: Duration::from_secs(60),
            remaining: Duration::from_millis(3_540_900),
        };
        let details = Details {
            pool: Some("linux".into()),
            token: Some(token),
            ..Details::default()
        };
        client.answer(status, details).await;
        let reply = asking.await.expect("no panic").expect("a line");
        let value: serde_json::Value = serde_json::from_str(&reply.line).expect("JSON");
        assert!(reply.succeeds && !reply.line.contains('\n'), "{}", reply.line);
        assert_eq!(
            (&value["reason"], &value["sentence"]),
            (&json!("ready"), &json!("all is \"well\""))
        );
        assert_eq!(value["token"], json!({"ageSeconds": 60, "expiresInSeconds": 3540}));
        assert_eq!((&value["pool"], &value["agent"]), (&json!("linux"), &json!(null)));
        assert_eq!(
            (&value["agentMayStart"], &value["ready"]),
            (&json!(true), &json!(false))
        );
    }

    #[test]
    fn details_have_the_members_of_the_reference() {
        let status = Status {
            reason: Reason::Ready,
            sentence: "all is well".into(),
            agent_may_start: true,
            is_ready: true,
        };
        let token = TokenAge {
            age: Duration::ZERO,
            remaining: Duration::ZERO,
        };
        let details = Details {
            token: Some(token),
            ..Details::default()
        };
        let mut printed = BTreeSet::new();
        let mut objects = vec![details_json(&status, &details)];
        while let Some(object) = objects.pop() {
            for (member, value) in object.as_object().expect("an object") {
                assert!(printed.insert(member.clone()), "{member} stands for two things");
                if value.is_object() {
                    objects.push(value.clone());
                }
            }
        }
        let documented: BTreeSet<String> = contract::PROBE_MEMBERS
            .iter()
            .map(|member| member.name.to_owned())
            .collect();
        assert_eq!(printed, documented);
        let without_a_token = details_json(&status, &Details::default());
        assert_eq!(without_a_token[contract::PROBE_TOKEN], json!(null));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_unknown_command_is_not_answered() {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = bind(directory.path()).expect("bound");
        let mut client = Blocking::connect(directory.path().join(FILE)).expect("connected");
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
        let (stream, _) = listener.accept().await.expect("a client connects");
        assert!(read(stream).await.is_none());
    }
}

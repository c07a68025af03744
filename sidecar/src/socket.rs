//! How `probe` and `pre-stop` talk to `run`: a command over a socket in the state volume, a line back.
//!
//! The clients run under the sidecar's CPU limit and within the kubelet's timeouts, so they use a plain blocking socket.

use lifecycle::Status;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

const FILE: &str = "socket";
const PROBE: &[u8; 4] = b"prob";
const PRE_STOP: &[u8; 4] = b"stop";
const TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after a client that could not be accepted: without free descriptors, the next attempt fails at once, too.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Longest line that a client reads, in bytes.
const LINE: u64 = 8 * 1024;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCommand {
    Probe,
    PreStop,
}

/// A client that waits for its reply.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) command: ClientCommand,
    stream: UnixStream,
}

/// Binds the socket; an earlier run's is replaced.
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
        PRE_STOP => ClientCommand::PreStop,
        _ => return None,
    };
    Some(Client { command, stream })
}

impl Client {
    /// Answers with the status.
    pub(crate) async fn answer(mut self, status: Status) {
        let mark = if status.agent_may_start { '+' } else { '-' };
        let line = format!("{mark}{}: {}", status.reason, status.sentence);
        // A client that has gone away asks again.
        let _ = tokio::time::timeout(TIMEOUT, self.stream.write_all(line.as_bytes())).await;
    }
}

/// The reply to `probe` and `pre-stop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether the agent may start.
    pub agent_may_start: bool,
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

/// Tells the running sidecar that the pod is terminating (T0), and returns as soon as it knows.
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
    let (may, rest) = match (line.strip_prefix('+'), line.strip_prefix('-')) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(io::Error::other("the sidecar closed the connection without a reply")),
    };
    Ok(Reply {
        agent_may_start: may,
        line: rest.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Reason;

    #[tokio::test(flavor = "current_thread")]
    async fn a_command_is_read_and_answered() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        assert!(probe(&path).is_err(), "nobody listens");
        std::fs::write(path.join(FILE), "left behind").expect("written");
        let listener = bind(&path).expect("bound");
        for (ask, command) in [
            (probe as fn(&Path) -> io::Result<Reply>, ClientCommand::Probe),
            (pre_stop, ClientCommand::PreStop),
        ] {
            let path = path.clone();
            let asking = tokio::task::spawn_blocking(move || ask(&path));
            let (stream, _) = listener.accept().await.expect("somebody asks");
            let client = read(stream).await.expect("a command");
            assert_eq!(client.command, command);
            let status = Status {
                reason: Reason::Ready,
                sentence: "all is well".into(),
                agent_may_start: true,
            };
            client.answer(status).await;
            let reply = asking.await.expect("no panic").expect("a line");
            assert_eq!(
                (reply.agent_may_start, reply.line.as_str()),
                (true, "ready: all is well")
            );
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nonsense_is_not_answered() {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = bind(directory.path()).expect("bound");
        let mut client = Blocking::connect(directory.path().join(FILE)).expect("connected");
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
        let (stream, _) = listener.accept().await.expect("somebody asks");
        assert!(read(stream).await.is_none());
    }
}

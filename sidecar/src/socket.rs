//! How `probe` and `pre-stop` talk to `run`: a word over a socket in the state volume, a line back.
//!
//! The askers run under the sidecar's CPU limit and within the kubelet's patience, so they use a plain blocking socket.

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
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to leave an asker alone who could not be accepted: without descriptors, the attempt fails again at once.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Longest line that an asker reads, in bytes.
const LINE: u64 = 8 * 1024;

/// What an asker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Probe,
    PreStop,
}

/// An asker who waits for a line.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) wish: Wish,
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

/// Accepts an asker, not before `earliest`.
pub(crate) async fn accept(listener: &UnixListener, earliest: Instant) -> io::Result<UnixStream> {
    if earliest > Instant::now() {
        tokio::time::sleep_until(earliest).await;
    }
    Ok(listener.accept().await?.0)
}

/// Hears what an asker wants; `None` where it wants nothing that we know, or takes too long.
pub(crate) async fn hear(mut stream: UnixStream) -> Option<Visitor> {
    let mut word = [0; 4];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut word)).await;
    read.ok()?.ok()?;
    let wish = match &word {
        PROBE => Wish::Probe,
        PRE_STOP => Wish::PreStop,
        _ => return None,
    };
    Some(Visitor { wish, stream })
}

impl Visitor {
    /// Answers with the status.
    pub(crate) async fn answer(mut self, status: Status) {
        let mark = if status.agent_may_start { '+' } else { '-' };
        let line = format!("{mark}{}: {}", status.reason, status.sentence);
        // An asker that has gone away asks again.
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(line.as_bytes())).await;
    }
}

/// What an asker got to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Whether the agent may start.
    pub agent_may_start: bool,
    /// The status line.
    pub line: String,
}

/// Asks the running sidecar for its status.
///
/// # Errors
/// No sidecar answers.
pub fn probe(directory: &Path) -> io::Result<Heard> {
    ask(directory, PROBE)
}

/// Tells the running sidecar that the pod begins to leave (T0), and returns as soon as it knows.
///
/// # Errors
/// No sidecar answers.
pub fn pre_stop(directory: &Path) -> io::Result<Heard> {
    ask(directory, PRE_STOP)
}

fn ask(directory: &Path, word: &[u8]) -> io::Result<Heard> {
    let mut stream = Blocking::connect(directory.join(FILE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(word)?;
    let mut line = String::new();
    stream.take(LINE).read_to_string(&mut line)?;
    let (may, rest) = match (line.strip_prefix('+'), line.strip_prefix('-')) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(io::Error::other("the sidecar said nothing")),
    };
    Ok(Heard {
        agent_may_start: may,
        line: rest.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Reason;

    #[tokio::test(flavor = "current_thread")]
    async fn a_wish_is_heard_and_answered() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        assert!(probe(&path).is_err(), "nobody listens");
        std::fs::write(path.join(FILE), "left behind").expect("written");
        let listener = bind(&path).expect("bound");
        for (ask, wish) in [
            (probe as fn(&Path) -> io::Result<Heard>, Wish::Probe),
            (pre_stop, Wish::PreStop),
        ] {
            let path = path.clone();
            let asker = tokio::task::spawn_blocking(move || ask(&path));
            let (stream, _) = listener.accept().await.expect("somebody asks");
            let visitor = hear(stream).await.expect("a wish");
            assert_eq!(visitor.wish, wish);
            let status = Status {
                reason: Reason::Ready,
                sentence: "all is well".into(),
                agent_may_start: true,
            };
            visitor.answer(status).await;
            let heard = asker.await.expect("no panic").expect("a line");
            assert_eq!(
                (heard.agent_may_start, heard.line.as_str()),
                (true, "ready: all is well")
            );
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nonsense_is_not_answered() {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = bind(directory.path()).expect("bound");
        let mut asker = Blocking::connect(directory.path().join(FILE)).expect("connected");
        asker.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
        let (stream, _) = listener.accept().await.expect("somebody asks");
        assert!(hear(stream).await.is_none());
    }
}

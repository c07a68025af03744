//! The termination message: what `kubectl describe pod` shows of a terminated container; the file can also be read
//! while it runs.

use contract::Reason;
use std::path::Path;
use tracing::debug;

/// The kubelet's limit for a termination message, in bytes.
const LIMIT: usize = 4096;

/// Replaces the message. It is not essential, so a failure is only logged.
pub(crate) fn write(path: &Path, reason: Reason, sentence: &str) {
    // The file is a mount of its own: it can be written, but not replaced by a rename.
    if let Err(error) = std::fs::write(path, message(reason, sentence)) {
        debug!(%error, path = %path.display(), "the termination message cannot be written");
    }
}

fn message(reason: Reason, sentence: &str) -> String {
    let mut message = format!("{reason}: {sentence}");
    message.truncate(message.floor_char_boundary(LIMIT));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_truncated_to_the_kubelets_limit() {
        assert_eq!(message(Reason::Ready, "all is well"), "ready: all is well");
        let long = message(Reason::Ready, &"ü".repeat(4096));
        assert!(long.len() <= LIMIT && long.len() > LIMIT - 4);
    }
}

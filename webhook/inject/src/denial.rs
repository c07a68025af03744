//! Why an object is refused.

use contract::DenyReason;
use std::fmt;

/// Why an object is refused. Its text is what a user reads: the reason, a colon, the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The word for logs and metrics, and the beginning of the text.
    pub reason: DenyReason,
    /// What is wrong: key, value and what to do.
    pub message: String,
}

impl Denial {
    pub(crate) fn new(reason: DenyReason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, message }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

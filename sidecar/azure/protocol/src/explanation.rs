//! What went wrong, for a person.

/// What went wrong: a machine-readable reason, and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<R> {
    /// Machine-readable reason.
    pub reason: R,
    /// What happened, where, and what to do; ends with what the server said, in parentheses.
    pub sentence: String,
}

impl<R> Explanation<R> {
    /// `detail` is what the server said; empty where it said nothing.
    pub(crate) fn new(reason: R, what: &str, detail: &str) -> Self {
        Self {
            reason,
            sentence: if detail.is_empty() {
                what.to_owned()
            } else {
                format!("{what} ({detail})")
            },
        }
    }
}

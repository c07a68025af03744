//! Tokens and assertions: text that no log, error or dump may show.

use std::fmt;
use zeroize::Zeroizing;

/// A secret. `Debug` prints nothing of it, there is no `Display`, and its memory is overwritten when it is dropped (the
/// copies that an HTTP client makes of a request are not).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends or writes it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the secret, for messages made of what a server answered: a confused or hostile one may echo it.
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(self.0.as_str(), "[redacted]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing_and_an_echo_is_redacted() {
        let secret = Secret::new("eyJ.abc".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(
            secret.redact("you sent eyJ.abc, or eyJ.abc?"),
            "you sent [redacted], or [redacted]?"
        );
        assert_eq!(Secret::new(String::new()).redact("as it is"), "as it is");
    }
}

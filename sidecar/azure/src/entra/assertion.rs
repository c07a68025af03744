//! The projected service-account token: read again for every exchange, shown to nobody.

use super::AssertionSource;
use crate::secret::Secret;
use azure_protocol::Claims;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest token that is read, in bytes; real ones have about 1,200.
const LIMIT: u64 = 16 * 1024;
/// Why there is no service-account token.
#[derive(Debug, thiserror::Error)]
pub enum AssertionError {
    /// The file cannot be read.
    #[error("service-account token {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing but white space.
    #[error("service-account token {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Something else than a token.
    #[error("service-account token {} is not a token", path.display())]
    NotToken {
        /// The file.
        path: PathBuf,
    },
    /// What is held is no token.
    #[error("the service-account token that was given is not a token")]
    HeldNotToken,
}

/// The token as it is now.
#[derive(Debug)]
pub(super) struct Assertion(Secret);

impl Assertion {
    /// Reads the token from where it is.
    pub(super) fn read(source: &AssertionSource) -> Result<Self, AssertionError> {
        match source {
            AssertionSource::File(path) => Self::read_file(path),
            AssertionSource::Held(token) if is_token(token.expose()) => Ok(Self(token.clone())),
            AssertionSource::Held(_) => Err(AssertionError::HeldNotToken),
        }
    }

    /// Reads the file. The kubelet swaps a directory above it, so that an open descriptor would show the old one forever.
    fn read_file(path: &Path) -> Result<Self, AssertionError> {
        let named = || path.to_owned();
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text));
        let text = Secret::new(text);
        read.map_err(|source| AssertionError::File { path: named(), source })?;
        let token = text.expose().trim();
        if token.is_empty() {
            return Err(AssertionError::Empty { path: named() });
        }
        if !is_token(token) {
            return Err(AssertionError::NotToken { path: named() });
        }
        Ok(Self(Secret::new(token.to_owned())))
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// What the token claims, unverified: for messages only.
    pub(super) fn claims(&self) -> Claims {
        Claims::of(self.0.expose())
    }
}

/// Whether this can stand in a request as a token.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() as u64 <= LIMIT && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Assertion, AssertionError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("assertion");
        std::fs::write(&path, content).expect("written");
        Assertion::read_file(&path)
    }

    #[test]
    fn white_space_around_the_token_is_not_sent() {
        assert_eq!(read(b" a.b.c\n").expect("a token").secret().expose(), "a.b.c");
    }

    #[test]
    fn an_invalid_token_is_reported_without_showing_it() {
        for content in [&b""[..], b" \n", b"two words", b"\xff\xfe", &[b'x'; 20_000]] {
            let problem = read(content).expect_err("no token").to_string();
            assert!(problem.contains("/assertion") && problem.len() < 200, "{problem}");
        }
        assert!(
            Assertion::read_file(Path::new("/does/not/exist"))
                .expect_err("no file")
                .to_string()
                .contains("/does/not/exist")
        );
    }

    #[test]
    fn a_held_token_is_checked_like_one_of_a_file() {
        let held = |text: &str| Assertion::read(&AssertionSource::Held(Secret::new(text.to_owned())));
        assert_eq!(held("a.b.c").expect("a token").secret().expose(), "a.b.c");
        for text in ["", "two words", &"x".repeat(20_000)] {
            assert!(matches!(held(text), Err(AssertionError::HeldNotToken)));
        }
    }
}

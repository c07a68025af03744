//! The projected service-account token: read again for every exchange, shown to nobody.

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
}

/// The token as it is in the file now.
#[derive(Debug)]
pub(super) struct Assertion(Secret);

impl Assertion {
    /// Reads the file. The kubelet swaps a directory above it, so that an open descriptor would show the old one forever.
    pub(super) fn read(path: &Path) -> Result<Self, AssertionError> {
        let named = || path.to_owned();
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text));
        let text = Secret::new(text);
        read.map_err(|source| AssertionError::File { path: named(), source })?;
        let token = text.expose().trim();
        if token.is_empty() {
            return Err(AssertionError::Empty { path: named() });
        }
        if token.len() as u64 > LIMIT || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Assertion, AssertionError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("assertion");
        std::fs::write(&path, content).expect("written");
        Assertion::read(&path)
    }

    #[test]
    fn white_space_around_the_token_is_not_sent() {
        assert_eq!(read(b" a.b.c\n").expect("a token").secret().expose(), "a.b.c");
    }

    #[test]
    fn what_is_no_token_is_said_without_showing_it() {
        for content in [&b""[..], b" \n", b"two words", b"\xff\xfe", &[b'x'; 20_000]] {
            let problem = read(content).expect_err("no token").to_string();
            assert!(problem.contains("/assertion") && problem.len() < 200, "{problem}");
        }
        assert!(
            Assertion::read(Path::new("/does/not/exist"))
                .expect_err("no file")
                .to_string()
                .contains("/does/not/exist")
        );
    }
}

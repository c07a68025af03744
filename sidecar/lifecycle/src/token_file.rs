//! The token file: which token it should hold, and when to write it.
//!
//! The sidecar never removes or empties the file. Some images delete it after they registered, so it is written again at
//! once; where an image deletes it in a loop, with growing pauses.

use crate::backoff;
use crate::{Time, TokenId};
use std::time::Duration;

/// Deletions this far apart do not count as a delete loop.
const LOOP_WINDOW: Duration = Duration::from_secs(300);

/// What we know of the token file.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenFile {
    holds: Option<TokenId>,
    in_progress: Option<TokenId>,
    /// Whether the file was removed while it was being written: which came first is unknown.
    removed_meanwhile: bool,
    failures: u32,
    /// Why it could not be written the last time.
    pub(crate) trouble: Option<String>,
    not_before: Time,
    removals: u32,
    last_removal: Time,
    /// Whether it was ever written in this run.
    pub(crate) was_written: bool,
}

impl TokenFile {
    /// Which token to write, and when; `None`: the file is as it should be, or being written.
    pub(crate) fn due(&self, newest: Option<TokenId>) -> Option<(Time, TokenId)> {
        let token = newest?;
        (self.in_progress.is_none() && self.holds != Some(token)).then_some((self.not_before, token))
    }

    pub(crate) fn begin(&mut self, token: TokenId) {
        self.in_progress = Some(token);
        self.removed_meanwhile = false;
    }

    pub(crate) fn written(&mut self, token: TokenId) {
        self.in_progress = None;
        self.holds = (!self.removed_meanwhile).then_some(token);
        self.failures = 0;
        self.trouble = None;
        self.was_written = true;
    }

    pub(crate) fn failed(&mut self, trouble: String, now: Time) {
        self.in_progress = None;
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble);
        self.not_before = self.not_before.max(now.plus(backoff::fast(self.failures)));
    }

    pub(crate) fn removed(&mut self, now: Time) {
        if self.holds.is_none() && self.in_progress.is_none() {
            return;
        }
        self.holds = None;
        self.removed_meanwhile = true;
        if now.since(self.last_removal) > LOOP_WINDOW {
            self.removals = 0;
        }
        // The first is followed at once, each later one within five minutes a little later.
        self.not_before = self.not_before.max(now.plus(backoff::fast(self.removals)));
        self.removals = self.removals.saturating_add(1);
        self.last_removal = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    #[test]
    fn holds_the_newest_token() {
        let mut file = TokenFile::default();
        assert_eq!(file.due(None), None);
        assert_eq!(file.due(Some(TokenId(1))), Some((at(0), TokenId(1))));
        file.begin(TokenId(1));
        assert_eq!(file.due(Some(TokenId(2))), None, "one write at a time");
        file.written(TokenId(1));
        assert_eq!(file.due(Some(TokenId(2))), Some((at(0), TokenId(2))));
        file.begin(TokenId(2));
        file.written(TokenId(2));
        assert_eq!(file.due(Some(TokenId(2))), None);
    }

    #[test]
    fn a_deletion_is_followed_at_once_and_a_loop_at_a_growing_distance() {
        let mut file = TokenFile::default();
        file.removed(at(1));
        assert_eq!(file.due(None), None, "what was never there cannot be removed");
        file.begin(TokenId(1));
        file.written(TokenId(1));
        let mut now = at(1000);
        let mut writes = 0;
        while now < at(1000 + 300) && writes < 50 {
            file.removed(now);
            let (due, token) = file.due(Some(TokenId(1))).expect("a removed file is to be written");
            if writes == 0 {
                assert_eq!(due, now);
            }
            now = now.max(due);
            file.begin(token);
            file.written(token);
            writes += 1;
        }
        assert!(writes < 12, "{writes} writes in five minutes");
    }

    #[test]
    fn a_deletion_during_a_write_is_not_forgotten() {
        let mut file = TokenFile::default();
        file.begin(TokenId(1));
        file.removed(at(5));
        file.written(TokenId(1));
        assert_eq!(file.due(Some(TokenId(1))).map(|due| due.1), Some(TokenId(1)));
    }

    #[test]
    fn a_failed_write_is_tried_again_later() {
        let mut file = TokenFile::default();
        for (second, due) in [(10, 11), (11, 13), (13, 17)] {
            file.begin(TokenId(1));
            file.failed("no space".to_owned(), at(second));
            assert_eq!(file.due(Some(TokenId(1))), Some((at(due), TokenId(1))));
        }
        assert!(!file.was_written);
    }
}

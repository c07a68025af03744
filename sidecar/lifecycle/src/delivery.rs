//! What the agent container waits for, and what the sidecar keeps up to date for it: one kind for each handoff.

use crate::sentences::{self, Trouble};
use crate::token_file::TokenFile;
use crate::{Command, Time, TokenId};

/// What the agent container waits for.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Handoff `token-file`: the newest token, in a file.
    TokenFile(TokenFile),
}

impl Delivery {
    /// When the next thing is to be done, and why; `newest` is the newest token, expired or not.
    pub(crate) fn due(&self, newest: Option<TokenId>) -> Option<(Time, &'static str)> {
        let Self::TokenFile(file) = self;
        file.due(newest).map(|(at, _)| (at, "the token file is written"))
    }

    /// Begins what is due now.
    pub(crate) fn begin(&mut self, newest: Option<TokenId>, now: Time) -> Option<Command> {
        let Self::TokenFile(file) = self;
        let (_, token) = file.due(newest).filter(|(at, _)| *at <= now)?;
        file.begin(token);
        Some(Command::WriteTokenFile(token))
    }

    /// Whether the agent container has had in this run what it waits for.
    pub(crate) fn is_delivered(&self) -> bool {
        let Self::TokenFile(file) = self;
        file.was_written
    }

    /// What keeps it from being delivered, or kept up to date.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let Self::TokenFile(file) = self;
        file.trouble.as_deref().map(sentences::file_failed)
    }

    /// What is said while it is not delivered and nothing is wrong.
    pub(crate) fn awaited(&self) -> String {
        let Self::TokenFile(_) = self;
        sentences::writes_file()
    }
}

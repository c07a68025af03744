//! What the agent container waits for, and what the sidecar keeps up to date for it: one kind for each handoff.

use crate::sentences::{self, Trouble};
use crate::token_file::TokenFile;
use crate::{Command, Time, TokenId};

/// What the agent container waits for.
#[derive(Debug, Clone)]
pub(crate) enum Delivery {
    /// Handoff `token-file`: the newest token, in a file.
    TokenFile(TokenFile),
    /// Handoff `gateway`: the process does not start without listening, so there is nothing to wait for.
    Gateway,
}

impl Delivery {
    /// When the next thing is to be done, and why; `newest` is the newest token, expired or not.
    pub(crate) fn due(&self, newest: Option<TokenId>) -> Option<(Time, &'static str)> {
        match self {
            Self::TokenFile(file) => file.due(newest).map(|(at, _)| (at, "the token file is written")),
            Self::Gateway => None,
        }
    }

    /// Begins what is due now.
    pub(crate) fn begin(&mut self, newest: Option<TokenId>, now: Time) -> Option<Command> {
        let Self::TokenFile(file) = self else { return None };
        let (_, token) = file.due(newest).filter(|(at, _)| *at <= now)?;
        file.begin(token);
        Some(Command::WriteTokenFile(token))
    }

    /// Whether this run has delivered what the agent container waits for.
    pub(crate) fn is_delivered(&self) -> bool {
        match self {
            Self::TokenFile(file) => file.was_written,
            Self::Gateway => true,
        }
    }

    pub(crate) fn written(&mut self, token: TokenId) {
        if let Self::TokenFile(file) = self {
            file.written(token);
        }
    }

    pub(crate) fn failed(&mut self, trouble: String, now: Time) {
        if let Self::TokenFile(file) = self {
            file.failed(trouble, now);
        }
    }

    pub(crate) fn removed(&mut self, now: Time) {
        if let Self::TokenFile(file) = self {
            file.removed(now);
        }
    }

    /// What keeps it from being delivered, or kept up to date.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::TokenFile(file) => file.trouble.as_deref().map(sentences::file_failed),
            Self::Gateway => None,
        }
    }

    /// The status message while it is not delivered and nothing is wrong.
    pub(crate) fn awaited(&self) -> String {
        match self {
            Self::TokenFile(_) => sentences::writes_file(),
            Self::Gateway => sentences::checked(),
        }
    }
}

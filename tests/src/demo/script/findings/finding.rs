//! One finding: its kind, its sentence, what helps.

/// What a finding says about the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// It does this well.
    Good,
    /// It does this badly.
    Bad,
    /// Worth knowing.
    Note,
    /// It cannot be judged here, since this machine or this sandbox lacks something.
    Missing,
}

/// One sentence, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Finding {
    pub(in super::super) kind: Kind,
    pub(in super::super) sentence: String,
    pub(in super::super) help: Option<String>,
}

impl Finding {
    fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
            help: None,
        }
    }

    pub(in super::super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

pub(super) fn good(sentence: impl Into<String>) -> Finding {
    Finding::new(Kind::Good, sentence)
}

pub(in super::super) fn bad(sentence: impl Into<String>) -> Finding {
    Finding::new(Kind::Bad, sentence)
}

pub(in super::super) fn note(sentence: impl Into<String>) -> Finding {
    Finding::new(Kind::Note, sentence)
}

pub(in super::super) fn missing(sentence: impl Into<String>) -> Finding {
    Finding::new(Kind::Missing, sentence)
}

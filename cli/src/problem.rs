//! What a command found: each line says whether it is good, and if it is not, why, and what to do.

use crate::output::{Color, Tone};
use contract::{AdoReason, DenyReason, EntraReason, OutcomeReason, Reason, RefusalReason, SkipReason};
use serde_json::{Value, json};

/// The project's documentation, below which anchors are.
pub const DOCUMENTATION: &str = "https://github.com/ado-agent-injector/ado-agent-injector/blob/main/docs/";

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Nobody could look, or nobody asked.
    Unseen,
    /// It works, but.
    Warning,
    /// It cannot work like this.
    Bad,
}

impl Level {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unseen => "not-looked-at",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }

    fn mark(self) -> (&'static str, Tone) {
        match self {
            Self::Good => ("✓", Tone::Good),
            Self::Unseen => ("-", Tone::Dim),
            Self::Warning => ("!", Tone::Warning),
            Self::Bad => ("✗", Tone::Bad),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How good it is.
    pub level: Level,
    /// What was looked at, such as `webhook certificate`.
    pub subject: String,
    /// What was found, as a sentence.
    pub sentence: String,
    /// Why, and what to do; none where it is good.
    pub problem: Option<Problem>,
}

/// Why something is not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One word that never changes, for machines and for searching.
    pub reason: &'static str,
    /// What to do, as a sentence, with commands that can be typed.
    pub fix: String,
    /// Page and anchor below [`DOCUMENTATION`].
    pub anchor: &'static str,
}

/// A reason that the programs in the cluster have, too: its word, and where it is explained.
pub fn shared(reason: impl Into<Reason>, fix: impl Into<String>) -> Problem {
    let reason = reason.into();
    Problem {
        reason: reason.as_str(),
        fix: fix.into(),
        anchor: anchor(reason),
    }
}

/// The section of the troubleshooting page that has a reason's row.
pub fn anchor(reason: Reason) -> &'static str {
    if SAID_BESIDE_AZURE.contains(&reason) {
        "troubleshooting.md#the-sidecar-and-azure-devops"
    } else if has(OutcomeReason::ALL, reason) {
        "troubleshooting.md#outcomes"
    } else if has(EntraReason::ALL, reason) {
        "troubleshooting.md#the-sidecar-and-entra"
    } else if has(AdoReason::ALL, reason) {
        "troubleshooting.md#the-sidecar-and-azure-devops"
    } else if has(DenyReason::ALL, reason) {
        "troubleshooting.md#the-webhook-denied-the-pod"
    } else if has(RefusalReason::ALL, reason) {
        "troubleshooting.md#the-sidecar-cannot-start"
    } else if has(SkipReason::ALL, reason) {
        "troubleshooting.md#the-webhook-left-the-pod-alone"
    } else {
        "troubleshooting.md#states"
    }
}

/// States and refusals that the page explains next to the errors of Azure DevOps.
const SAID_BESIDE_AZURE: [Reason; 4] = [
    Reason::GatewayFailed,
    Reason::HostNotAllowed,
    Reason::NotServices,
    Reason::TokenFileFailed,
];

fn has<T: Copy + Into<Reason>>(family: &[T], reason: Reason) -> bool {
    family.iter().any(|one| (*one).into() == reason)
}

/// A word of a command's own closed list of reasons, as the reference shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub word: &'static str,
    /// What it means, as lines of prose.
    pub docs: &'static [&'static str],
    /// Page and anchor below [`DOCUMENTATION`].
    pub anchor: &'static str,
}

/// Declares a command's closed list of reasons: words, documentation and anchors in one table. A command may share words with
/// another list, which declares them; where the command explains them itself it says where.
macro_rules! words {
    ($(#[doc = $family_doc:literal])+ $family:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $word:literal => $anchor:literal,)+
        $(shares { $($shared:ident of $list:ident => $shared_anchor:literal,)+ })?
    }) => {
        $(#[doc = $family_doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $family {
            $($(#[doc = $doc])+ $variant,)+
            $($(#[doc = concat!("See [`", stringify!($list), "::", stringify!($shared), "`].")] $shared,)+)?
        }

        impl $family {
            /// The words that only this list has, in the order of the reference.
            pub const WORDS: &'static [$crate::problem::Word] = &[
                $($crate::problem::Word { word: $word, docs: &[$($doc),+], anchor: $anchor },)+
            ];
            /// The words that other lists declare.
            pub const SHARED: &'static [$crate::problem::Word] = &[
                $($($crate::problem::Word {
                    word: $list::$shared.as_str(),
                    docs: $list::$shared.docs(),
                    anchor: $shared_anchor,
                },)+)?
            ];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                    $($(Self::$shared => $list::$shared.as_str(),)+)?
                }
            }

            /// What it means, as lines of prose.
            pub const fn docs(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($doc),+],)+
                    $($(Self::$shared => $list::$shared.docs(),)+)?
                }
            }

            /// This reason, with what to do.
            pub fn fix(self, fix: impl Into<String>) -> $crate::problem::Problem {
                let anchor = match self {
                    $(Self::$variant => $anchor,)+
                    $($(Self::$shared => $shared_anchor,)+)?
                };
                $crate::problem::Problem { reason: self.as_str(), fix: fix.into(), anchor }
            }
        }
    };
}
pub(crate) use words;

/// The reasons that commands of this program have beside those of the webhook and the sidecar ([`Reason::ALL`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The commands that say them.
    pub commands: &'static [&'static str],
    /// Page and section below [`DOCUMENTATION`] with a row for each of its own words, and what to do.
    pub section: &'static str,
    /// Those that nobody else has.
    pub own: &'static [Word],
    /// Those that another list has, too.
    pub shared: &'static [Word],
}

/// All of these families.
pub const FAMILIES: &[Family] = &[
    Family {
        commands: &["check"],
        section: "troubleshooting.md#ado-agent-check",
        own: crate::check::CheckReason::WORDS,
        shared: crate::check::CheckReason::SHARED,
    },
    Family {
        commands: &["provision", "deprovision"],
        section: "azure.md#when-a-phase-fails",
        own: crate::provision::ProvisionReason::WORDS,
        shared: crate::provision::ProvisionReason::SHARED,
    },
];

impl Finding {
    /// It is as it should be.
    pub fn good(subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::with(Level::Good, subject, sentence, None)
    }

    /// Nobody could look, or nobody asked.
    pub fn unseen(subject: impl Into<String>, sentence: impl Into<String>, problem: Problem) -> Self {
        Self::with(Level::Unseen, subject, sentence, Some(problem))
    }

    /// It works, but.
    pub fn warning(subject: impl Into<String>, sentence: impl Into<String>, problem: Problem) -> Self {
        Self::with(Level::Warning, subject, sentence, Some(problem))
    }

    /// It cannot work like this.
    pub fn bad(subject: impl Into<String>, sentence: impl Into<String>, problem: Problem) -> Self {
        Self::with(Level::Bad, subject, sentence, Some(problem))
    }

    fn with(level: Level, subject: impl Into<String>, sentence: impl Into<String>, problem: Option<Problem>) -> Self {
        Self {
            level,
            subject: subject.into(),
            sentence: sentence.into(),
            problem,
        }
    }

    /// For people: a mark, what was found, and below it what to do.
    pub fn lines(&self, color: Color) -> String {
        let (mark, tone) = self.level.mark();
        let mut text = format!("{} {}: {}\n", color.paint(tone, mark), self.subject, self.sentence);
        if let Some(problem) = &self.problem {
            text.push_str(&format!("    fix: {}\n", problem.fix));
            let see = format!("[{}] {DOCUMENTATION}{}", problem.reason, problem.anchor);
            text.push_str(&format!("    {}\n", color.paint(Tone::Dim, &see)));
        }
        text
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let mut value = json!({"level": self.level.as_str(), "subject": self.subject, "sentence": self.sentence});
        if let Some(problem) = &self.problem {
            value["reason"] = problem.reason.into();
            value["fix"] = problem.fix.as_str().into();
            value["documentation"] = format!("{DOCUMENTATION}{}", problem.anchor).into();
        }
        value
    }
}

//! What came of looking at something in the cluster.

use super::CheckReason;
use crate::problem::Finding;

/// What came of looking at something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Looked<T> {
    /// It is there.
    Found(T),
    /// It is not there.
    Missing,
    /// The API server does not allow this user to look; its sentence.
    Refused(String),
    /// It could not be looked at; why.
    Failed(String),
}

impl<T> Looked<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Looked<U> {
        match self {
            Self::Found(value) => Looked::Found(change(value)),
            Self::Missing => Looked::Missing,
            Self::Refused(sentence) => Looked::Refused(sentence),
            Self::Failed(why) => Looked::Failed(why),
        }
    }

    pub(crate) fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Missing | Self::Refused(_) | Self::Failed(_) => None,
        }
    }

    /// What was found, or the finding that says why there is nothing; `missing` says what it means that there is none.
    pub(crate) fn or_finding(&self, subject: &str, missing: impl FnOnce() -> Finding) -> Result<&T, Finding> {
        match self {
            Self::Found(value) => Ok(value),
            Self::Missing => Err(missing()),
            Self::Refused(sentence) => Err(not_permitted(subject, sentence)),
            Self::Failed(why) => Err(Finding::bad(
                subject,
                format!("Could not be looked at: {why}"),
                CheckReason::ClusterUnreachable.fix(
                    "Check that kubectl works with the same kubeconfig and context (`kubectl get --raw /readyz`); the API server's log says more.",
                ),
            )),
        }
    }
}

impl<T> From<Result<T, kube::Error>> for Looked<T> {
    fn from(result: Result<T, kube::Error>) -> Self {
        match result {
            Ok(value) => Self::Found(value),
            Err(kube::Error::Api(status)) if status.code == 404 => Self::Missing,
            Err(kube::Error::Api(status)) if status.code == 403 => Self::Refused(status.message),
            Err(kube::Error::Api(status)) => Self::Failed(format!("{} {}", status.code, status.message)),
            Err(error) => Self::Failed(contract::error_chain(&error)),
        }
    }
}

/// Nobody looked, for lack of a right.
pub(crate) fn not_permitted(subject: &str, sentence: &str) -> Finding {
    Finding::unseen(
        subject,
        format!("Not looked at: {sentence}"),
        CheckReason::NotPermitted
            .fix("Nothing has to be wrong. Somebody with the right that the sentence names sees this, too."),
    )
}

/// Nobody looked, since something was not given.
pub(crate) fn not_given(subject: &str, sentence: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::unseen(subject, sentence, CheckReason::NotGiven.fix(fix))
}

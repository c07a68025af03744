//! The bodies of the control routes.

use crate::ado::{Role, Timing};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClockBody {
    pub(super) service: Option<String>,
    pub(super) skew_seconds: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimingBody {
    pub(super) lock_seconds: u64,
    pub(super) session_seconds: u64,
    pub(super) poll_seconds: u64,
}

impl Default for TimingBody {
    fn default() -> Self {
        let usual = Timing::default();
        Self {
            lock_seconds: usual.lock.as_secs(),
            session_seconds: usual.session.as_secs(),
            poll_seconds: usual.poll.as_secs(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct JobBody {
    pub(super) pool: Option<String>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FinishBody {
    pub(super) result: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityBody {
    pub(super) name: String,
    pub(super) kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeBody {
    pub(super) disabled: Option<bool>,
    pub(super) blocked: Option<u32>,
    pub(super) token_lifetime_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialBody {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audiences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberBody {
    pub(super) role: Option<Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    pub(super) lifetime_seconds: Option<u64>,
    pub(super) resource: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssertionBody {
    pub(super) namespace: String,
    pub(super) account: String,
    pub(super) lifetime_seconds: Option<u64>,
}

//! How values are written that a pod's annotations and the operator's settings have in common: one parser and one wording for
//! both, so that nobody can set for all pods what no pod could ask for.

use crate::values::{Quantity, is_guid, is_image, is_tenant, quantity};
use crate::{FederatedToken, LogLevel, RunAsUser};
use contract::Handoff;

/// A text that is used as it was written.
pub(crate) struct TextForm {
    /// What it has to be, as the end of "expected …".
    pub(crate) expected: &'static str,
    pub(crate) is_valid: fn(&str) -> bool,
}

/// A value that is read from a text.
pub(crate) struct Form<T> {
    /// What it has to be, as the end of "expected …".
    pub(crate) expected: &'static str,
    pub(crate) parse: fn(&str) -> Option<T>,
}

/// Longest name of a pool, in bytes. It is written into two containers.
const POOL_BYTES_MAX: usize = 256;
/// Less memory than this does not start a container.
const MIN_MEMORY: Quantity = Quantity::bytes(4 * 1024 * 1024);
/// Longest grace period in seconds: 30 days.
const MAX_GRACE_SECONDS: i64 = 30 * 24 * 3600;

/// White space around it does not count, and does not get here.
pub(crate) const POOL: TextForm = TextForm {
    expected: "the name of an agent pool, of at most 256 bytes",
    is_valid: |name| !name.is_empty() && name.len() <= POOL_BYTES_MAX && !name.chars().any(char::is_control),
};
pub(crate) const CLIENT_ID: TextForm = TextForm {
    expected: "the client ID (a GUID) of an application or managed identity, for instance \"11111111-2222-3333-4444-555555555555\"",
    is_valid: is_guid,
};
pub(crate) const TENANT_ID: TextForm = TextForm {
    expected: "the ID (a GUID) or a domain name of an Entra tenant",
    is_valid: is_tenant,
};
pub(crate) const SIDECAR_IMAGE: TextForm = TextForm {
    expected: "an image reference, for instance \"registry.example/ado-agent-sidecar:0.1.0\"",
    is_valid: is_image,
};
pub(crate) const SIDECAR_CPU: TextForm = TextForm {
    expected: "a Kubernetes quantity of at least 1m, for instance \"100m\"",
    is_valid: |value| quantity(value).is_some_and(|cpu| cpu >= Quantity::MILLI),
};
pub(crate) const SIDECAR_MEMORY: TextForm = TextForm {
    expected: "a Kubernetes quantity of at least 4Mi, for instance \"32Mi\"",
    is_valid: |value| quantity(value).is_some_and(|memory| memory >= MIN_MEMORY),
};
pub(crate) const SIDECAR_EPHEMERAL_STORAGE: TextForm = TextForm {
    expected: "a Kubernetes quantity above zero, for instance \"16Mi\"",
    is_valid: |value| quantity(value).is_some_and(|size| size > Quantity::ZERO),
};
pub(crate) const LOG_LEVEL: Form<LogLevel> = Form {
    expected: "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
    parse: LogLevel::parse,
};
pub(crate) const HANDOFF: Form<Handoff> = Form {
    expected: "\"token-file\" or \"gateway\"",
    parse: Handoff::parse,
};
pub(crate) const GATEWAY_PORT: Form<u16> = Form {
    expected: "a port from 1024 to 65535, for instance \"7649\"",
    parse: |value| {
        let port = digits(value).and_then(|port| u16::try_from(port).ok());
        port.filter(|port| *port >= 1024)
    },
};
pub(crate) const FEDERATED_TOKEN: Form<FederatedToken> = Form {
    expected: "\"hide\" or \"keep\"",
    parse: FederatedToken::parse,
};
pub(crate) const RUN_AS_USER: Form<RunAsUser> = Form {
    expected: "a user ID from 1 to 2147483647 (the sidecar does not run as root), or \"none\" to leave it to the platform",
    parse: RunAsUser::parse,
};
pub(crate) const GRACE_SECONDS: Form<i64> = Form {
    expected: "a whole number of seconds from 0 to 2592000, for instance \"3600\"",
    parse: |value| digits(value).filter(|seconds| *seconds <= MAX_GRACE_SECONDS),
};
/// For all pods: without any grace no agent would ever be removed.
pub(crate) const DEFAULT_GRACE_SECONDS: Form<i64> = Form {
    expected: "a whole number of seconds from 1 to 2592000",
    parse: |value| (GRACE_SECONDS.parse)(value).filter(|seconds| *seconds > 0),
};
pub(crate) const BOOLEAN: Form<bool> = Form {
    expected: "\"true\" or \"false\"",
    parse: |value| value.parse().ok(),
};

/// A whole number without a sign.
pub(crate) fn digits(value: &str) -> Option<i64> {
    value
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| value.parse().ok())
        .flatten()
}

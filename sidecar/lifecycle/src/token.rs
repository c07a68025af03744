//! The access token: when to ask for one, when to replace it, how fast to try again.
//!
//! Nothing is final: Entra answers "no such federated credential" for minutes after one was created, and unknown
//! applications appear late as well. So the kind of an error sets pace and wording, never "give up", and a refresh
//! that fails leaves the current token in use.

use crate::backoff::{self, Jitter, MAX_RETRY_AFTER};
use crate::{Snapshot, Time, TokenAge, TokenId};
use azure_protocol::{EntraError, EntraErrorKind};
use std::time::Duration;

/// How old a token may be when the pod begins to terminate without being exchanged once more.
const FRESH_ENOUGH: Duration = Duration::from_secs(180);
/// Minimum age before a token that Azure DevOps refuses is replaced; a newer one would be refused as well.
const REFUSED_RENEWAL: Duration = Duration::from_secs(300);

/// The longest lifetime that is accepted; a token that claims more is refreshed as if it had this one.
const MAX_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// The minimum time from one token to the exchange for the next.
const MIN_WAIT: Duration = Duration::from_secs(60);

/// A token that Entra issued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) id: TokenId,
    issued: Time,
    pub(crate) expires: Time,
}

/// What we know of our access token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token {
    held: Option<Held>,
    /// When the request that is under way was made.
    requested: Option<Time>,
    /// When to exchange next; `None` before the first exchange: at once.
    next: Option<Time>,
    /// The last refusal, until a token is issued.
    pub(crate) refusal: Option<EntraError>,
    /// Whether the immediate retry after a changed assertion was used up since the last token.
    retried_at_once: bool,
}

impl Token {
    /// The token to use now, if there is one that has not expired.
    pub(crate) fn usable(&self, now: Time) -> Option<TokenId> {
        self.held.filter(|held| now < held.expires).map(|held| held.id)
    }

    /// The newest token, expired or not: what belongs in the file.
    pub(crate) fn newest(&self) -> Option<Held> {
        self.held
    }

    /// How old the newest token is; `None`: there is none.
    pub(crate) fn age(&self, now: Time) -> Option<TokenAge> {
        self.held.map(|held| TokenAge {
            age: now.since(held.issued),
            remaining: held.expires.since(now),
        })
    }

    /// When to ask Entra; `None` while a request is under way.
    pub(crate) fn due(&self, snapshot: &Snapshot) -> Option<(Time, &'static str)> {
        if self.requested.is_some() {
            return None;
        }
        let wanted = self.next.unwrap_or_default();
        let allowed = snapshot.exchange_not_before.unwrap_or_default();
        Some((
            wanted.max(allowed),
            if self.held.is_some() {
                "the token is refreshed"
            } else {
                "a token is asked for"
            },
        ))
    }

    pub(crate) fn request(&mut self, now: Time) {
        self.requested = Some(now);
    }

    pub(crate) fn issued(
        &mut self,
        id: TokenId,
        lifetime: Duration,
        refresh_in: Option<Duration>,
        snapshot: &mut Snapshot,
        jitter: &mut Jitter,
        now: Time,
    ) {
        // The lifetime counts from before the request was sent.
        let issued = self.requested.take().unwrap_or(now);
        let lifetime = lifetime.min(MAX_LIFETIME);
        let wait = jitter.around(refresh_after(lifetime, refresh_in), 10);
        self.held = Some(Held {
            id,
            issued,
            expires: issued.plus(lifetime),
        });
        // A token without a usable lifetime must not make us ask without a pause.
        self.next = Some(issued.plus(wait).max(now.plus(MIN_WAIT)));
        self.refusal = None;
        self.retried_at_once = false;
        snapshot.exchange_failures = 0;
        snapshot.exchange_not_before = None;
    }

    pub(crate) fn refused(&mut self, refusal: EntraError, snapshot: &mut Snapshot, jitter: &mut Jitter, now: Time) {
        self.requested = None;
        snapshot.exchange_failures = snapshot.exchange_failures.saturating_add(1);
        let at_once =
            refusal.kind == EntraErrorKind::AssertionExpired && refusal.assertion_changed && !self.retried_at_once;
        let delay = if at_once {
            self.retried_at_once = true;
            Duration::ZERO
        } else {
            delay(&refusal, snapshot.exchange_failures, jitter)
        };
        self.next = Some(now.plus(delay));
        snapshot.exchange_not_before = self.next;
        self.refusal = Some(refusal);
    }

    /// The pod begins to terminate: one more exchange while the assertion is valid, as the kubelet no longer rotates it.
    pub(crate) fn drain(&mut self, now: Time) {
        if self.held.is_some_and(|held| now.since(held.issued) >= FRESH_ENOUGH) {
            self.next = Some(now);
        }
    }

    /// Azure DevOps refused the token `used`: ask for another one, but not soon after it was issued.
    pub(crate) fn renew(&mut self, used: Option<TokenId>) {
        if let Some(held) = self.held
            && used == Some(held.id)
        {
            let at = held.issued.plus(REFUSED_RENEWAL);
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    /// Whether a token newer than `used` is held.
    pub(crate) fn is_newer_than(&self, used: Option<TokenId>) -> bool {
        self.held.is_some_and(|held| used != Some(held.id))
    }
}

/// When to refresh a token of this lifetime, counted from its issue: fits tokens of one hour and of a day.
fn refresh_after(lifetime: Duration, refresh_in: Option<Duration>) -> Duration {
    let half = (lifetime > Duration::from_secs(7200)).then_some(lifetime / 2);
    let before_the_end = lifetime.saturating_sub((lifetime / 6).max(Duration::from_secs(600)));
    let short = (before_the_end.is_zero()).then_some(lifetime / 2);
    [refresh_in, half, short.or(Some(before_the_end))]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(before_the_end)
}

/// How long to wait after the `failures`-th refusal in a row.
fn delay(refusal: &EntraError, failures: u32, jitter: &mut Jitter) -> Duration {
    if let Some(pause) = refusal.retry_after {
        // What Entra asks for wins over our own pace, except that it is never asked faster.
        let pause = pause.clamp(backoff::fast(failures), MAX_RETRY_AFTER);
        return jitter.above(pause.max(min_pause(refusal.kind)), 10);
    }
    match pace(refusal.kind) {
        Pace::Fast => jitter.around(backoff::fast(failures), 20),
        Pace::Appearing => jitter.around(appearing(failures), 20),
        Pace::Slow => jitter.above(Duration::from_secs(300), 10),
        Pace::Throttled => jitter.above(Duration::from_secs(60).max(min_pause(refusal.kind)), 10),
    }
}

/// The minimum pause: after a detected loop Entra must not be asked for minutes, whatever `Retry-After` says.
fn min_pause(kind: EntraErrorKind) -> Duration {
    if kind == EntraErrorKind::LoopDetected {
        Duration::from_secs(300)
    } else {
        Duration::ZERO
    }
}

/// 5 s to one minute for about a quarter of an hour, then every five minutes.
fn appearing(failures: u32) -> Duration {
    // 5 + 10 + 20 + 40 s, then 14 minutes: the 18th pause ends 15 minutes after the first refusal.
    if failures > 18 {
        Duration::from_secs(300)
    } else {
        backoff::doubling(Duration::from_secs(5), Duration::from_secs(60), failures)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Transient, over within seconds: 1 s to one minute.
    Fast,
    /// Appears minutes after somebody created it: 5 s to one minute for a quarter of an hour, then five minutes.
    Appearing,
    /// Needs a person: five minutes.
    Slow,
    /// As long as Entra says, else one minute.
    Throttled,
}

fn pace(kind: EntraErrorKind) -> Pace {
    match kind {
        EntraErrorKind::AssertionMissing
        | EntraErrorKind::Unavailable
        | EntraErrorKind::Unreachable
        | EntraErrorKind::UnexpectedResponse => Pace::Fast,
        EntraErrorKind::AssertionExpired
        | EntraErrorKind::CredentialMissing
        | EntraErrorKind::IssuerUnreachable
        | EntraErrorKind::BindingRefused => Pace::Appearing,
        EntraErrorKind::Throttled | EntraErrorKind::LoopDetected => Pace::Throttled,
        EntraErrorKind::AssertionRejected
        | EntraErrorKind::AssertionTooLong
        | EntraErrorKind::ApplicationUnknown
        | EntraErrorKind::TenantUnknown
        | EntraErrorKind::ResourceUnknown
        | EntraErrorKind::ConditionalAccess
        | EntraErrorKind::Refused => Pace::Slow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refusal(kind: EntraErrorKind) -> EntraError {
        EntraError {
            kind,
            detail: String::new(),
            retry_after: None,
            assertion_changed: false,
        }
    }

    #[test]
    fn one_schedule_fits_an_hour_and_a_day() {
        for (lifetime, refresh_in, expected) in [
            (3600, None, 3000),
            (5400, None, 4500),
            (7200, None, 6000),
            (7201, None, 3600),
            (86_399, None, 43_199),
            (86_399, Some(43_000), 43_000),
            (3600, Some(100_000), 3000),
            (900, None, 300),
            (600, None, 300),
            (60, None, 30),
            (0, None, 0),
        ] {
            let after = refresh_after(seconds(lifetime), refresh_in.map(seconds));
            assert_eq!(
                after.as_secs(),
                expected,
                "lifetime {lifetime} s, refresh_in {refresh_in:?}"
            );
        }
    }

    #[test]
    fn each_kind_has_its_pace() {
        let mut jitter = Jitter::new(7);
        for (kind, failures, low, high) in [
            (EntraErrorKind::Unreachable, 1, 0.8, 1.2),
            (EntraErrorKind::Unavailable, 9, 48.0, 72.0),
            (EntraErrorKind::AssertionMissing, 2, 1.6, 2.4),
            (EntraErrorKind::CredentialMissing, 1, 4.0, 6.0),
            (EntraErrorKind::CredentialMissing, 18, 48.0, 72.0),
            (EntraErrorKind::CredentialMissing, 19, 240.0, 360.0),
            (EntraErrorKind::IssuerUnreachable, 3, 16.0, 24.0),
            (EntraErrorKind::AssertionExpired, 1, 4.0, 6.0),
            (EntraErrorKind::ApplicationUnknown, 1, 300.0, 330.0),
            (EntraErrorKind::TenantUnknown, 50, 300.0, 330.0),
            (EntraErrorKind::Refused, 1, 300.0, 330.0),
            (EntraErrorKind::Throttled, 1, 60.0, 66.0),
            (EntraErrorKind::LoopDetected, 1, 300.0, 330.0),
        ] {
            let delay = delay(&refusal(kind), failures, &mut jitter).as_secs_f64();
            assert!((low..=high).contains(&delay), "{kind:?} after {failures}: {delay} s");
        }
    }

    #[test]
    fn retry_after_wins_within_reason() {
        let mut jitter = Jitter::new(7);
        for (kind, asked, failures, low, high) in [
            (EntraErrorKind::Throttled, 20, 1, 20.0, 22.0),
            (EntraErrorKind::Throttled, 0, 4, 8.0, 8.8),
            (EntraErrorKind::Throttled, 99_999, 1, 600.0, 660.0),
            (EntraErrorKind::LoopDetected, 10, 1, 300.0, 330.0),
            (EntraErrorKind::ApplicationUnknown, 20, 1, 20.0, 22.0),
        ] {
            let refusal = EntraError {
                retry_after: Some(seconds(asked)),
                ..refusal(kind)
            };
            let delay = delay(&refusal, failures, &mut jitter).as_secs_f64();
            assert!((low..=high).contains(&delay), "{kind:?} asked for {asked}: {delay} s");
        }
    }

    #[test]
    fn a_changed_assertion_is_retried_at_once_but_once() {
        let (mut token, mut snapshot, mut jitter) = (Token::default(), Snapshot::default(), Jitter::new(1));
        let changed = EntraError {
            assertion_changed: true,
            ..refusal(EntraErrorKind::AssertionExpired)
        };
        token.request(Time(seconds(5)));
        token.refused(changed.clone(), &mut snapshot, &mut jitter, Time(seconds(6)));
        assert_eq!(token.due(&snapshot).map(|due| due.0), Some(Time(seconds(6))));
        token.request(Time(seconds(6)));
        token.refused(changed, &mut snapshot, &mut jitter, Time(seconds(7)));
        assert!(token.due(&snapshot).is_some_and(|due| due.0 > Time(seconds(10))));
    }

    #[test]
    fn a_refused_token_is_renewed_only_five_minutes_after_its_issue() {
        let (mut token, mut snapshot, mut jitter) = (Token::default(), Snapshot::default(), Jitter::new(1));
        token.request(Time(seconds(10)));
        token.issued(
            TokenId(1),
            seconds(3600),
            None,
            &mut snapshot,
            &mut jitter,
            Time(seconds(11)),
        );
        token.renew(Some(TokenId(1)));
        assert_eq!(token.due(&snapshot).map(|due| due.0), Some(Time(seconds(310))));
        token.renew(Some(TokenId(0)));
        assert_eq!(token.due(&snapshot).map(|due| due.0), Some(Time(seconds(310))));
    }
}

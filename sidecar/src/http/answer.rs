//! One request and what is kept of its answer, which may be of any size.

use super::sieve::{Keep, Sieve};
use crate::times;
use azure_protocol::ServerTime;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest excerpt of a server's own words in a sentence, in characters.
const EXCERPT: usize = 300;

/// How much is kept of a body that is not the JSON that was asked for, in bytes: enough to recognize a sign-in page.
const BEGINNING: usize = 16 * 1024;

/// What is kept of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// How the body begins; empty where it may hold a token.
    pub(crate) beginning: Vec<u8>,
    /// What was wanted of the body; `None` where that is not JSON.
    pub(crate) json: Option<Zeroizing<Vec<u8>>>,
}

/// What to keep of an answer's body, once its status is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) keep: &'static Keep,
    /// Whether it may hold a token, so that nothing else of it may be kept.
    pub(crate) secret: bool,
}

/// Sends a request and reads its answer to the end. JSON is read piece by piece, however long it is; of anything else only
/// the beginning is read. `element` gets the elements of a kept array, and refuses one that it does not understand by
/// returning false. The request's timeout covers the body.
///
/// # Errors
/// The whole chain of what went wrong, without the URL.
pub(crate) async fn send(
    request: RequestBuilder,
    wanted: impl FnOnce(StatusCode) -> Wanted,
    element: impl FnMut(&[u8]) -> bool,
) -> Result<Answer, String> {
    // Without this header any encoding would be acceptable (RFC 9110, 12.5.3), and none of them is understood.
    let request = request.header(ACCEPT_ENCODING, "identity");
    let response = request.send().await.map_err(|error| chain(&error.without_url()))?;
    receive(response, wanted, element).await
}

/// The second half of [`send`]: reads an answer whose head is there.
///
/// # Errors
/// Likewise.
pub(crate) async fn receive(
    mut response: Response,
    wanted: impl FnOnce(StatusCode) -> Wanted,
    element: impl FnMut(&[u8]) -> bool,
) -> Result<Answer, String> {
    let mut answer = Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        beginning: Vec::new(),
        json: None,
    };
    let wanted = wanted(answer.status);
    answer
        .read(&mut response, wanted, element)
        .await
        .map_err(|error| chain(&error.without_url()))?;
    Ok(answer)
}

impl Answer {
    async fn read(
        &mut self,
        response: &mut Response,
        wanted: Wanted,
        mut element: impl FnMut(&[u8]) -> bool,
    ) -> reqwest::Result<()> {
        let mut sieve = self.is_json().then(|| Sieve::new(wanted.keep));
        let keep = if sieve.is_some() && wanted.secret { 0 } else { BEGINNING };
        while let Some(piece) = response.chunk().await? {
            let room = keep - self.beginning.len();
            self.beginning.extend_from_slice(&piece[..piece.len().min(room)]);
            if let Some(reading) = &mut sieve
                && reading.push(&piece, &mut element).is_err()
            {
                sieve = None;
            }
            // A long answer comes faster than it is read: probes and the hook are not kept waiting for its end.
            tokio::task::yield_now().await;
            // Nothing is learned from the rest, and its connection is not worth having.
            if sieve.is_none() && self.beginning.len() == keep {
                return Ok(());
            }
        }
        self.json = sieve.and_then(|sieve| sieve.finish().ok());
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of_json(
        status: StatusCode,
        keep: &'static Keep,
        body: &str,
        element: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Self {
        let mut sieve = Sieve::new(keep);
        let read = sieve.push(body.as_bytes(), element).and_then(|()| sieve.finish());
        let kind = (
            CONTENT_TYPE,
            reqwest::header::HeaderValue::from_static("application/json"),
        );
        Self {
            status,
            headers: HeaderMap::from_iter([kind]),
            beginning: body.as_bytes()[..body.len().min(BEGINNING)].to_vec(),
            json: read.ok(),
        }
    }

    /// What was wanted of the body, if it has the right shape.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.json.as_ref()?).ok()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
    }

    /// The encoding that was not asked for, if there is one.
    fn encoding(&self) -> Option<&str> {
        self.header(CONTENT_ENCODING.as_str())
            .filter(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    }

    /// Whether the answer says that it is JSON.
    pub(crate) fn is_json(&self) -> bool {
        if self.encoding().is_some() {
            return false;
        }
        self.header(CONTENT_TYPE.as_str())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| {
                let kind = kind.trim().to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json")
            })
    }

    /// `Date`.
    pub(crate) fn date(&self) -> Option<ServerTime> {
        times::http_date(self.header(DATE.as_str())?)
    }

    /// `Retry-After`, given in seconds or as a date (RFC 9110, 10.2.3).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let value = self.header(RETRY_AFTER.as_str())?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = times::http_date(value)?;
        let from = self.date().unwrap_or_else(times::wall_clock);
        Some(Duration::from_secs(u64::try_from(until.0 - from.0).unwrap_or_default()))
    }

    /// What an answer that nobody expected looks like: status, kind and how it begins.
    pub(crate) fn look(&self) -> String {
        let kind = self.header(CONTENT_TYPE.as_str()).unwrap_or("no content type");
        if let Some(encoding) = self.encoding() {
            return format!(
                "{} ({kind}), encoded ({}), which was not asked for",
                self.status,
                excerpt(encoding)
            );
        }
        let text = String::from_utf8_lossy(&self.beginning);
        let title = text
            .split_once("<title>")
            .and_then(|(_, rest)| rest.split_once("</title>"))
            .map(|(title, _)| title);
        match title {
            Some(title) => format!("{} ({kind}), a page with the title \"{}\"", self.status, excerpt(title)),
            None if text.trim().is_empty() => format!("{} ({kind}), empty", self.status),
            None => format!(
                "{} ({kind}): {}",
                self.status,
                excerpt(text.get(..200).unwrap_or(&text))
            ),
        }
    }
}

/// A server's own words, on one line and not too long.
pub(crate) fn excerpt(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    if line.chars().count() <= EXCERPT {
        return line;
    }
    line.chars().take(EXCERPT).chain(['…']).collect()
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn answer(headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        Answer {
            status: StatusCode::OK,
            headers: headers.collect(),
            beginning: body.as_bytes().to_vec(),
            json: None,
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (value, expected) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-7", None),
            ("soon", None),
        ] {
            let answer = answer(&[("retry-after", value), date], "");
            assert_eq!(answer.retry_after(), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(answer(&[date], "").retry_after(), None);
    }

    #[test]
    fn json_is_what_says_so() {
        for (kind, json) in [
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/problem+json", true),
            ("text/html", false),
            ("text/json-like", false),
        ] {
            assert_eq!(answer(&[("content-type", kind)], "").is_json(), json, "{kind}");
        }
        assert!(!answer(&[], "{}").is_json());
    }

    #[test]
    fn a_page_is_described_by_its_title() {
        let page = answer(
            &[("content-type", "text/html")],
            "<html><title>Corporate\n  proxy</title>",
        );
        assert_eq!(
            page.look(),
            "200 OK (text/html), a page with the title \"Corporate proxy\""
        );
        assert!(answer(&[], "  ").look().ends_with("empty"));
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), EXCERPT + 1);
    }
}

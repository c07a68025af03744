//! A response of any size, reduced to what is needed of it.

use super::sieve::{Keep, Sieve};
use crate::ServerTime;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest excerpt of a server's text in a message, in characters.
const EXCERPT: usize = 300;

/// How much is kept of a body that is not the JSON that was asked for, in bytes: enough to recognize a sign-in page.
const BEGINNING: usize = 16 * 1024;

/// What is kept of a response.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// When its head was received, by the client's clock.
    pub(crate) received: ServerTime,
    /// How the body begins; empty where it may hold a token.
    pub(crate) beginning: Vec<u8>,
    /// What was wanted of the body; `None` where that is not JSON.
    pub(crate) json: Option<Zeroizing<Vec<u8>>>,
}

/// What to keep of a response's body, once its status is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) keep: &'static Keep,
    /// Whether it may hold a token, so that nothing else of it may be kept.
    pub(crate) secret: bool,
}

/// Whether the rest of a body is worth reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Give the next piece.
    More,
    /// The rest is useless: close the connection.
    Enough,
}

/// Reads a response piece by piece. Of JSON, only what was wanted is kept, however long it is; of anything else, only the
/// beginning.
#[derive(Debug)]
pub(crate) struct Reader {
    response: Response,
    sieve: Option<Sieve>,
    keep: usize,
}

impl Reader {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, received: ServerTime, wanted: Wanted) -> Self {
        let response = Response {
            status,
            headers,
            received,
            beginning: Vec::new(),
            json: None,
        };
        let sieve = response.is_json().then(|| Sieve::new(wanted.keep));
        let keep = if sieve.is_some() && wanted.secret { 0 } else { BEGINNING };
        Self { response, sieve, keep }
    }

    /// Reads the next piece of the body. `element` gets the elements of a kept array, and refuses one that it does not
    /// understand by returning false.
    pub(crate) fn push(&mut self, piece: &[u8], element: &mut dyn FnMut(&[u8]) -> bool) -> Flow {
        let beginning = &mut self.response.beginning;
        let room = self.keep - beginning.len();
        beginning.extend_from_slice(&piece[..piece.len().min(room)]);
        if let Some(sieve) = &mut self.sieve
            && sieve.push(piece, element).is_err()
        {
            self.sieve = None;
        }
        if self.sieve.is_none() && self.response.beginning.len() == self.keep {
            Flow::Enough
        } else {
            Flow::More
        }
    }

    /// The response, once its body was read, or enough of it.
    pub(crate) fn finish(self) -> Response {
        Response {
            json: self.sieve.and_then(|sieve| sieve.finish().ok()),
            ..self.response
        }
    }
}

impl Response {
    #[cfg(test)]
    pub(crate) fn of_json(
        status: StatusCode,
        keep: &'static Keep,
        body: &str,
        element: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Self {
        let mut sieve = Sieve::new(keep);
        let read = sieve.push(body.as_bytes(), element).and_then(|()| sieve.finish());
        let kind = (CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        Self {
            status,
            headers: HeaderMap::from_iter([kind]),
            received: ServerTime(0),
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

    /// Whether the response says that it is JSON.
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
    pub fn date(&self) -> Option<ServerTime> {
        ServerTime::http_date(self.header(DATE.as_str())?)
    }

    /// `Retry-After`, given in seconds or as a date (RFC 9110, 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header(RETRY_AFTER.as_str())?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = ServerTime::http_date(value)?;
        let from = self.date().unwrap_or(self.received);
        Some(Duration::from_secs(
            u64::try_from(until.0.saturating_sub(from.0)).unwrap_or_default(),
        ))
    }

    /// What an unexpected response looks like: status, content type and how it begins.
    pub(crate) fn describe(&self) -> String {
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

/// A server's text, on one line and shortened.
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn response(headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        Response {
            status: StatusCode::OK,
            headers: headers.collect(),
            received: ServerTime(0),
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
            let response = response(&[("retry-after", value), date], "");
            assert_eq!(response.retry_after(), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(response(&[date], "").retry_after(), None);
    }

    #[test]
    fn a_body_is_json_only_if_its_content_type_says_so() {
        for (kind, json) in [
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/problem+json", true),
            ("text/html", false),
            ("text/json-like", false),
        ] {
            assert_eq!(response(&[("content-type", kind)], "").is_json(), json, "{kind}");
        }
        assert!(!response(&[], "{}").is_json());
    }

    #[test]
    fn a_page_is_described_by_its_title() {
        let page = response(
            &[("content-type", "text/html")],
            "<html><title>Corporate\n  proxy</title>",
        );
        assert_eq!(
            page.describe(),
            "200 OK (text/html), a page with the title \"Corporate proxy\""
        );
        assert!(response(&[], "  ").describe().ends_with("empty"));
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), EXCERPT + 1);
    }
}

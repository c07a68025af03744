//! One request and its bounded answer.

use crate::times;
use lifecycle::ServerTime;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use std::error::Error;
use std::time::Duration;

/// Longest excerpt of a server's own words in a sentence, in characters.
const EXCERPT: usize = 300;

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends a request and reads at most `limit` bytes of its answer.
///
/// # Errors
/// The whole chain of what went wrong, without the URL.
pub(crate) async fn send(request: RequestBuilder, limit: usize) -> Result<Answer, String> {
    let mut response = request.send().await.map_err(|error| chain(&error.without_url()))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer is longer than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
    }

    /// Whether the answer says that it is JSON.
    pub(crate) fn is_json(&self) -> bool {
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
        let text = String::from_utf8_lossy(&self.body);
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
            body: body.as_bytes().to_vec(),
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

//! Requests as the emulators read them, replies as they write them.

use super::body::{Pace, Paced};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use serde_json::Value;
use std::io::Write;

/// A request, read to its end.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method in capitals.
    pub method: String,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// Host as the client named it, with the port if it said one.
    pub authority: String,
    /// Path as it was sent.
    pub path: String,
    /// Decoded segments of the path, empty ones left out.
    pub segments: Vec<String>,
    /// Decoded query in order.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Request {
    /// `None` where the request names no usable host or target.
    pub(super) fn new(head: hyper::http::request::Parts, body: Bytes, scheme: &'static str) -> Option<Self> {
        let host = head
            .headers
            .get(hyper::header::HOST)
            .and_then(|host| host.to_str().ok());
        let authority = head
            .uri
            .authority()
            .map(|authority| authority.as_str())
            .or(host)?
            .to_owned();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let url = Url::parse(&format!("{scheme}://{authority}{target}")).ok()?;
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let segments = url
            .path_segments()?
            .map(decode)
            .filter(|segment| !segment.is_empty())
            .collect();
        Some(Self {
            method: head.method.as_str().to_owned(),
            scheme,
            authority,
            path: head.uri.path().to_owned(),
            segments,
            query,
            headers: head.headers,
            body,
        })
    }

    /// Host without the port, in lower case.
    pub fn host(&self) -> String {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        };
        host.to_ascii_lowercase()
    }

    /// Scheme and authority, as the client sees them: `https://dev.azure.com`.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// A query parameter; its name's case does not matter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// A query parameter that is `true`, in whatever case.
    pub fn flag(&self, name: &str) -> bool {
        self.parameter(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as a multipart form; `None` where it is something else.
    pub fn multipart(&self) -> Option<Vec<(String, String)>> {
        super::multipart::fields(self.header("content-type")?, &self.body)
    }

    /// The body as an urlencoded form; `None` where it is declared as something else.
    pub fn form(&self) -> Option<Vec<(String, String)>> {
        let declared = self.header("content-type")?.split(';').next()?.trim();
        declared
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            .then_some(())?;
        let mut url = Url::parse("https://form/").ok()?;
        url.set_query(Some(std::str::from_utf8(&self.body).ok()?));
        Some(url.query_pairs().into_owned().collect())
    }
}

/// Decodes `%20` and its like; a plus sign in a path is a plus sign.
fn decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let hex = |at: usize| -> Option<u8> {
        let digits = std::str::from_utf8(bytes.get(at..at + 2)?).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match hex(at + 1).filter(|_| byte == b'%') {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers in order; a name may come twice.
    pub headers: Vec<(&'static str, String)>,
    /// Content.
    pub body: Bytes,
    /// How the content is sent.
    pub pace: Pace,
}

impl Reply {
    /// A reply without content.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            pace: Pace::AtOnce,
        }
    }

    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::content(status, "application/json; charset=utf-8", body.to_string())
    }

    /// HTML.
    pub fn html(status: u16, body: impl Into<Bytes>) -> Self {
        Self::content(status, "text/html; charset=utf-8", body)
    }

    /// Plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::content(status, "text/plain; charset=utf-8", body)
    }

    /// Any content.
    pub fn content(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(status).with("content-type", content_type);
        reply.body = body.into();
        reply
    }

    /// The same with one header more. Names are in lower case.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Compresses the content with gzip where the client takes that.
    pub fn compress_for(&mut self, request: &Request) {
        let accepted = request.header("accept-encoding").unwrap_or_default().split(',');
        let mut accepted = accepted.map(|coding| coding.split(';').next().unwrap_or_default().trim());
        if self.body.is_empty() || !accepted.any(|coding| coding.eq_ignore_ascii_case("gzip")) {
            return;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(&self.body).and_then(|()| encoder.finish());
        self.body = written.expect("memory takes everything").into();
        self.headers.push(("content-encoding", "gzip".to_owned()));
        self.headers.push(("vary", "Accept-Encoding".to_owned()));
    }

    pub(super) fn into_response(self) -> hyper::Response<Paced> {
        let mut response = hyper::Response::new(Paced::new(self.body, self.pace));
        *response.status_mut() = hyper::StatusCode::from_u16(self.status).expect("replies have a valid status");
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("header values are visible ASCII");
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn path_segments_are_decoded_and_odd_ones_are_kept() {
        assert_eq!(decode("my%20pool+1"), "my pool+1");
        assert_eq!(decode("50%"), "50%");
        assert_eq!(decode("%zz%C3%A4"), "%zzä");
    }
}

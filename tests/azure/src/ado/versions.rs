//! The checks that come before every resource: api-version and content type, with the service's own refusals.
//!
//! Texts: actions/runner `WebApiResources.g.cs`, confirmed by public reports of each refusal (codescene-ci-cd#14, AZDOPS#63).

use super::errors::Refusal;
use super::locations::{Location, NEWEST, Version};
use crate::http::{Reply, Request};

/// What a request asks for: `7.1`, `7.2-preview`, `7.2-preview.1`.
struct Requested<'r> {
    text: &'r str,
    version: Version,
    preview: bool,
    revision: Option<u32>,
}

impl<'r> Requested<'r> {
    fn parse(text: &'r str) -> Option<Self> {
        let (number, flag) = match text.split_once('-') {
            Some((number, flag)) => (number, Some(flag)),
            None => (text, None),
        };
        let (major, minor) = number.split_once('.')?;
        let revision = match flag {
            None | Some("preview") => None,
            Some(flag) => Some(flag.strip_prefix("preview.")?.parse().ok()?),
        };
        Some(Self {
            text,
            version: Version(major.parse().ok()?, minor.parse().ok()?),
            preview: flag.is_some(),
            revision,
        })
    }
}

/// Where the version stands: the query, else `Accept`, else, of a request with a body, `Content-Type`.
fn requested(request: &Request) -> Option<&str> {
    let written = |header: &str| request.header(header).and_then(|value| parameter(value, "api-version"));
    request
        .parameter("api-version")
        .or_else(|| written("accept"))
        .or_else(|| written("content-type").filter(|_| !request.body.is_empty()))
}

/// A parameter of a media type, of the first that has it where there are several.
fn parameter<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    header
        .split([',', ';'])
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// Checks version and content type. Returns the version with which the service answers.
pub(super) fn check(request: &Request, location: &Location) -> Result<String, Refusal> {
    let changes = ["POST", "PUT", "PATCH", "DELETE"].contains(&request.method.as_str());
    let Some(text) = requested(request) else {
        if changes {
            return Err(Refusal::version_not_specified(&request.method));
        }
        return Ok(location.default_version());
    };
    let wanted = Requested::parse(text).ok_or_else(|| Refusal::version_not_valid(text))?;
    if wanted.version > NEWEST {
        return Err(Refusal::version_out_of_range(text, &NEWEST.to_string()));
    }
    let newer_revision = wanted.revision.is_some_and(|revision| revision > location.revision);
    if wanted.version < location.min || newer_revision {
        return Err(Refusal::version_out_of_range_for_route(text, &location.name()));
    }
    if wanted.version > location.released && !wanted.preview {
        return Err(Refusal::version_under_preview(text));
    }
    content_type(request)?;
    Ok(wanted.text.to_owned())
}

const CONTENT_TYPES: [&str; 2] = ["application/json", "application/json-patch+json"];

fn content_type(request: &Request) -> Result<(), Refusal> {
    if request.body.is_empty() || !["POST", "PUT", "PATCH"].contains(&request.method.as_str()) {
        return Ok(());
    }
    let declared = request.header("content-type").unwrap_or_default();
    let declared = declared.split(';').next().unwrap_or_default().trim();
    if CONTENT_TYPES
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(declared))
    {
        return Ok(());
    }
    Err(Refusal::content_type_not_supported(
        declared,
        &request.method,
        &CONTENT_TYPES.join(", "),
    ))
}

/// JSON answers name the version in their type.
pub(super) fn decorate(reply: &mut Reply, version: &str) {
    for (name, value) in &mut reply.headers {
        if *name == "content-type" && value.starts_with("application/json") {
            value.push_str("; api-version=");
            value.push_str(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_the_services_own_form() {
        for (text, preview, revision) in [
            ("7.1", false, None),
            ("7.2-preview", true, None),
            ("7.2-preview.2", true, Some(2)),
        ] {
            let read = Requested::parse(text).expect(text);
            assert_eq!((read.preview, read.revision), (preview, revision), "{text}");
        }
        for text in ["", "7", "7.x", "7.1-beta", "7.1-preview.x", "latest"] {
            assert!(Requested::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_media_types_parameter_is_found_in_every_spelling() {
        for header in [
            "application/json;api-version=7.1",
            "application/json; charset=utf-8; api-version=7.1",
            "application/json; api-version=\"7.1\"; excludeUrls=true",
            "text/plain, application/json; API-Version=7.1",
        ] {
            assert_eq!(parameter(header, "api-version"), Some("7.1"), "{header}");
        }
        assert_eq!(parameter("application/json", "api-version"), None);
    }
}

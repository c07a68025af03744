//! Which headers of a request go on, and which of an answer come back.

use crate::Credential;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, DATE, ETAG, EXPECT, HOST, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// How the answer may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As the client takes it.
    AsAsked,
    /// Not compressed: it is read.
    Plain,
}

/// Of one connection only (RFC 9110, 7.6.1), and those that each connection makes anew.
const OF_THE_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    // The connection to us is asked to go on by us.
    EXPECT,
];
const OF_THE_CONNECTION_TOO: [&str; 4] = [
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
];

/// What a request with the ticket may say: nothing that changes what it means, such as `X-HTTP-Method-Override`.
const WITH_THE_TICKET: [HeaderName; 4] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, USER_AGENT];
/// What its answer may say: no cookie, no redirect, no challenge.
const TO_THE_TICKET: [HeaderName; 5] = [CONTENT_ENCODING, CONTENT_TYPE, DATE, ETAG, RETRY_AFTER];
const TO_THE_TICKET_TOO: [&str; 6] = [
    "activityid",
    "x-tfs-processid",
    "x-vss-e2eid",
    "x-ratelimit-delay",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// Headers of the request that is sent on. The credential of a ticket is left out: the client puts the token in.
pub fn onward(headers: &HeaderMap, credential: Credential, encoding: Encoding) -> HeaderMap {
    let mut onward = match credential {
        Credential::Ticket => headers
            .iter()
            .filter(|(name, _)| WITH_THE_TICKET.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Credential::Other | Credential::None => of_the_message(headers),
    };
    if credential == Credential::Ticket {
        onward.remove(AUTHORIZATION);
        // Asks for a 401 instead of the redirect to a sign-in page.
        let name = HeaderName::from_static("x-tfs-fedauthredirect");
        onward.insert(name, HeaderValue::from_static("Suppress"));
    }
    if encoding == Encoding::Plain || credential == Credential::Ticket {
        onward.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    onward
}

/// Headers of the answer that comes back.
pub fn back(headers: &HeaderMap, credential: Credential) -> HeaderMap {
    match credential {
        Credential::Other | Credential::None => of_the_message(headers),
        Credential::Ticket => headers
            .iter()
            .filter(|(name, _)| TO_THE_TICKET.contains(name) || TO_THE_TICKET_TOO.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

/// Everything but what belongs to one connection.
fn of_the_message(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let stays = |name: &HeaderName| {
        OF_THE_CONNECTION.contains(name)
            || OF_THE_CONNECTION_TOO.contains(&name.as_str())
            || named.iter().any(|named| named == name.as_str())
    };
    headers
        .iter()
        .filter(|(name, _)| !stays(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = all.iter();
        all.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn with_the_ticket_only_what_is_listed_goes_on_and_comes_back() {
        let sent = headers(&[
            ("authorization", "Bearer ticket"),
            ("accept", "application/json; api-version=5.1-preview.1"),
            ("user-agent", "VSServices/16"),
            ("cookie", "a=b"),
            ("x-http-method-override", "DELETE"),
            ("x-forwarded-host", "elsewhere"),
            ("accept-encoding", "gzip"),
        ]);
        let sent = onward(&sent, Credential::Ticket, Encoding::AsAsked);
        let expected = ["accept", "accept-encoding", "user-agent", "x-tfs-fedauthredirect"];
        assert_eq!(names(&sent), expected);
        assert_eq!(sent[ACCEPT_ENCODING], "identity");
        let answered = headers(&[
            ("content-type", "application/json"),
            ("set-cookie", "FedAuth=secret"),
            ("location", "https://elsewhere"),
            ("www-authenticate", "Basic"),
            ("activityid", "a"),
        ]);
        assert_eq!(
            names(&back(&answered, Credential::Ticket)),
            ["activityid", "content-type"]
        );
    }

    #[test]
    fn of_another_credential_everything_but_the_connection_goes_on_and_comes_back() {
        let sent = headers(&[
            ("authorization", "Bearer own"),
            ("cookie", "a=b"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("host", "127.0.0.1"),
            ("expect", "100-continue"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("accept-encoding", "gzip"),
        ]);
        let passed = onward(&sent, Credential::Other, Encoding::AsAsked);
        assert_eq!(names(&passed), ["accept-encoding", "authorization", "cookie"]);
        assert_eq!(passed[ACCEPT_ENCODING], "gzip");
        assert_eq!(
            onward(&sent, Credential::Other, Encoding::Plain)[ACCEPT_ENCODING],
            "identity"
        );
        let answered = headers(&[
            ("www-authenticate", "Bearer authorization_uri=x"),
            ("www-authenticate", "Basic realm=\"y\""),
            ("set-cookie", "a=b"),
            ("connection", "keep-alive"),
        ]);
        let answered = back(&answered, Credential::None);
        assert_eq!(names(&answered), ["set-cookie", "www-authenticate", "www-authenticate"]);
    }
}

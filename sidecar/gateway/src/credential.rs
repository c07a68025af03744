//! Whose request it is: one with the ticket, or one with a credential of its own.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// How a request says who is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The ticket, as the password of any user or as a bearer token.
    Ticket,
    /// Something else: the agent's own token, a job's.
    Other,
    /// Nothing.
    None,
}

impl Credential {
    /// Reads a request's headers. With several credentials the request is refused before this is asked.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Self::None;
        };
        let words = value.to_str().ok().and_then(|value| value.trim().split_once(' '));
        let is_ticket = words.is_some_and(|(scheme, secret)| {
            let secret = secret.trim();
            if scheme.eq_ignore_ascii_case("bearer") {
                secret == contract::TICKET
            } else {
                scheme.eq_ignore_ascii_case("basic") && password(secret).as_deref() == Some(contract::TICKET)
            }
        });
        if is_ticket { Self::Ticket } else { Self::Other }
    }
}

/// The password of `Basic` (RFC 7617): behind the first colon.
fn password(secret: &str) -> Option<String> {
    let text = String::from_utf8(BASE64_STANDARD.decode(secret).ok()?).ok()?;
    Some(text.split_once(':')?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(value: &str) -> Credential {
        let value = HeaderValue::from_str(value).expect("a value");
        Credential::of(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn the_ticket_is_a_bearer_token_or_the_password_of_any_user() {
        let ticket = contract::TICKET;
        for user in ["", "VstsAgent", "user", "ü"] {
            assert_eq!(of(&basic(&format!("{user}:{ticket}"))), Credential::Ticket);
        }
        assert_eq!(of(&format!("bearer {ticket}")), Credential::Ticket);
        assert_eq!(of(&format!("BEARER  {ticket} ")), Credential::Ticket);
        for other in [
            format!("Bearer {ticket}x"),
            format!("Bearer {}", ticket.to_uppercase()),
            format!("Digest {ticket}"),
            basic(ticket),
            basic(&format!("{ticket}:")),
            basic(&format!("user:{ticket}:")),
            "Basic !!!".to_owned(),
            ticket.to_owned(),
            String::new(),
        ] {
            assert_eq!(of(&other), Credential::Other, "{other}");
        }
        assert_eq!(Credential::of(&HeaderMap::new()), Credential::None);
    }
}

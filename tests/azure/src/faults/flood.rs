//! Answers that are larger than anybody asked for, made of the right one.

use crate::http::{Pace, Reply};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What an answer is full of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Flood {
    /// Every agent of the answer has so many capabilities more, before its own.
    Capabilities {
        /// How many.
        count: usize,
    },
    /// The list has so many agents more, all created just now, before its own.
    Agents {
        /// How many.
        count: usize,
    },
    /// The first object of the answer has a member of so many brackets within each other.
    Nesting {
        /// How many.
        depth: usize,
    },
    /// Every string of the answer that is not a GUID or a time is so long.
    Strings {
        /// In bytes.
        length: usize,
    },
    /// The body never ends.
    Endless,
    /// The body is compressed although nobody asked for it, and would be far larger than it looks.
    Compressed,
    /// A page instead of the answer, of so many bytes, with the status.
    Page {
        /// The status.
        status: u16,
        /// In bytes.
        length: usize,
    },
}

impl Flood {
    /// Makes the right answer larger.
    pub(super) fn change(self, reply: &mut Reply) {
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        let body = match self {
            Self::Capabilities { count } => {
                let mut more = String::with_capacity(count * 14);
                for number in 0..count {
                    let _ = write!(more, "\"K{number}\":\"v\",");
                }
                let mark = "\"systemCapabilities\":{";
                body.replace(mark, &format!("{mark}{more}"))
            }
            Self::Agents { count } => {
                // Again and again the same thousand: a longer list is not made in the time that a client waits.
                let strangers = (0..count.min(1000)).map(|number| {
                    let id = 1_000_000 + number;
                    format!(
                        "{{\"id\":{id},\"name\":\"stranger-{id}\",\"createdOn\":\"9999-01-01T00:00:00Z\",\"status\":\"online\"}},"
                    )
                });
                let more = strangers.collect::<String>().repeat(count.div_ceil(1000));
                body.replace("\"value\":[{", &format!("\"value\":[{more}{{"))
            }
            Self::Nesting { depth } => {
                let (open, close) = ("[".repeat(depth), "]".repeat(depth));
                body.replacen('{', &format!("{{\"junk\":{open}{close},"), 1)
            }
            Self::Strings { length } => {
                let long = format!("\"{}\"", "x".repeat(length));
                [
                    "name",
                    "status",
                    // The capability that names an agent's owner.
                    "ADO_AGENT_OWNER",
                    "message",
                    "access_token",
                    "error_description",
                ]
                .iter()
                .fold(body, |body, key| replaced(&body, key, &long))
            }
            Self::Endless => {
                reply.pace = Pace::Endless;
                // Inside a value that nobody wants.
                let open = body.replacen('{', "{\"junk\":[", 1);
                let end = open.find('[').map_or(0, |bracket| bracket + 1);
                format!("{}{}", &open[..end], "{\"a\":1},".repeat(16 * 1024))
            }
            Self::Compressed => {
                reply.headers.push(("content-encoding", "gzip".to_owned()));
                "\u{1f}\u{8b}\u{8}".repeat(1000)
            }
            Self::Page { status, length } => {
                let filler = "<p>blocked</p>".repeat(length / 14);
                *reply = Reply::html(
                    status,
                    format!("<html><head><title>Access blocked</title></head><body>{filler}"),
                );
                return;
            }
        };
        reply.body = body.into();
    }
}

/// The body with another value for every string member of this name.
fn replaced(body: &str, key: &str, value: &str) -> String {
    let mark = format!("\"{key}\":\"");
    let mut parts = body.split(&mark);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.find('"').map_or("", |end| &part[end + 1..]);
        let _ = write!(text, "\"{key}\":{value}{rest}");
    }
    text
}

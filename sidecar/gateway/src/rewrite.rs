//! Changes members of a JSON document while it passes.
//!
//! A document may be of any size: a hosted organization's connection data lists all its services. So it is never held: what
//! is not changed goes on as it comes, and only a key that may be one of ours is kept back until it is complete.
//!
//! **Invariant:** what is held is bounded by [`KEY_LIMIT`], whatever comes.

/// Longest key that can be one of ours, in bytes as it is written (each character as `\u0041`).
const KEY_LIMIT: usize = 256;

/// A member that is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The keys that lead to it, from the document down. Case does not matter, as it does not to .NET.
    pub(crate) path: &'static [&'static str],
    /// Its new value; `None`: the member is left out.
    pub(crate) value: Option<String>,
}

/// The document is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value.
    Value,
    /// Before a key, or the end of the object where `or_end`.
    Key {
        or_end: bool,
    },
    InKey {
        escaped: bool,
    },
    Colon,
    /// Behind a member's value.
    CommaOrEnd,
    /// Within a value that is passed on or left out as a whole.
    Within {
        kept: bool,
        depth: u64,
        text: bool,
        escaped: bool,
    },
    /// Within a number, `true`, `false` or `null`.
    Literal {
        kept: bool,
    },
    /// Behind the document.
    End,
}

/// What becomes of the member whose key was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Its members are looked at.
    Entered,
    LeftOut,
    Replaced(usize),
}

/// A document that passes.
#[derive(Debug)]
pub struct Rewriter {
    rules: Vec<Rule>,
    state: State,
    fate: Fate,
    key: Vec<u8>,
    /// The keys of the objects that are open and looked at, as places in `rules`' paths, and whether each wrote a member.
    open: Vec<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    /// The rules whose path leads through here.
    rules: Vec<usize>,
    wrote: bool,
}

impl Rewriter {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            state: State::Value,
            fate: Fate::Entered,
            key: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Takes the next piece; what goes on is added to `out`.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            if let State::Within {
                kept,
                text,
                escaped: false,
                ..
            } = self.state
            {
                let ends = |byte: &u8| match text {
                    true => matches!(byte, b'"' | b'\\'),
                    false => matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'),
                };
                let run = rest.iter().position(ends).unwrap_or(rest.len());
                if run > 0 {
                    if kept {
                        out.extend_from_slice(&rest[..run]);
                    }
                    rest = &rest[run..];
                    continue;
                }
            }
            if self.step(byte, out)? {
                rest = after;
            }
        }
        Ok(())
    }

    /// The end of the document.
    ///
    /// # Errors
    /// It is not complete.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.state {
            State::End => Ok(()),
            State::Literal { .. } if self.open.is_empty() => Ok(()),
            State::Value
            | State::Key { .. }
            | State::InKey { .. }
            | State::Colon
            | State::CommaOrEnd
            | State::Within { .. }
            | State::Literal { .. } => Err(Malformed),
        }
    }

    /// Takes one byte; false where it has to be looked at again, in the next state.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<bool, Malformed> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            // The marks of a document that begins with one (U+FEFF in UTF-8).
            State::Value if self.open.is_empty() && matches!(byte, 0xEF | 0xBB | 0xBF) => {}
            State::Value | State::Colon | State::Key { .. } | State::CommaOrEnd | State::End if is_space => {}
            State::Value => self.begin(byte, out)?,
            State::Key { or_end: true } if byte == b'}' => self.close(out),
            State::Key { .. } if byte == b'"' => {
                self.key.clear();
                self.key.push(byte);
                self.state = State::InKey { escaped: false };
            }
            State::InKey { escaped } => {
                self.key.push(byte);
                if byte == b'"' && !escaped {
                    self.named(out);
                } else if self.key.len() > KEY_LIMIT {
                    // None of ours: it and its value are passed on as they come.
                    self.separate(out);
                    out.append(&mut self.key);
                    self.fate = Fate::Kept;
                    self.state = State::Within {
                        kept: true,
                        depth: 0,
                        text: true,
                        escaped: byte == b'\\' && !escaped,
                    };
                    self.key.push(b':');
                } else {
                    self.state = State::InKey {
                        escaped: byte == b'\\' && !escaped,
                    };
                }
            }
            State::Colon if byte == b':' => {
                if self.fate != Fate::LeftOut {
                    out.push(byte);
                }
                self.state = State::Value;
            }
            State::CommaOrEnd if byte == b',' => self.state = State::Key { or_end: false },
            State::CommaOrEnd if byte == b'}' => self.close(out),
            State::Within {
                kept,
                mut depth,
                mut text,
                escaped,
            } => {
                if kept {
                    out.push(byte);
                }
                let mut escapes = false;
                match byte {
                    _ if escaped => {}
                    b'\\' if text => escapes = true,
                    b'"' => text = !text,
                    b'{' | b'[' if !text => depth += 1,
                    b'}' | b']' if !text => depth = depth.checked_sub(1).ok_or(Malformed)?,
                    _ => {}
                }
                self.state = State::Within {
                    kept,
                    depth,
                    text,
                    escaped: escapes,
                };
                if depth == 0 && !text {
                    self.ended();
                }
            }
            State::Literal { kept } => match byte {
                b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' => {
                    self.ended();
                    return Ok(false);
                }
                _ if kept => out.push(byte),
                _ => {}
            },
            State::Key { .. } | State::Colon | State::CommaOrEnd | State::End => return Err(Malformed),
        }
        Ok(true)
    }

    /// The first byte of a value.
    fn begin(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if byte == b'{' && self.fate == Fate::Entered {
            out.push(byte);
            let rules = match self.open.last() {
                None => (0..self.rules.len()).collect(),
                Some(_) => self.matching(self.open.len()),
            };
            self.open.push(Open { rules, wrote: false });
            self.state = State::Key { or_end: true };
            return Ok(());
        }
        if let Fate::Replaced(rule) = self.fate {
            out.extend_from_slice(self.rules[rule].value.as_deref().unwrap_or("null").as_bytes());
        }
        let kept = matches!(self.fate, Fate::Kept | Fate::Entered);
        if kept {
            out.push(byte);
        }
        self.state = match byte {
            b'{' | b'[' => State::Within {
                kept,
                depth: 1,
                text: false,
                escaped: false,
            },
            b'"' => State::Within {
                kept,
                depth: 0,
                text: true,
                escaped: false,
            },
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => State::Literal { kept },
            _ => return Err(Malformed),
        };
        Ok(())
    }

    /// A key is complete.
    fn named(&mut self, out: &mut Vec<u8>) {
        let depth = self.open.len();
        let through = self.matching(depth);
        let whole = through.iter().find(|rule| self.rules[**rule].path.len() == depth);
        self.fate = match whole {
            Some(rule) if self.rules[*rule].value.is_none() => Fate::LeftOut,
            Some(rule) => Fate::Replaced(*rule),
            None if through.is_empty() => Fate::Kept,
            None => Fate::Entered,
        };
        if self.fate != Fate::LeftOut {
            self.separate(out);
            out.extend_from_slice(&self.key);
        }
        self.state = State::Colon;
    }

    /// The rules of the innermost object whose path goes on with the key that was read.
    fn matching(&self, depth: usize) -> Vec<usize> {
        let Some(open) = self.open.last() else {
            return Vec::new();
        };
        let Ok(key) = serde_json::from_slice::<String>(&self.key) else {
            return Vec::new();
        };
        let goes_on = |rule: &&usize| {
            let next = self.rules[**rule].path.get(depth - 1);
            next.is_some_and(|next| next.eq_ignore_ascii_case(&key))
        };
        open.rules.iter().filter(goes_on).copied().collect()
    }

    /// The comma between two members.
    fn separate(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = self.open.last_mut() {
            if open.wrote {
                out.push(b',');
            }
            open.wrote = true;
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        out.push(b'}');
        self.open.pop();
        self.ended();
    }

    /// A value has ended, or a key that was too long to be ours.
    fn ended(&mut self) {
        let was_long_key = self.key.as_slice() == b":";
        self.key.clear();
        self.state = if was_long_key {
            State::Colon
        } else if self.open.is_empty() {
            State::End
        } else {
            State::CommaOrEnd
        };
    }
}

#[cfg(test)]
mod tests;

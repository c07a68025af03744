//! Filters JSON while it arrives: keeps the members that were asked for and drops the rest.
//!
//! A response may have any size: an agent publishes whatever capabilities its listener sends, and a list is as long as the pool
//! is large. So no response is held as a whole. A [`Sieve`] reads every byte once and copies the wanted members into a small
//! document, which serde parses. Existing streaming parsers either block for more bytes, which costs a thread, or buffer the
//! current string, which may be the large one.
//!
//! **Invariant:** memory is bounded by [`TEXT_LIMIT`] and [`DOCUMENT_LIMIT`] for any input. **Invariant:** a kept value is
//! complete. Dropped values are not validated; only their brackets are counted.

use zeroize::Zeroizing;

/// Longest string or number that is kept, in bytes of JSON text.
const TEXT_LIMIT: usize = 16 * 1024;
/// Longest document that is kept (for a list: each element). Only repeated members could make one longer.
const DOCUMENT_LIMIT: usize = 64 * 1024;
/// Longest key that can be a wanted one, in bytes of JSON text (with every character escaped as `\u0041`).
const KEY_LIMIT: usize = 256;

/// What to keep of a value. A value of another type is kept as `null`, unless it is a scalar.
#[derive(Debug)]
pub enum Keep {
    /// A string, number or boolean; one that is too long is an error.
    Scalar,
    /// The same for a value that third parties choose: a string that is too long is replaced by the empty one, and the rest of
    /// the document stays readable.
    Foreign,
    /// These members of an object.
    Object(&'static [(&'static str, Self)]),
    /// The elements of an array, handed over one by one; the array itself stays empty.
    Each(&'static Self),
}

/// Not JSON, more to keep than the limits allow, or an element that was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The state between two bytes.
#[derive(Debug)]
enum State {
    /// A value, or the end of the array where that is still empty.
    Value {
        or_end: bool,
    },
    /// A key, or the end of the object where that is still empty.
    Key {
        or_end: bool,
    },
    /// Inside a key.
    InKey {
        escaped: bool,
    },
    Colon,
    /// A comma, or the end of the innermost container.
    CommaOrEnd,
    /// Inside a string that is copied to the document from there on.
    InText {
        escaped: bool,
        start: usize,
        may_be_long: bool,
    },
    /// Inside a number, `true`, `false` or `null`.
    InLiteral {
        kept: bool,
        start: usize,
    },
    /// Inside a dropped value, at this depth of brackets.
    Skipping {
        depth: u64,
        text: bool,
        escaped: bool,
    },
    /// The document is complete.
    End,
}

/// A document that is being read.
#[derive(Debug)]
pub struct Sieve {
    state: State,
    /// The kept containers that are open, and where the current element of each array begins.
    open: Vec<(&'static Keep, usize)>,
    /// What to keep of the next value.
    keep: Option<&'static Keep>,
    key: Vec<u8>,
    /// It may hold a token.
    document: Zeroizing<Vec<u8>>,
}

impl Sieve {
    /// Keeps this of the document.
    pub fn new(keep: &'static Keep) -> Self {
        Self {
            state: State::Value { or_end: false },
            open: Vec::new(),
            keep: Some(keep),
            key: Vec::new(),
            document: Zeroizing::default(),
        }
    }

    /// Reads the next bytes. `element` gets the elements of kept arrays, and rejects one by returning false.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn push(&mut self, bytes: &[u8], element: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Malformed> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            // Runs of dropped bytes are skipped at once; everything else goes byte by byte.
            let run = self.run(rest);
            if run > 0 {
                rest = &rest[run..];
                continue;
            }
            if self.step(byte, element)? {
                rest = after;
            }
        }
        Ok(())
    }

    /// The kept document, after the last byte.
    ///
    /// # Errors
    /// The document is not complete.
    pub fn finish(mut self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        if let State::InLiteral { .. } = self.state
            && self.open.is_empty()
        {
            self.state = State::End;
        }
        match self.state {
            State::End => Ok(self.document),
            State::Value { .. }
            | State::Key { .. }
            | State::InKey { .. }
            | State::Colon
            | State::CommaOrEnd
            | State::InText { .. }
            | State::InLiteral { .. }
            | State::Skipping { .. } => Err(Malformed),
        }
    }

    /// How many bytes can be skipped without changing the state.
    fn run(&self, bytes: &[u8]) -> usize {
        let mut bytes = bytes.iter();
        let all = bytes.len();
        let run = match self.state {
            State::Skipping { escaped: true, .. } => Some(0),
            State::Skipping { text: true, .. } => bytes.position(|byte| matches!(byte, b'"' | b'\\')),
            State::Skipping { text: false, .. } => {
                bytes.position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))
            }
            State::Value { .. } | State::Key { .. } | State::Colon | State::CommaOrEnd | State::End => {
                bytes.position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            }
            State::InKey { .. } | State::InText { .. } | State::InLiteral { .. } => Some(0),
        };
        run.unwrap_or(all)
    }

    /// Processes one byte; false if it has to be processed again in the new state.
    fn step(&mut self, byte: u8, element: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Malformed> {
        match &mut self.state {
            State::Value { or_end: true } if byte == b']' => self.close(byte, element)?,
            State::Value { .. } => return self.begin(byte).map(|()| true),
            State::Key { or_end: true } if byte == b'}' => self.close(byte, element)?,
            State::Key { .. } if byte == b'"' => {
                self.key.clear();
                self.key.push(byte);
                self.state = State::InKey { escaped: false };
            }
            State::InKey { escaped } => {
                let ends = byte == b'"' && !*escaped;
                *escaped = byte == b'\\' && !*escaped;
                if self.key.len() <= KEY_LIMIT {
                    self.key.push(byte);
                }
                if ends {
                    self.keep = self.wanted();
                    self.state = State::Colon;
                }
            }
            State::Colon if byte == b':' => self.state = State::Value { or_end: false },
            State::CommaOrEnd if byte == b',' => {
                self.state = match self.open.last() {
                    Some((Keep::Each(of), _)) => {
                        self.keep = Some(*of);
                        State::Value { or_end: false }
                    }
                    Some(_) => State::Key { or_end: false },
                    None => return Err(Malformed),
                };
            }
            State::CommaOrEnd => self.close(byte, element)?,
            State::InText {
                escaped,
                start,
                may_be_long,
            } => {
                let ends = byte == b'"' && !*escaped;
                *escaped = byte == b'\\' && !*escaped;
                let (start, escaped, may_be_long) = (*start, *escaped, *may_be_long);
                if self.document.len() - start >= TEXT_LIMIT {
                    if !may_be_long {
                        return Err(Malformed);
                    }
                    self.document.truncate(start);
                    self.document.extend_from_slice(b"\"\"");
                    self.state = State::Skipping {
                        depth: 0,
                        text: true,
                        escaped,
                    };
                    // The closing quote is processed again, as the end of a dropped string.
                    return Ok(!ends);
                }
                self.document.push(byte);
                if ends {
                    self.ended(element)?;
                }
            }
            State::InLiteral { kept, start } => match byte {
                b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' => {
                    self.ended(element)?;
                    return Ok(false);
                }
                _ if !*kept => {}
                _ if self.document.len() - *start > KEY_LIMIT => return Err(Malformed),
                _ => self.document.push(byte),
            },
            State::Skipping { depth, text, escaped } => {
                if *text {
                    let ends = byte == b'"' && !*escaped;
                    *escaped = byte == b'\\' && !*escaped;
                    *text = !ends;
                    if ends && *depth == 0 {
                        self.ended(element)?;
                    }
                } else {
                    match byte {
                        b'"' => *text = true,
                        b'{' | b'[' => *depth += 1,
                        b'}' | b']' => *depth -= 1,
                        _ => {}
                    }
                    if *depth == 0 {
                        self.ended(element)?;
                    }
                }
            }
            State::Key { .. } | State::Colon | State::End => return Err(Malformed),
        }
        Ok(true)
    }

    /// What to keep of the member whose key was just read.
    fn wanted(&self) -> Option<&'static Keep> {
        let Some((Keep::Object(members), _)) = self.open.last() else {
            return None;
        };
        let text = self.key.get(1..self.key.len() - 1)?;
        let decoded = text
            .contains(&b'\\')
            .then(|| serde_json::from_slice::<String>(&self.key).ok());
        let key = match &decoded {
            Some(decoded) => decoded.as_ref()?.as_bytes(),
            None => text,
        };
        let (_, keep) = members.iter().find(|(name, _)| name.as_bytes() == key)?;
        Some(keep)
    }

    /// The first byte of a value.
    fn begin(&mut self, byte: u8) -> Result<(), Malformed> {
        let keep = self.keep.take();
        if keep.is_some() {
            self.name_member();
        }
        let start = self.document.len();
        self.state = match (byte, keep) {
            (b'{', Some(keep @ Keep::Object(_))) => {
                self.document.push(byte);
                self.open.push((keep, start));
                State::Key { or_end: true }
            }
            (b'[', Some(keep @ Keep::Each(of))) => {
                self.document.push(byte);
                self.open.push((keep, start + 1));
                self.keep = Some(of);
                State::Value { or_end: true }
            }
            (b'{' | b'[', kept) => {
                if kept.is_some() {
                    self.document.extend_from_slice(b"null");
                }
                State::Skipping {
                    depth: 1,
                    text: false,
                    escaped: false,
                }
            }
            (b'"', Some(keep)) => {
                self.document.push(byte);
                State::InText {
                    escaped: false,
                    start,
                    may_be_long: matches!(keep, Keep::Foreign),
                }
            }
            (b'"', None) => State::Skipping {
                depth: 0,
                text: true,
                escaped: false,
            },
            (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', kept) => {
                if kept.is_some() {
                    self.document.push(byte);
                }
                State::InLiteral {
                    kept: kept.is_some(),
                    start,
                }
            }
            _ => return Err(Malformed),
        };
        Ok(())
    }

    /// Writes the key of a member that is kept.
    fn name_member(&mut self) {
        if let Some((Keep::Object(_), _)) = self.open.last() {
            if self.document.last() != Some(&b'{') {
                self.document.push(b',');
            }
            self.document.append(&mut self.key);
            self.document.push(b':');
        }
    }

    /// The end of a container.
    fn close(&mut self, byte: u8, element: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Malformed> {
        match (self.open.pop(), byte) {
            (Some((Keep::Object(_), _)), b'}') | (Some((Keep::Each(_), _)), b']') => {}
            (Some(_) | None, _) => return Err(Malformed),
        }
        self.document.push(byte);
        self.ended(element)
    }

    /// A value has ended.
    fn ended(&mut self, element: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Malformed> {
        if self.document.len() > DOCUMENT_LIMIT {
            return Err(Malformed);
        }
        self.state = match self.open.last() {
            None => State::End,
            Some((Keep::Each(_), start)) => {
                let kept = element(&self.document[*start..]);
                self.document.truncate(*start);
                if !kept {
                    return Err(Malformed);
                }
                State::CommaOrEnd
            }
            Some(_) => State::CommaOrEnd,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;

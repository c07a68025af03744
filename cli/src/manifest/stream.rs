//! A text as documents, and documents as text.

use super::Node;
use serde_json::Value;
use std::fmt;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// A document of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file that it is from, or `stdin`.
    pub source: String,
    /// The line of the source on which its text begins, from 1.
    pub line: usize,
    /// The text as it came, with the separator before it.
    pub text: String,
    /// How it is written.
    pub format: Format,
    /// What it says; null where it is empty.
    pub value: Value,
    node: Node,
}

/// A document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file that it is from, or `stdin`.
    pub source: String,
    /// The line of the source, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            line,
            column,
            what,
        } = self;
        write!(
            f,
            "{source}:{line}:{column}: {what}; correct the manifest there (`kubectl apply --dry-run=client -f` reads it the same way)"
        )
    }
}

impl std::error::Error for Broken {}

/// The documents of a text; the empty ones, too, so that their comments are kept. Quotes, numbers and flags are read as kubectl
/// reads them, as YAML 1.1.
///
/// # Errors
/// The first document that cannot be read, and where.
pub fn documents(source: &str, text: &str) -> Result<Vec<Document>, Broken> {
    if text.trim_start().starts_with('{')
        && let Some(documents) = json(source, text)
    {
        return Ok(documents);
    }
    let mut line = 1;
    let mut documents = Vec::new();
    for part in split(text) {
        documents.push(yaml(source, line, part)?);
        line += part.matches('\n').count();
    }
    Ok(documents)
}

/// The documents of a stream of JSON objects; `None` where it is none.
fn json(source: &str, text: &str) -> Option<Vec<Document>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Node>();
    let mut documents = Vec::new();
    let mut start = 0;
    while let Some(node) = values.next() {
        let node = node.ok()?;
        let end = values.byte_offset();
        documents.push(Document {
            source: source.to_owned(),
            line: 1 + text[..start].matches('\n').count(),
            text: text[start..end].to_owned(),
            format: Format::Json,
            value: node.value(),
            node,
        });
        start = end;
    }
    if let Some(last) = documents.last_mut() {
        last.text.push_str(&text[start..]);
    }
    Some(documents)
}

/// The parts of a YAML stream, each with the separator that begins it. Nothing inside a document can stand at the beginning of a
/// line as a separator does.
fn split(text: &str) -> Vec<&str> {
    let is_separator = |line: &str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let mut parts = Vec::new();
    let (mut start, mut position) = (0, 0);
    for line in text.split_inclusive('\n') {
        if is_separator(line) && position > start {
            parts.push(&text[start..position]);
            start = position;
        }
        position += line.len();
    }
    parts.push(&text[start..]);
    parts
}

fn yaml(source: &str, line: usize, text: &str) -> Result<Document, Broken> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let node: Option<Node> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (below, column) = error.location().map_or((1, 1), |location| {
            let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
            (number(location.line()), number(location.column()))
        });
        let said = error.without_snippet().to_string();
        Broken {
            source: source.to_owned(),
            line: line + below - 1,
            column,
            what: without_position(&said).to_owned(),
        }
    })?;
    let node = node.unwrap_or(Node::Null);
    Ok(Document {
        source: source.to_owned(),
        line,
        text: text.to_owned(),
        format: Format::Yaml,
        value: node.value(),
        node,
    })
}

/// The parser's sentence without the position in it, which counts from the document's beginning.
fn without_position(said: &str) -> &str {
    let line = said.lines().next().unwrap_or_default();
    line.rfind(" at line ").map_or(line, |position| &line[..position])
}

impl Document {
    /// The line on which its content begins: after separator, comments and empty lines.
    pub fn first_line(&self) -> usize {
        self.line + self.head().matches('\n').count()
    }

    /// Separator, comments and empty lines before the content.
    fn head(&self) -> &str {
        let is_content = |line: &str| {
            let line = line.trim();
            !(line.is_empty() || line.starts_with('#') || line == "---")
        };
        let lines = self.text.split_inclusive('\n').take_while(|line| !is_content(line));
        &self.text[..lines.map(str::len).sum()]
    }

    /// The text of this document where it says `value`: as it was where that is what it said before, else written anew below the
    /// comments at its head.
    pub fn with(&self, value: &Value) -> String {
        if *value == self.value {
            return self.text.clone();
        }
        let node = Node::ordered(value, Some(&self.node));
        match self.format {
            Format::Json => pretty(&node),
            Format::Yaml => {
                let head = self.head();
                let separator = if head.is_empty() && self.text.starts_with("---") {
                    "---\n"
                } else {
                    head
                };
                format!("{separator}{}", block(&node))
            }
        }
    }
}

/// Documents as one stream: `text` is each of them, and where two of different files follow each other, a separator is put
/// between.
pub fn joined<'a>(documents: impl IntoIterator<Item = (&'a Document, String)>) -> String {
    let mut stream = String::new();
    let mut before: Option<&Document> = None;
    for (document, text) in documents {
        if !stream.is_empty() && !stream.ends_with('\n') && !text.starts_with('\n') {
            stream.push('\n');
        }
        // A stream of JSON objects from one file needs none, and kubectl reads JSON between separators, too.
        let is_joint = before.is_some_and(|before| before.source != document.source);
        if is_joint && !text.starts_with("---") {
            stream.push_str("---\n");
        }
        stream.push_str(&text);
        before = Some(document);
    }
    if !stream.is_empty() && !stream.ends_with('\n') {
        stream.push('\n');
    }
    stream
}

/// As YAML with a block for each list and object. What does not read back as what it was is written as JSON, which is YAML, too.
fn block(node: &Node) -> String {
    let options = serde_saphyr::ser_options! {
        prefer_block_scalars: false,
    };
    let written = serde_saphyr::to_string_with_options(&Lines(node), options);
    match written {
        Ok(text) if yaml("", 1, &text).is_ok_and(|read| read.node == *node) => text,
        Ok(_) | Err(_) => pretty(node),
    }
}

/// As JSON that YAML reads, too: what YAML does not take as it is, is escaped. It can stand in strings only.
fn pretty(node: &Node) -> String {
    let mut text = String::new();
    for character in serde_json::to_string_pretty(node).unwrap_or_default().chars() {
        let is_taken = character == '\n'
            || !(character.is_control() || ('\u{2028}'..='\u{2029}').contains(&character) || character == '\u{feff}');
        if is_taken {
            text.push(character);
        } else {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
    }
    text + "\n"
}

/// A node whose texts of several lines are written line by line.
struct Lines<'a>(&'a Node);

impl serde::Serialize for Lines<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Text(text) if text.contains('\n') => serde_saphyr::LitStr(text).serialize(serializer),
            Node::List(items) => serializer.collect_seq(items.iter().map(Lines)),
            Node::Map(members) => serializer.collect_map(members.iter().map(|(key, node)| (key, Lines(node)))),
            node @ (Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_)) => node.serialize(serializer),
        }
    }
}

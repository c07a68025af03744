//! Tells a story as a timeline: when, who, what; for people or as one JSON object a line.

use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How a timeline is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Who is telling. Clones tell the same story.
#[derive(Clone)]
pub struct Teller {
    inner: Arc<Inner>,
}

struct Inner {
    began: Instant,
    format: Format,
    out: Mutex<Box<dyn Write + Send>>,
    lines: Mutex<Vec<String>>,
}

impl Teller {
    /// Writes the timeline to `out`.
    pub fn new(out: impl Write + Send + 'static, format: Format) -> Self {
        let inner = Inner {
            began: Instant::now(),
            format,
            out: Mutex::new(Box::new(out)),
            lines: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// One line: who did what.
    pub fn say(&self, who: &str, what: &str) {
        let seconds = self.inner.began.elapsed().as_secs_f64();
        let mut out = self.inner.out.lock().expect("no teller panics");
        let line = if self.inner.format == Format::Json {
            json!({ "seconds": (seconds * 100.0).round() / 100.0, "who": who, "what": what }).to_string()
        } else {
            format!("{seconds:6.1} s  {who:<13} {what}")
        };
        self.inner
            .lines
            .lock()
            .expect("no teller panics")
            .push(format!("{who}: {what}"));
        // A reader that has gone away does not stop the story.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// A line that is no event: a heading for people, an object of its own for machines.
    pub fn head(&self, kind: &str, text: &str) {
        self.print(text, &json!({ kind: text.trim() }));
    }

    /// A line of the list of stories.
    pub fn entry(&self, name: &str, title: &str) {
        self.print(
            &format!("{name:<18} {title}"),
            &json!({ "story": name, "title": title }),
        );
    }

    /// Something that was found out, and what helps.
    pub fn finding(&self, kind: &str, sentence: &str, help: Option<&str>) {
        let indent = " ".repeat(11);
        let lines: Vec<String> = [Some(sentence), help]
            .into_iter()
            .flatten()
            .flat_map(str::lines)
            .flat_map(wrapped)
            .collect();
        self.print(
            &format!("  {kind:<8} {}", lines.join(&format!("\n{indent}"))),
            &json!({ "finding": kind, "sentence": sentence, "help": help }),
        );
    }

    fn print(&self, text: &str, object: &Value) {
        let mut out = self.inner.out.lock().expect("no teller panics");
        let line = if self.inner.format == Format::Json {
            object.to_string()
        } else {
            text.to_owned()
        };
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// Everything that was said so far, as `who: what`.
    pub fn lines(&self) -> Vec<String> {
        self.inner.lines.lock().expect("no teller panics").clone()
    }
}

/// A line as lines of a width that people read well; words stay whole.
fn wrapped(line: &str) -> Vec<String> {
    const WIDTH: usize = 100;
    let mut lines: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= WIDTH => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

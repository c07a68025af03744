//! What came of each phase: lines while it goes on, JSON at the end.

use super::change::Shown;
use super::phase::Phase;
use super::settle::Outcome;
use crate::Exit;
use crate::output::{Format, Output};
use crate::problem::{Finding, Level};
use serde_json::{Map, Value, json};
use std::io::Write as _;

/// One thing of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) phase: Phase,
    pub(crate) outcome: Outcome,
    pub(crate) finding: Finding,
    pub(crate) asked: Vec<Shown>,
}

/// Something that the person uses further: a manifest, a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// What it is, as a file name.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: String,
}

/// What came of all.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    entries: Vec<Entry>,
    documents: Vec<Document>,
    values: Map<String, Value>,
}

impl Report {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            entries: Vec::new(),
            documents: Vec::new(),
            values: Map::new(),
        }
    }

    /// Says on stderr what is going on: stdout is for documents and JSON.
    pub(crate) fn progress(phase: Phase, text: &str) {
        // Nobody reads it if stderr is closed.
        let _ = writeln!(std::io::stderr(), "… {}: {text}", phase.as_str());
    }

    /// Notes what came of something. People see it at once, and in a dry run what would be asked.
    pub(crate) fn add(&mut self, entry: Entry) {
        if self.output.format == Format::Table {
            let mut finding = entry.finding.clone();
            finding.subject = format!("{}: {}", entry.phase.as_str(), finding.subject);
            let _ = write!(std::io::stderr(), "{}", finding.lines(self.output.color_of_stderr()));
            if entry.outcome == Outcome::WouldAsk {
                let lines: Vec<String> = entry.asked.iter().map(Shown::line).collect();
                // Stdout may be closed; the exit code says the rest.
                let _ = self.output.print(&lines.join("\n"));
            }
        }
        self.entries.push(entry);
    }

    /// Notes a document. People get it on stdout.
    pub(crate) fn document(&mut self, document: Document) {
        if self.output.format == Format::Table {
            let _ = self.output.print(&document.text);
        }
        self.documents.push(document);
    }

    /// Notes a value for machines.
    pub(crate) fn value(&mut self, key: &str, value: Value) {
        self.values.insert(key.to_owned(), value);
    }

    /// Prints what machines read, and says how the program ends.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub(crate) fn end(self) -> anyhow::Result<Exit> {
        let exit = if self.entries.iter().any(|entry| entry.finding.level == Level::Bad) {
            Exit::Problem
        } else {
            Exit::Good
        };
        if self.output.format == Format::Json {
            let json = self.json();
            self.output.print_json(&json)?;
        }
        Ok(exit)
    }

    fn json(&self) -> Value {
        let entries = self.entries.iter().map(|entry| {
            let mut value = entry.finding.json();
            value["phase"] = entry.phase.as_str().into();
            value["outcome"] = entry.outcome.as_str().into();
            value["asked"] = entry.asked.iter().map(Shown::json).collect();
            value
        });
        let documents: Map<String, Value> = self
            .documents
            .iter()
            .map(|document| (document.name.to_owned(), document.text.as_str().into()))
            .collect();
        let mut all = json!({"phases": entries.collect::<Vec<_>>(), "documents": documents});
        for (key, value) in &self.values {
            all[key] = value.clone();
        }
        all
    }
}

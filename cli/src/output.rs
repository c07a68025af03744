//! What is printed: tables for people, JSON for machines. Results go to stdout, everything else to stderr.

use std::io::{self, IsTerminal as _, Write as _};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people; in color where stdout is a terminal and `NO_COLOR` is not set.
    Table,
    /// For machines: one JSON value.
    Json,
}

/// Whether a stream may be colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// ANSI colors.
    Ansi,
    /// Plain text.
    Never,
}

/// A color with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It is as it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
    /// Beside the point.
    Dim,
}

impl Color {
    /// `text` in the color of `tone`.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
            Tone::Dim => 2,
        };
        match self {
            Self::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Never => text.to_owned(),
        }
    }
}

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How.
    pub format: Format,
    /// Colors of stdout.
    pub color: Color,
}

impl Output {
    /// Colors only on a terminal, and not where `NO_COLOR` is set (<https://no-color.org>).
    pub fn new(format: Format) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = if !plain && io::stdout().is_terminal() {
            Color::Ansi
        } else {
            Color::Never
        };
        Self { format, color }
    }

    /// Colors of stderr, by the same rule as those of stdout.
    pub fn color_of_stderr(&self) -> Color {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if !plain && io::stderr().is_terminal() {
            Color::Ansi
        } else {
            Color::Never
        }
    }

    /// Prints a result: JSON as it is, a table without the white space at the ends of its lines.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn print(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        for line in text.lines() {
            writeln!(stdout, "{}", line.trim_end())?;
        }
        stdout.flush()
    }

    /// Prints a JSON value on one line.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn print_json(&self, value: &serde_json::Value) -> io::Result<()> {
        self.print(&value.to_string())
    }

    /// Prints why a command could not be carried out, with all causes.
    pub fn error(&self, error: &anyhow::Error) {
        // Nobody reads it if stderr is closed.
        let _ = writeln!(io::stderr(), "error: {error:#}");
    }
}

/// Rows in columns that are as wide as their widest cell.
///
/// ```
/// let table = cli::output::table(&["POD", "POOL"], &[vec!["agent-1".into(), "linux".into()]]);
/// assert_eq!(table, "POD      POOL\nagent-1  linux\n");
/// ```
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    line(&mut head.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

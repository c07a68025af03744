//! What a test is: a function with a name, and what it minds.

use crate::case::Case;
use anyhow::{Result, bail};
use cluster::Ground;
use std::pin::Pin;

/// Whether a test minds others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// It keeps to its namespace and its pool.
    Beside,
    /// It disturbs the node, the webhook or the imitated Azure, or measures: nothing else runs meanwhile. The node's services
    /// are set back afterwards, whatever came of it.
    Alone,
    /// Alone, and this project may be installed otherwise or not at all when it ends: it is installed again.
    Reinstalls,
}

/// A test by its name.
pub(crate) struct Test {
    /// Path of its function.
    pub(crate) name: &'static str,
    /// Whether it minds others.
    pub(crate) company: Company,
    /// Why it runs on the bare node only, if it does.
    pub(crate) bare_node: Option<&'static str>,
    /// What it does.
    pub(crate) run: fn(Case) -> Running,
}

/// A test that runs.
type Running = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Makes a [`Test`] of an async function that takes a [`Case`]. One that only the bare node can show says why, and has it in its
/// name.
macro_rules! test {
    ($company:ident $path:path) => {
        $crate::test::test!($company $path, None)
    };
    ($company:ident $path:path, bare node: $reason:literal) => {
        $crate::test::test!($company $path, Some($reason))
    };
    ($company:ident $path:path, $bare_node:expr) => {
        $crate::test::Test {
            name: stringify!($path),
            company: $crate::test::Company::$company,
            bare_node: $bare_node,
            run: |case| Box::pin($path(case)),
        }
    };
}
pub(crate) use test;

/// The tests that can run on this ground, and a sentence about the others.
pub(crate) fn suited(tests: Vec<&'static Test>, ground: Ground) -> Result<(Vec<&'static Test>, String)> {
    if ground == Ground::Bare {
        return Ok((tests, String::new()));
    }
    let (left, tests): (Vec<&Test>, Vec<&Test>) = tests.into_iter().partition(|test| test.bare_node.is_some());
    let lines = left
        .iter()
        .map(|test| format!("\n{}: {}", test.name, test.bare_node.unwrap_or_default()));
    let lines: String = lines.collect();
    if tests.is_empty() {
        bail!("these belong to the bare node, and the node that is up is one of kind:{lines}");
    }
    let sentence = match left.len() {
        0 => String::new(),
        count => format!("\nNOT RUN on kind, because they belong to the bare node: {count}{lines}"),
    };
    Ok((tests, sentence))
}

//! Sizes of the programs as they are released.

use anyhow::Context as _;

use super::report::{Row, megabytes};
use crate::programs::program;

/// Sizes of both programs. Cargo's release profile strips them.
///
/// # Errors
/// A program is not there.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let size = |name: &str| {
        let path = program(name)?;
        let metadata = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(megabytes(metadata.len()))
    };
    Ok(vec![
        Row::new("size of ado-agent-sidecar", size("ado-agent-sidecar")?).goal(6.0),
        Row::new("size of ado-agent-webhook", size("ado-agent-webhook")?).goal(8.0),
    ])
}

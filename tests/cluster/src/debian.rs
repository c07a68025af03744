//! Root file systems of Debian, for images that are more than one program. Each is made once.

use crate::command::{Interrupt, output};
use crate::layout::{Layout, hex, text};
use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const SUITE: &str = "bookworm";

/// A tar file with Debian and these packages, which have commas between them. Needs the machine's network, not the node's.
pub(crate) fn root_file_system(
    layout: &Layout,
    packages: &str,
    interrupt: &Interrupt,
    report: &dyn Fn(&str),
) -> Result<PathBuf> {
    let key = hex(&digest(&SHA256, format!("{SUITE} {packages}").as_bytes()).as_ref()[..6]);
    let made = layout.images().join(format!("debian-{SUITE}-{key}.tar"));
    if made.exists() {
        return Ok(made);
    }
    report(&format!("making a root file system: Debian {SUITE} with {packages}"));
    fs::create_dir_all(layout.images())?;
    let unfinished = made.with_extension("unfinished.tar");
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--variant=minbase"])
        .arg(format!("--include={packages}"))
        .args([SUITE, text(&unfinished)]);
    output(&mut command, Duration::from_mins(10), interrupt)?;
    fs::rename(&unfinished, &made).with_context(|| format!("cannot rename {}", unfinished.display()))?;
    Ok(made)
}

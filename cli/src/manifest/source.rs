//! Where manifests are read from.

use super::{Document, documents};
use anyhow::{Context as _, bail};
use clap::Args;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Endings of the files of a folder that are manifests, as for kubectl.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Files, folders, or stdin.
#[derive(Debug, Clone, Args)]
pub struct Sources {
    /// Files or folders with manifests, YAML or JSON; - for stdin.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Read the folders within folders, too.
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Sources {
    /// All documents, in order; those of a folder by the names of its files.
    ///
    /// # Errors
    /// A file cannot be read, is no manifest, or a folder holds none.
    pub fn read(&self) -> anyhow::Result<Vec<Document>> {
        let mut all = Vec::new();
        for file in &self.files {
            if file.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("stdin cannot be read; manifests are UTF-8 text")?;
                all.extend(documents("stdin", &text)?);
            } else if file.is_dir() {
                let mut found = Vec::new();
                self.collect(file, &mut found)?;
                if found.is_empty() {
                    bail!(
                        "folder {} holds no files that end in .yaml, .yml or .json; name another one, or pass --recursive to look into \
                         the folders within",
                        file.display()
                    );
                }
                for file in found {
                    all.extend(read(&file)?);
                }
            } else {
                all.extend(read(file)?);
            }
        }
        Ok(all)
    }

    fn collect(&self, folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = entries.with_context(|| format!("folder {} cannot be read", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                if self.recursive {
                    self.collect(&path, found)?;
                }
            } else if path
                .extension()
                .is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
            {
                found.push(path);
            }
        }
        Ok(())
    }
}

/// The documents of one file.
///
/// # Errors
/// The file cannot be read, or is no manifest.
pub fn read(file: &Path) -> anyhow::Result<Vec<Document>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read as a manifest, which is UTF-8 text", file.display()))?;
    Ok(documents(&file.display().to_string(), &text)?)
}

//! The documentation's pages as values: sections and what stands between fences.

use std::path::{Path, PathBuf};

use crate::programs::repository;

/// A fenced block of a page.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The word behind the fence: `sh`, `yaml`.
    pub language: String,
    /// The text between the fences, without the indentation of the list that it stands in.
    pub text: String,
}

/// Every page below `docs`, and those of the top folder.
///
/// # Panics
/// A folder cannot be listed.
pub fn pages() -> Vec<PathBuf> {
    let top = repository();
    let mut pages: Vec<_> = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md"]
        .iter()
        .map(|page| top.join(page))
        .filter(|page| page.exists())
        .collect();
    collect(&top.join("docs"), &mut pages);
    pages.sort();
    pages
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// What stands under a heading of the second level, up to the next one.
pub fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest))
}

/// The fenced blocks of a text.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        match (&mut open, trimmed.strip_prefix("```")) {
            (None, Some(language)) => {
                let block = Block {
                    language: language.trim().to_owned(),
                    text: String::new(),
                };
                open = Some((line.len() - trimmed.len(), block));
            }
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
            (Some((indentation, block)), None) => {
                let blanks = line.len() - trimmed.len();
                block.text.push_str(&line[blanks.min(*indentation)..]);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The commands of a text's first block of shell: one for each line that does not go on the line before. Comments and empty lines
/// are none.
pub fn commands(text: &str) -> Vec<String> {
    let Some(block) = blocks(text).into_iter().find(|block| block.language == "sh") else {
        return Vec::new();
    };
    let joined = block.text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# A\n\n## B\n\n1. one\n\n   ```sh\n   a \\\n     b\n   # c\n   d\n   ```\n\n## C\n\n```yaml\ne:\n  f\n```\n";

    #[test]
    fn commands_are_those_of_the_section() {
        let section = section(PAGE, "B").expect("it is there");
        assert_eq!(commands(section), ["a    b", "d"]);
    }

    #[test]
    fn a_section_ends_at_the_next() {
        assert_eq!(blocks(section(PAGE, "B").expect("it is there")).len(), 1);
    }

    #[test]
    fn a_block_keeps_its_own_indentation() {
        assert_eq!(blocks(PAGE)[1].text, "e:\n  f\n");
    }
}

//! What is in an image: layers, made as tar files without a time, an order or an owner of the machine's.

use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// A part of an image. Images of one archive share those that are equal.
#[derive(Clone, Debug)]
pub enum Layer<'a> {
    /// A few files. The same files give the same bytes.
    Files(Vec<Entry>),
    /// A tar file as it is.
    Tar(&'a Path),
    /// A folder of the machine with everything in it, at this path.
    Tree(&'static str, &'a Path),
}

/// A file or a folder in a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where, without a slash in front. Folders above it are made, root's and readable, unless they are entries.
    pub path: String,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Mode.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A folder.
    Folder,
    /// A file.
    File(Vec<u8>),
    /// A symbolic link to this path.
    Link(&'static str),
}

impl Entry {
    /// A program, copied from a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn program(path: &str, file: &Path) -> Result<Self> {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self {
            mode: 0o755,
            ..Self::new(path, Content::File(content))
        })
    }

    /// A file that root may write and everybody read.
    pub fn text(path: &str, content: impl Into<Vec<u8>>) -> Self {
        Self::new(path, Content::File(content.into()))
    }

    /// A symbolic link.
    pub fn link(path: &str, target: &'static str) -> Self {
        Self::new(path, Content::Link(target))
    }

    /// A folder with this mode.
    pub fn folder(path: &str, mode: u32) -> Self {
        Self {
            mode,
            ..Self::new(path, Content::Folder)
        }
    }

    /// Root's.
    fn new(path: &str, content: Content) -> Self {
        Self {
            path: path.trim_start_matches('/').to_owned(),
            owner: (0, 0),
            mode: 0o644,
            content,
        }
    }
}

impl Layer<'_> {
    /// The layer as a tar file.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Files(entries) => layer_of(entries),
            Self::Tree(path, folder) => layer_of_tree(path, folder),
            Self::Tar(file) => fs::read(file).with_context(|| format!("cannot read {}", file.display())),
        }
    }
}

fn layer_of(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut made: Vec<&str> = Vec::new();
    for entry in entries {
        for (slash, _) in entry.path.match_indices('/') {
            let folder = &entry.path[..slash];
            if !made.contains(&folder) {
                made.push(folder);
                append_folder(&mut tar, folder, (0, 0), 0o755)?;
            }
        }
        match &entry.content {
            Content::File(content) => {
                let mut header = header(content.len() as u64, entry.owner, entry.mode);
                tar.append_data(&mut header, &entry.path, content.as_slice())?;
            }
            Content::Link(target) => {
                let mut header = header(0, entry.owner, 0o777);
                header.set_entry_type(EntryType::Symlink);
                tar.append_link(&mut header, &entry.path, target)?;
            }
            Content::Folder => {
                made.push(&entry.path);
                append_folder(&mut tar, &entry.path, entry.owner, entry.mode)?;
            }
        }
    }
    Ok(tar.into_inner()?)
}

fn layer_of_tree(path: &str, folder: &Path) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    // Docker reads no sparse files.
    tar.sparse(false);
    tar.append_dir_all(path, folder)
        .with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(tar.into_inner()?)
}

fn append_folder(tar: &mut Builder<impl Write>, path: &str, owner: (u64, u64), mode: u32) -> Result<()> {
    let mut header = header(0, owner, mode);
    header.set_entry_type(EntryType::Directory);
    tar.append_data(&mut header, path, std::io::empty())
        .with_context(|| format!("cannot add {path}"))
}

pub(crate) fn append(tar: &mut Builder<impl Write>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = header(bytes.len() as u64, (0, 0), mode);
    tar.append_data(&mut header, path, bytes)
        .with_context(|| format!("cannot add {path}"))
}

fn header(size: u64, owner: (u64, u64), mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_mode(mode);
    header
}

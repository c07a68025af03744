//! Container images without a registry: an archive of the kind that `docker save` writes, made from a few files.

use super::layout::hex;
use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// An image with one layer.
#[derive(Debug)]
pub(super) struct Image<'a> {
    /// Full name with registry and tag.
    pub name: &'a str,
    /// Program and first arguments.
    pub entrypoint: &'a [&'a str],
    /// `UID:GID`; empty is root.
    pub user: &'a str,
    /// What is in it.
    pub content: Content<'a>,
}

/// What an image is made from.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// Files, each with its path inside, executable.
    Files(&'a [(&'a str, PathBuf)]),
    /// A whole root file system, as a tar file.
    RootFileSystem(&'a Path),
}

impl Image<'_> {
    /// Writes the archive.
    pub(super) fn write(&self, archive: &Path) -> Result<()> {
        let layer = match &self.content {
            Content::Files(files) => layer(files)?,
            Content::RootFileSystem(file) => {
                fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
            }
        };
        let layer_hash = hex(digest(&SHA256, &layer).as_ref());
        let configuration = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "User": self.user,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_hash}")]},
        })
        .to_string();
        let configuration_file = format!("{}.json", hex(digest(&SHA256, configuration.as_bytes()).as_ref()));
        let layer_file = format!("{layer_hash}/layer.tar");
        let manifest = json!([{
            "Config": configuration_file,
            "RepoTags": [self.name],
            "Layers": [layer_file],
        }])
        .to_string();
        let file = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
        let mut tar = Builder::new(BufWriter::new(file));
        append(&mut tar, &configuration_file, configuration.as_bytes(), 0o644)?;
        append(&mut tar, &layer_file, &layer, 0o644)?;
        append(&mut tar, "manifest.json", manifest.as_bytes(), 0o644)?;
        tar.into_inner()
            .and_then(|file| file.into_inner().map_err(std::io::IntoInnerError::into_error))
            .with_context(|| format!("cannot write {}", archive.display()))
            .map(drop)
    }
}

/// Folders, files and nothing else: the same files give the same bytes.
fn layer(files: &[(&str, PathBuf)]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut made = Vec::new();
    for (inside, outside) in files {
        let inside = inside.trim_start_matches('/');
        for (slash, _) in inside.match_indices('/') {
            let folder = &inside[..slash];
            if !made.contains(&folder) {
                made.push(folder);
                let mut header = header(0, 0o755);
                header.set_entry_type(EntryType::Directory);
                tar.append_data(&mut header, folder, std::io::empty())?;
            }
        }
        let bytes = fs::read(outside).with_context(|| format!("cannot read {}", outside.display()))?;
        append(&mut tar, inside, &bytes, 0o755)?;
    }
    Ok(tar.into_inner()?)
}

fn append(tar: &mut Builder<impl std::io::Write>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = header(bytes.len() as u64, mode);
    tar.append_data(&mut header, path, bytes)
        .with_context(|| format!("cannot add {path}"))
}

fn header(size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

/// Go's name for the machine's architecture, which images are marked with.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Image};
    use crate::cluster::layout::hex;
    use ring::digest::{SHA256, digest};
    use serde_json::Value;
    use std::collections::BTreeMap;
    use std::io::Read;

    #[test]
    fn an_archive_holds_what_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let archive = folder.path().join("image.tar");
        let image = Image {
            name: "registry.example/a:1",
            entrypoint: &["/usr/bin/a"],
            user: "65532:65532",
            content: Content::Files(&[("/usr/bin/a", program)]),
        };
        image.write(&archive).unwrap();

        let files = read(std::fs::File::open(&archive).unwrap());
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "registry.example/a:1");
        let configuration: Value = serde_json::from_slice(&files[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(configuration["config"]["User"], "65532:65532");
        let layer = &files[manifest[0]["Layers"][0].as_str().unwrap()];
        let hash = format!("sha256:{}", hex(digest(&SHA256, layer).as_ref()));
        assert_eq!(configuration["rootfs"]["diff_ids"][0], hash);
        let inside: Vec<String> = read(layer.as_slice()).into_keys().collect();
        assert_eq!(inside, ["usr", "usr/bin", "usr/bin/a"]);
    }

    fn read(tar: impl Read) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
                (path, bytes)
            })
            .collect()
    }
}

//! Container images without a registry: an archive of the kind that `docker save` writes, made from files.

use crate::layout::hex;
use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// An image.
#[derive(Debug, Default)]
pub(crate) struct Image<'a> {
    /// Full name with registry and tag.
    pub name: String,
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// `UID:GID`; empty is root.
    pub user: &'a str,
    /// Where the program starts; empty is the top.
    pub folder: &'a str,
    /// Variables beyond `PATH`, as `NAME=VALUE`.
    pub environment: &'a [&'a str],
    /// What is in it, each over the one before.
    pub layers: Vec<Layer<'a>>,
}

/// A part of an image. Images of one archive share those that are equal.
#[derive(Clone, Debug)]
pub(crate) enum Layer<'a> {
    /// A few files. The same files give the same bytes.
    Files(Vec<Entry>),
    /// A tar file as it is.
    Tar(&'a Path),
}

/// A file or a folder in a layer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where, without a slash in front. Folders above it are made, root's and readable, unless they are entries.
    pub path: String,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Mode.
    pub mode: u32,
    /// Content; a folder has none.
    pub content: Option<Vec<u8>>,
}

impl Entry {
    /// A program, copied from a file.
    pub(crate) fn program(path: &str, file: &Path) -> Result<Self> {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self {
            path: path.trim_start_matches('/').to_owned(),
            owner: (0, 0),
            mode: 0o755,
            content: Some(content),
        })
    }
}

/// Writes an archive of images.
pub(crate) fn write(archive: &Path, images: &[Image<'_>]) -> Result<()> {
    let file = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
    let mut tar = Builder::new(BufWriter::new(file));
    let mut layers = Layers::default();
    let manifest = images
        .iter()
        .map(|image| layers.append(&mut tar, image))
        .collect::<Result<Vec<Value>>>()?;
    append(
        &mut tar,
        "manifest.json",
        Value::from(manifest).to_string().as_bytes(),
        0o644,
    )?;
    tar.into_inner()
        .and_then(|file| file.into_inner().map_err(std::io::IntoInnerError::into_error))
        .with_context(|| format!("cannot write {}", archive.display()))
        .map(drop)
}

/// Layers that are in the archive already.
#[derive(Default)]
struct Layers {
    /// Hash by file, since a root file system is large.
    files: BTreeMap<PathBuf, String>,
    written: Vec<String>,
}

impl Layers {
    /// Appends an image's layers and configuration; answers its line of the manifest.
    fn append(&mut self, tar: &mut Builder<impl Write>, image: &Image<'_>) -> Result<Value> {
        let hashes = image
            .layers
            .iter()
            .map(|layer| self.append_layer(tar, layer))
            .collect::<Result<Vec<_>>>()?;
        let mut environment = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
        environment.extend(image.environment);
        let ids: Vec<String> = hashes.iter().map(|hash| format!("sha256:{hash}")).collect();
        let configuration = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": image.entrypoint,
                "User": image.user,
                "WorkingDir": image.folder,
                "Env": environment,
            },
            "rootfs": {"type": "layers", "diff_ids": ids},
        })
        .to_string();
        let file = format!("{}.json", hex(digest(&SHA256, configuration.as_bytes()).as_ref()));
        append(tar, &file, configuration.as_bytes(), 0o644)?;
        let layers: Vec<String> = hashes.iter().map(|hash| layer_file(hash)).collect();
        Ok(json!({"Config": file, "RepoTags": [image.name], "Layers": layers}))
    }

    fn append_layer(&mut self, tar: &mut Builder<impl Write>, layer: &Layer<'_>) -> Result<String> {
        let (bytes, file) = match layer {
            Layer::Files(entries) => (layer_of(entries)?, None),
            Layer::Tar(file) => match self.files.get(*file) {
                Some(hash) => return Ok(hash.clone()),
                None => (
                    fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
                    Some(*file),
                ),
            },
        };
        let hash = hex(digest(&SHA256, &bytes).as_ref());
        if !self.written.contains(&hash) {
            append(tar, &layer_file(&hash), &bytes, 0o644)?;
            self.written.push(hash.clone());
        }
        if let Some(file) = file {
            self.files.insert(file.to_owned(), hash.clone());
        }
        Ok(hash)
    }
}

fn layer_file(hash: &str) -> String {
    format!("{hash}/layer.tar")
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
            Some(content) => {
                let mut header = header(content.len() as u64, entry.owner, entry.mode);
                tar.append_data(&mut header, &entry.path, content.as_slice())?;
            }
            None => {
                made.push(&entry.path);
                append_folder(&mut tar, &entry.path, entry.owner, entry.mode)?;
            }
        }
    }
    Ok(tar.into_inner()?)
}

fn append_folder(tar: &mut Builder<impl Write>, path: &str, owner: (u64, u64), mode: u32) -> Result<()> {
    let mut header = header(0, owner, mode);
    header.set_entry_type(EntryType::Directory);
    tar.append_data(&mut header, path, std::io::empty())
        .with_context(|| format!("cannot add {path}"))
}

fn append(tar: &mut Builder<impl Write>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
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
    use super::{Entry, Image, Layer, write};
    use crate::layout::hex;
    use ring::digest::{SHA256, digest};
    use serde_json::Value;
    use std::collections::BTreeMap;
    use std::io::Read;

    fn image(name: &str, layers: Vec<Layer<'static>>) -> Image<'static> {
        Image {
            name: name.to_owned(),
            entrypoint: vec!["/usr/bin/a".to_owned()],
            user: "65532:65532",
            layers,
            ..Image::default()
        }
    }

    #[test]
    fn an_archive_holds_what_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("images.tar");
        let program = folder.path().join("a");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let work = Entry {
            path: "work".to_owned(),
            owner: (1000, 0),
            mode: 0o775,
            content: None,
        };
        let common = Layer::Files(vec![Entry::program("/usr/bin/a", &program).unwrap()]);
        let images = [
            image("registry.example/a:1", vec![common.clone()]),
            image("registry.example/a:2", vec![common, Layer::Files(vec![work])]),
        ];
        write(&archive, &images).unwrap();

        let files = read(std::fs::File::open(&archive).unwrap());
        let layers = files.keys().filter(|name| name.ends_with("/layer.tar")).count();
        assert_eq!(layers, 2, "the common layer is there once");
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest[1]["RepoTags"][0], "registry.example/a:2");
        let configuration: Value = serde_json::from_slice(&files[manifest[1]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(configuration["config"]["User"], "65532:65532");
        let expected = [vec!["usr", "usr/bin", "usr/bin/a"], vec!["work"]];
        for (index, expected) in expected.iter().enumerate() {
            let layer = &files[manifest[1]["Layers"][index].as_str().unwrap()];
            let hash = format!("sha256:{}", hex(digest(&SHA256, layer).as_ref()));
            assert_eq!(configuration["rootfs"]["diff_ids"][index], hash);
            let inside: Vec<String> = read(layer.as_slice()).into_keys().collect();
            assert_eq!(&inside, expected);
        }
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

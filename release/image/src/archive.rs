//! The archive that `docker save` writes, and `docker load` and `ctr images import` take.

use crate::hash;
use crate::image::{Image, Platform};
use crate::layer::{Layer, append};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tar::Builder;

/// Writes an archive of images for this machine's platform. They share layers that are equal.
///
/// # Errors
/// A layer cannot be read, or the archive cannot be written.
pub fn write(archive: &Path, images: &[Image<'_>]) -> Result<()> {
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
        let configuration = image.configuration(Platform::here(), &hashes).to_string();
        let file = format!("{}.json", hash(configuration.as_bytes()));
        append(tar, &file, configuration.as_bytes(), 0o644)?;
        let layers: Vec<String> = hashes.iter().map(|hash| layer_file(hash)).collect();
        Ok(json!({"Config": file, "RepoTags": [image.name], "Layers": layers}))
    }

    fn append_layer(&mut self, tar: &mut Builder<impl Write>, layer: &Layer<'_>) -> Result<String> {
        let file = match layer {
            Layer::Tar(file) => Some(*file),
            Layer::Files(_) | Layer::Tree(..) => None,
        };
        if let Some(hash) = file.and_then(|file| self.files.get(file)) {
            return Ok(hash.clone());
        }
        let bytes = layer.bytes()?;
        let hash = hash(&bytes);
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

#[cfg(test)]
mod tests {
    use super::write;
    use crate::{Content, Entry, Image, Layer, hash};
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
            content: Content::Folder,
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
            let hash = format!("sha256:{}", hash(layer));
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

//! A folder in the layout of the OCI image specification, which registry clients push as it is (`skopeo`, `crane`, `oras`).

use crate::hash;
use crate::image::{Image, Platform};
use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Writes one image, for the platforms that there is one for, into a new folder. Answers its digest, that of the index over the
/// platforms: `sha256:…`.
///
/// # Errors
/// The folder is there already or cannot be written, or a layer cannot be read.
pub fn write(folder: &Path, tag: &str, images: &[(Platform, Image<'_>)]) -> Result<String> {
    ensure!(!images.is_empty(), "an image needs at least one platform");
    let blobs = Blobs(folder);
    fs::create_dir_all(folder.join("blobs"))
        .and_then(|()| fs::create_dir(folder.join("blobs/sha256")))
        .with_context(|| format!("cannot make a new layout in {}", folder.display()))?;
    let manifests = images
        .iter()
        .map(|(platform, image)| blobs.manifest(*platform, image))
        .collect::<Result<Vec<Value>>>()?;
    let mut index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    annotate(&mut index, &images[0].1.labels);
    let mut descriptor = blobs.add(INDEX, index.to_string().as_bytes())?;
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let digest = descriptor["digest"].as_str().unwrap_or_default().to_owned();
    let top = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
    for (file, content) in [
        ("index.json", top),
        ("oci-layout", json!({"imageLayoutVersion": "1.0.0"})),
    ] {
        fs::write(folder.join(file), content.to_string())
            .with_context(|| format!("cannot write {file} in {}", folder.display()))?;
    }
    Ok(digest)
}

/// Registries show what a manifest is annotated with.
fn annotate(manifest: &mut Value, labels: &BTreeMap<&str, String>) {
    if !labels.is_empty() {
        manifest["annotations"] = json!(labels);
    }
}

/// What a layout refers to by its hash.
struct Blobs<'a>(&'a Path);

impl Blobs<'_> {
    /// Adds a blob; answers its descriptor.
    fn add(&self, kind: &str, bytes: &[u8]) -> Result<Value> {
        let hash = hash(bytes);
        let file = self.0.join("blobs/sha256").join(&hash);
        fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(json!({"mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len()}))
    }

    /// Adds an image for one platform; answers its descriptor in the index.
    fn manifest(&self, platform: Platform, image: &Image<'_>) -> Result<Value> {
        let mut hashes = Vec::new();
        let mut layers = Vec::new();
        for layer in &image.layers {
            let bytes = layer.bytes()?;
            hashes.push(hash(&bytes));
            layers.push(self.add(LAYER, &compressed(&bytes)?)?);
        }
        let configuration = image.configuration(platform, &hashes).to_string();
        let configuration = self.add(CONFIGURATION, configuration.as_bytes())?;
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": layers,
        });
        annotate(&mut manifest, &image.labels);
        let mut descriptor = self.add(MANIFEST, manifest.to_string().as_bytes())?;
        descriptor["platform"] = json!({"architecture": platform.name(), "os": "linux"});
        Ok(descriptor)
    }
}

/// gzip without a time and a file name in its head.
fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::product::{Build, PRODUCTS, Product, USER};
    use crate::{Platform, hash};
    use flate2::read::GzDecoder;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    /// A layout of the first product, of these programs.
    fn layout(folder: &Path, programs: [&Path; 2]) -> String {
        let build = Build {
            version: "1.2.3".to_owned(),
            revision: "0123".to_owned(),
            created: "2026-11-29T12:00:00Z".to_owned(),
        };
        let platforms = [Platform::Amd64, Platform::Arm64];
        let images: Vec<_> = platforms
            .into_iter()
            .zip(programs)
            .map(|(platform, program)| (platform, PRODUCTS[0].image(String::new(), program, &build).unwrap()))
            .collect();
        write(folder, "1.2.3", &images).unwrap()
    }

    fn program(folder: &Path, name: &str, content: &str, mode: u32) -> std::path::PathBuf {
        let file = folder.join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    /// Follows a descriptor, which has to tell hash and size.
    fn blob(layout: &Path, descriptor: &Value, seen: &mut BTreeSet<String>) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
        assert_eq!(hash(&bytes), digest);
        assert_eq!(descriptor["size"], bytes.len());
        seen.insert(digest.to_owned());
        bytes
    }

    fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn built_twice_it_has_the_same_digest_whenever_and_by_whomever() {
        let folder = tempfile::tempdir().unwrap();
        let amd64 = program(folder.path(), "amd64", "one", 0o700);
        let arm64 = program(folder.path(), "arm64", "two", 0o644);
        let first = layout(&folder.path().join("first"), [&amd64, &arm64]);
        // The same bytes in another file, of another time and mode.
        let copy = program(folder.path(), "copy", "one", 0o755);
        fs::File::open(&copy)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        assert_eq!(layout(&folder.path().join("second"), [&copy, &arm64]), first);
        let other = program(folder.path(), "other", "one more", 0o755);
        assert_ne!(layout(&folder.path().join("third"), [&other, &arm64]), first);
    }

    #[test]
    fn a_layout_is_complete_and_names_each_platform() {
        let folder = tempfile::tempdir().unwrap();
        let amd64 = program(folder.path(), "amd64", "one", 0o755);
        let arm64 = program(folder.path(), "arm64", "two", 0o755);
        let layout_folder = folder.path().join("layout");
        let digest = layout(&layout_folder, [&amd64, &arm64]);

        let mut seen = BTreeSet::new();
        let top = json(&fs::read(layout_folder.join("index.json")).unwrap());
        assert_eq!(top["manifests"][0]["digest"], digest);
        assert_eq!(
            top["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"],
            "1.2.3"
        );
        let index = json(&blob(&layout_folder, &top["manifests"][0], &mut seen));
        for (number, (name, content)) in [("amd64", "one"), ("arm64", "two")].into_iter().enumerate() {
            let descriptor = &index["manifests"][number];
            assert_eq!(descriptor["platform"]["architecture"], name);
            let manifest = json(&blob(&layout_folder, descriptor, &mut seen));
            let configuration = json(&blob(&layout_folder, &manifest["config"], &mut seen));
            assert_eq!(configuration["architecture"], name);
            assert_eq!(configuration["config"]["User"], USER);
            assert_eq!(
                configuration["config"]["Labels"]["org.opencontainers.image.version"],
                "1.2.3"
            );
            assert_eq!(configuration["created"], "2026-11-29T12:00:00Z");
            let mut tar = Vec::new();
            let layer = blob(&layout_folder, &manifest["layers"][0], &mut seen);
            GzDecoder::new(layer.as_slice()).read_to_end(&mut tar).unwrap();
            assert_eq!(configuration["rootfs"]["diff_ids"][0], format!("sha256:{}", hash(&tar)));
            let mut archive = tar::Archive::new(tar.as_slice());
            let mut entries = archive.entries().unwrap();
            let mut entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str(), Some("ado-agent-webhook"));
            let header = entry.header();
            assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (0o755, 0));
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert_eq!(text, content);
            assert!(entries.next().is_none(), "one file and nothing else");
        }
        let files: BTreeSet<String> = fs::read_dir(layout_folder.join("blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, seen, "nothing is there that nothing refers to");
    }

    #[test]
    fn a_layout_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), "a", "one", 0o755);
        let place = folder.path().join("layout");
        layout(&place, [&program, &program]);
        assert!(write(&place, "1", &[]).is_err());
        let image = Product::named("ado-agent-sidecar")
            .and_then(|product| product.image(String::new(), &program, &Build::default()))
            .unwrap();
        let error = write(&place, "1", &[(Platform::Amd64, image)]).unwrap_err();
        assert!(error.to_string().contains("cannot make a new layout"), "{error}");
    }

    #[test]
    fn only_our_own_programs_have_images() {
        assert!(
            Product::named("bash")
                .unwrap_err()
                .to_string()
                .contains("ado-agent-sidecar")
        );
    }
}

//! A pod's volumes as folders of the host, swapped as the kubelet's `AtomicWriter` does: a new folder, then `..data`.

use super::environment::{field, list, text};
use super::objects::{Objects, TokenRequest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A volume's files by their path below the mount.
type Files = BTreeMap<String, Vec<u8>>;

/// The volumes of a pod.
#[derive(Debug)]
pub(super) struct Volumes {
    folder: PathBuf,
    pod: Value,
    objects: Objects,
    /// Tokens that are held: until when they are good for.
    tokens: BTreeMap<String, Held>,
    /// What each volume shows.
    shown: BTreeMap<String, Files>,
    generation: u32,
}

#[derive(Debug)]
struct Held {
    token: String,
    /// The kubelet asks for another one at 80 % of the lifetime.
    refresh_at: i64,
}

impl Volumes {
    /// Makes every volume below `folder`.
    pub(super) fn make(folder: &Path, pod: &Value, objects: &Objects) -> Result<Self, String> {
        let mut volumes = Self {
            folder: folder.to_owned(),
            pod: pod.clone(),
            objects: objects.clone(),
            tokens: BTreeMap::new(),
            shown: BTreeMap::new(),
            generation: 0,
        };
        volumes.refresh()?;
        Ok(volumes)
    }

    /// The folder of the host that stands for a volume.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Shows what has changed: tokens that are due, ConfigMaps, Secrets.
    pub(super) fn refresh(&mut self) -> Result<(), String> {
        for volume in self.pod["spec"]["volumes"].as_array().cloned().unwrap_or_default() {
            let name = text(&volume, "/name").to_owned();
            let path = self.path(&name);
            let failed = |error: io::Error| format!("volume {name}: {error}");
            if let Some(empty) = volume.get("emptyDir") {
                if !path.exists() {
                    // Measured: a memory volume is mounted with the sticky bit, a plain one is not.
                    let mode = if empty["medium"] == "Memory" { 0o1777 } else { 0o777 };
                    make_directory(&path, mode).map_err(failed)?;
                    if let Some(group) = self
                        .pod
                        .pointer("/spec/securityContext/fsGroup")
                        .and_then(Value::as_u64)
                        && rustix::process::geteuid().is_root()
                    {
                        chown(&path, None, u32::try_from(group).ok()).map_err(failed)?;
                        make_directory(&path, mode | 0o2000).map_err(failed)?;
                    }
                }
                continue;
            }
            let files = self.files(&volume).map_err(|error| format!("volume {name}: {error}"))?;
            if self.shown.get(&name) != Some(&files) {
                self.generation += 1;
                swap(&path, &files, self.generation).map_err(failed)?;
                self.shown.insert(name.clone(), files);
            }
        }
        Ok(())
    }

    fn files(&mut self, volume: &Value) -> Result<Files, String> {
        if let Some(source) = volume.get("configMap") {
            return self.items("configMap", source, "name");
        }
        if let Some(source) = volume.get("secret") {
            return self.items("secret", source, "secretName");
        }
        if let Some(source) = volume.get("downwardAPI") {
            return self.downward(source);
        }
        let Some(projected) = volume.get("projected") else {
            return Err(format!("the kubelet double has no volumes of this kind: {volume}"));
        };
        let mut files = Files::new();
        for source in list(projected, "sources") {
            if let Some(token) = source.get("serviceAccountToken") {
                let path = text(token, "/path").to_owned();
                let key = format!("{}/{path}", text(volume, "/name"));
                files.insert(path, self.token(key, token).into_bytes());
            } else if let Some(map) = source.get("configMap") {
                files.extend(self.items("configMap", map, "name")?);
            } else if let Some(secret) = source.get("secret") {
                files.extend(self.items("secret", secret, "name")?);
            } else if let Some(downward) = source.get("downwardAPI") {
                files.extend(self.downward(downward)?);
            } else {
                return Err(format!("the kubelet double cannot project {source}"));
            }
        }
        Ok(files)
    }

    fn token(&mut self, key: String, source: &Value) -> String {
        let now = self.objects.seconds();
        if let Some(held) = self.tokens.get(&key).filter(|held| now < held.refresh_at) {
            return held.token.clone();
        }
        let seconds = source["expirationSeconds"].as_u64().unwrap_or(3600);
        let token = self.objects.token(&TokenRequest {
            namespace: text(&self.pod, "/metadata/namespace").to_owned(),
            account: text(&self.pod, "/spec/serviceAccountName").to_owned(),
            audience: text(source, "/audience").to_owned(),
            lifetime: Duration::from_secs(seconds),
        });
        let refresh_at = now + i64::try_from(seconds * 8 / 10).unwrap_or(i64::MAX);
        let held = Held {
            token: token.clone(),
            refresh_at,
        };
        self.tokens.insert(key, held);
        token
    }

    fn items(&self, kind: &str, source: &Value, name: &str) -> Result<Files, String> {
        let (namespace, name) = (
            text(&self.pod, "/metadata/namespace"),
            source[name].as_str().unwrap_or_default(),
        );
        let optional = source["optional"].as_bool().unwrap_or(false);
        let found = match kind {
            "configMap" => self.objects.config_map(namespace, name),
            _ => self.objects.secret(namespace, name),
        };
        let data = match found {
            Some(data) => data,
            None if optional => return Ok(Files::new()),
            None => return Err(format!("{kind} \"{name}\" not found")),
        };
        let Some(items) = source["items"].as_array() else {
            return Ok(data);
        };
        let mut files = Files::new();
        for item in items {
            match data.get(text(item, "/key")) {
                Some(value) => {
                    files.insert(text(item, "/path").to_owned(), value.clone());
                }
                None if optional => {}
                None => {
                    return Err(format!(
                        "{kind} \"{name}\" references non-existent key: {}",
                        text(item, "/key")
                    ));
                }
            }
        }
        Ok(files)
    }

    fn downward(&self, source: &Value) -> Result<Files, String> {
        list(source, "items")
            .map(|item| {
                let value = field(&self.pod, text(item, "/fieldRef/fieldPath"))?;
                Ok((text(item, "/path").to_owned(), value.into_bytes()))
            })
            .collect()
    }
}

/// Shows new content in one step: readers see the old files or the new ones, never a mixture.
fn swap(path: &Path, files: &Files, generation: u32) -> io::Result<()> {
    if !path.exists() {
        make_directory(path, 0o755)?;
    }
    let fresh = format!("..{generation:08}");
    make_directory(&path.join(&fresh), 0o755)?;
    for (name, content) in files {
        let file = path.join(&fresh).join(name);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&file, content)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    }
    let data = path.join("..data");
    let old = std::fs::read_link(&data).ok();
    let temporary = path.join("..data_tmp");
    symlink(&fresh, &temporary)?;
    std::fs::rename(&temporary, &data)?;
    let tops = |files: &Files| -> Vec<String> {
        files
            .keys()
            .filter_map(|name| name.split('/').next())
            .map(str::to_owned)
            .collect()
    };
    for top in tops(files) {
        if path.join(&top).symlink_metadata().is_err() {
            symlink(Path::new("..data").join(&top), path.join(&top))?;
        }
    }
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !tops(files).contains(&name) {
            std::fs::remove_file(path.join(name))?;
        }
    }
    match old {
        Some(old) => std::fs::remove_dir_all(path.join(old)),
        None => Ok(()),
    }
}

/// Makes a directory with exactly this mode, whatever the umask.
pub(super) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_emulators::clock::Clock;
    use serde_json::json;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_token_is_replaced_at_four_fifths_of_its_life_by_a_swap_of_the_data_link() {
        let clock = Clock::new();
        let count = AtomicU32::new(0);
        let objects = Objects::new(&clock, move |request| {
            assert_eq!((request.account.as_str(), request.audience.as_str()), ("sa", "aud"));
            format!("token-{}", count.fetch_add(1, Ordering::Relaxed))
        });
        let pod = json!({ "metadata": { "namespace": "n" }, "spec": { "serviceAccountName": "sa", "volumes": [
            { "name": "v", "projected": { "sources": [
                { "serviceAccountToken": { "path": "deep/token", "audience": "aud", "expirationSeconds": 1000 } },
            ] } },
        ] } });
        let folder = tempfile::tempdir().unwrap();
        let mut volumes = Volumes::make(folder.path(), &pod, &objects).unwrap();
        let read = || std::fs::read_to_string(folder.path().join("v/deep/token")).unwrap();
        assert_eq!(read(), "token-0");
        let first = std::fs::read_link(folder.path().join("v/..data")).unwrap();
        assert_eq!(
            std::fs::read_link(folder.path().join("v/deep")).unwrap(),
            Path::new("..data/deep")
        );
        clock.advance(Duration::from_secs(790));
        volumes.refresh().unwrap();
        assert_eq!(read(), "token-0");
        clock.advance(Duration::from_secs(20));
        volumes.refresh().unwrap();
        assert_eq!(read(), "token-1");
        assert_ne!(std::fs::read_link(folder.path().join("v/..data")).unwrap(), first);
    }

    #[test]
    fn a_changed_config_map_replaces_and_removes_files() {
        let objects = Objects::new(&Clock::new(), |_| String::new());
        objects.set_config_map("n", "cm", &[("a", "1"), ("b", "2")]);
        let pod = json!({ "metadata": { "namespace": "n" }, "spec": { "volumes": [
            { "name": "v", "configMap": { "name": "cm" } },
            { "name": "o", "configMap": { "name": "none", "optional": true } },
        ] } });
        let folder = tempfile::tempdir().unwrap();
        let mut volumes = Volumes::make(folder.path(), &pod, &objects).unwrap();
        objects.set_config_map("n", "cm", &[("a", "3")]);
        volumes.refresh().unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("v/a")).unwrap(), "3");
        assert!(!folder.path().join("v/b").exists());
        assert!(folder.path().join("o").is_dir());
        let broken = json!({ "metadata": { "namespace": "n" }, "spec": { "volumes": [{ "name": "v", "secret": { "secretName": "s" } }] } });
        let error = Volumes::make(&folder.path().join("x"), &broken, &objects).unwrap_err();
        assert_eq!(error, "volume v: secret \"s\" not found");
    }
}

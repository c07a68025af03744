//! The real Kubernetes and its neighbors, built from their published Go modules and kept outside the repository. A key of
//! everything that goes into a component decides whether it is there already.

mod catalog;

pub use catalog::{
    AZWI, CERT_MANAGER, CONTAINERD, COREDNS, ETCD, HELM, KEDA, KEDA_OLD, KIND, KUBERNETES, KUBERNETES_OLD, Keda,
    Kubernetes, PROMTOOL,
};

use crate::build;
use crate::command::{Interrupt, output};
use crate::layout::{Layout, hex};
use crate::packages;
use anyhow::{Context, Result, ensure};
use ring::digest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A folder in `tests/cluster/components` and how it is built.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// Folder, and what a person calls it.
    pub name: &'static str,
    /// The module whose version is the component's.
    module: &'static str,
    /// What `go build` is told to build: the tools that go.mod lists, or the package in the folder itself.
    package: &'static str,
    /// Build tags.
    tags: &'static str,
    /// Folder of the module that comes along, such as its manifests.
    share: Option<&'static str>,
}

/// The second number of a version of Kubernetes.
pub(crate) fn minor(version: &str) -> Result<u32> {
    let number = version.split('.').nth(1).and_then(|number| number.parse().ok());
    number.with_context(|| format!("{version} is no version of Kubernetes"))
}

/// A component that is built.
#[derive(Clone, Debug)]
pub struct Built {
    folder: PathBuf,
    /// Version of its module, with the `v`.
    pub version: String,
}

impl Built {
    /// One of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Folder with its programs.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// Folder with what came along from its module.
    pub fn share(&self) -> PathBuf {
        self.folder.join("share")
    }
}

/// Builds what is not built yet, in order, and tells how far it is.
pub fn build<const N: usize>(
    components: [Component; N],
    layout: &Layout,
    interrupt: &Interrupt,
    report: &dyn Fn(&str),
) -> Result<[Built; N]> {
    ensure!(
        packages::find("go").is_some(),
        "Kubernetes and its neighbors are built with Go, and there is none: install it from https://go.dev/dl (the version is in {}/*/go.mod)",
        sources().display()
    );
    let go = output(
        Command::new("go").args(["env", "GOVERSION", "GOOS", "GOARCH"]),
        Duration::from_secs(30),
        interrupt,
    )?;
    let mut built = Vec::new();
    for (index, component) in components.iter().enumerate() {
        let counted = |text: &str| report(&format!("[{} of {N}] {}: {text}", index + 1, component.name));
        built.push(
            component
                .build(&go, layout, interrupt, &counted)
                .with_context(|| format!("component {}", component.name))?,
        );
    }
    Ok(built
        .try_into()
        .expect("every component was built or the function has returned"))
}

fn sources() -> PathBuf {
    ::tests::programs::repository().join("tests/cluster/components")
}

impl Component {
    fn build(&self, go: &str, layout: &Layout, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<Built> {
        let source = sources().join(self.name);
        let version = self.version(&source)?;
        let linker = self.linker(&version);
        let name = format!("{}-{version}-{}", self.name, self.key(&source, go, &linker)?);
        let built = Built {
            folder: layout.components().join(&name),
            version,
        };
        if built.folder.is_dir() {
            report(&format!("{} is built: {}", built.version, built.folder.display()));
            return Ok(built);
        }
        let _lock = layout.lock("build")?;
        let begin = Instant::now();
        report(&format!("building {}", built.version));
        // Under another name until it is complete, so that a build which was cut off never counts.
        let unfinished = layout.components().join(format!("{name}.unfinished"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        let programs = unfinished.join("bin");
        fs::create_dir_all(&programs).with_context(|| format!("cannot make {}", programs.display()))?;
        let mut command = Command::new("go");
        command
            .args(["build", "-v", "-trimpath", "-tags", self.tags, "-ldflags", &linker, "-o"])
            // The slash makes it a folder for go.
            .arg(programs.join(""))
            .arg(self.package)
            .current_dir(&source)
            .env("CGO_ENABLED", "0");
        build::run(&mut command, interrupt, report)?;
        if let Some(share) = self.share {
            let module = output(
                Command::new("go")
                    .args(["list", "-m", "-f", "{{.Dir}}", self.module])
                    .current_dir(&source),
                Duration::from_secs(60),
                interrupt,
            )?;
            copy(&Path::new(module.trim()).join(share), &unfinished.join("share"))?;
        }
        fs::rename(&unfinished, &built.folder).with_context(|| format!("cannot rename {}", unfinished.display()))?;
        report(&format!(
            "built in {} s: {}",
            begin.elapsed().as_secs(),
            built.folder.display()
        ));
        Ok(built)
    }

    /// The version that go.mod asks for.
    fn version(&self, source: &Path) -> Result<String> {
        let file = source.join("go.mod");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        text.lines()
            .filter_map(|line| line.trim().trim_start_matches("require ").strip_prefix(self.module))
            .find_map(|rest| Some(rest.strip_prefix(' ')?.split(' ').next()?.to_owned()))
            .with_context(|| format!("{} does not require {}", file.display(), self.module))
    }

    /// What the linker is told. Kubernetes learns its version that way; without it servers call themselves v0.0.0.
    fn linker(&self, version: &str) -> String {
        let mut flags = "-s -w".to_owned();
        if self.module == KUBERNETES.module {
            let mut numbers = version.trim_start_matches('v').split('.');
            let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
            for (name, value) in [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)] {
                flags.push_str(&format!(" -X k8s.io/component-base/version.{name}={value}"));
            }
        }
        flags
    }

    /// Hash of all that decides what comes out: sources and module lists, flags, Go and its target.
    fn key(&self, source: &Path, go: &str, linker: &str) -> Result<String> {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [go, linker, self.package, self.tags, self.share.unwrap_or_default()] {
            add(&mut hash, part.as_bytes());
        }
        for file in files(source)? {
            add(&mut hash, file.strip_prefix(source)?.as_os_str().as_encoded_bytes());
            add(&mut hash, &fs::read(&file)?);
        }
        Ok(hex(&hash.finish().as_ref()[..6]))
    }
}

fn add(hash: &mut digest::Context, part: &[u8]) {
    hash.update(&part.len().to_be_bytes());
    hash.update(part);
}

/// Every file below a folder, in a fixed order.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Copies a folder's files out of the module cache, which is read-only.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in files(from)? {
        let target = to.join(file.strip_prefix(from)?);
        let parent = target.parent().expect("a file below a folder has a parent");
        fs::create_dir_all(parent)?;
        fs::write(&target, fs::read(&file)?).with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        AZWI, CERT_MANAGER, CONTAINERD, COREDNS, ETCD, HELM, KEDA, KEDA_OLD, KIND, KUBERNETES, KUBERNETES_OLD,
        PROMTOOL, sources,
    };

    #[test]
    fn every_component_names_the_version_that_its_folder_requires() {
        for component in [
            KUBERNETES,
            KUBERNETES_OLD,
            CONTAINERD,
            COREDNS,
            CERT_MANAGER,
            AZWI,
            KEDA,
            KEDA_OLD,
            KIND,
            ETCD,
            HELM,
            PROMTOOL,
        ] {
            let version = component.version(&sources().join(component.name)).unwrap();
            assert!(version.starts_with('v'), "{}: {version}", component.name);
        }
        assert!(
            KUBERNETES
                .version(&sources().join(KUBERNETES.name))
                .unwrap()
                .starts_with("v1.37.")
        );
        assert!(
            KUBERNETES_OLD
                .version(&sources().join(KUBERNETES_OLD.name))
                .unwrap()
                .starts_with("v1.34.")
        );
        let keda = KEDA_OLD.version(&sources().join(KEDA_OLD.name)).unwrap();
        assert!(keda.starts_with("v2.20."), "{keda}");
    }

    #[test]
    fn the_key_changes_with_the_compiler_and_with_the_flags() {
        let source = sources().join(CERT_MANAGER.name);
        let key = CERT_MANAGER.key(&source, "go1", "-s").unwrap();
        assert_eq!(key, CERT_MANAGER.key(&source, "go1", "-s").unwrap());
        assert_ne!(key, CERT_MANAGER.key(&source, "go2", "-s").unwrap());
        assert_ne!(key, CERT_MANAGER.key(&source, "go1", "-w").unwrap());
    }

    #[test]
    fn kubernetes_is_told_its_version() {
        let flags = KUBERNETES.linker("v1.37.2");
        assert!(
            flags.contains("gitVersion=v1.37.2") && flags.contains("gitMinor=37"),
            "{flags}"
        );
        assert_eq!(CONTAINERD.linker("v2.4.2"), "-s -w");
    }
}

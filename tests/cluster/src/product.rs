//! This project's own programs: built as they are shipped, static, and made into images of the names that the manifests use.

use crate::build;
use crate::command::{Interrupt, output};
use crate::layout::Layout;
use ::tests::programs::{cargo, repository};
use anyhow::{Context, Result, ensure};
use oci_image::archive;
use oci_image::product::{Build, Product};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Programs that the manifests run, each in an image of its name.
const PROGRAMS: [&str; 3] = ["ado-agent-webhook", "ado-agent-sidecar", "ado-agent"];
/// What uses all of them.
const MANIFESTS: &str = "tests/cluster/manifests/keep";

/// Builds the programs and writes an archive of their images. `kubectl` renders the manifests and needs no cluster.
pub fn archive(layout: &Layout, kubectl: &Path, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<PathBuf> {
    let programs = build(layout, interrupt, report)?;
    let manifests = rendered(kubectl, interrupt)?;
    let folder = layout.images();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let images = PROGRAMS
        .iter()
        .map(|program| {
            let name = image_name(&manifests, program)?;
            report(&format!("image {name}"));
            let build = Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..Build::default()
            };
            Product::named(program)?.image(name.to_owned(), &programs.join(program), &build)
        })
        .collect::<Result<Vec<_>>>()?;
    let archive = folder.join("product.tar");
    archive::write(&archive, &images)?;
    Ok(archive)
}

/// Static with glibc, as `release/programs` does it: build scripts and macros, which are loaded, need the explicit target.
fn build(layout: &Layout, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV"), Duration::from_secs(30), interrupt)?;
    let target = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` does not name its host")?;
    let folder = layout.target();
    let mut command = cargo();
    command
        .args([
            "build",
            "--release",
            "--package=webhook",
            "--package=sidecar",
            "--package=cli",
            "--target",
            target,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_TERM_COLOR", "never");
    let counted = |text: &str| report(&format!("webhook, sidecar and ado-agent: {text}"));
    counted("building, static");
    build::run(&mut command, interrupt, &counted)?;
    Ok(folder.join(target).join("release"))
}

fn rendered(kubectl: &Path, interrupt: &Interrupt) -> Result<String> {
    let folder = repository().join(MANIFESTS);
    let mut command = Command::new(kubectl);
    output(command.arg("kustomize").arg(folder), Duration::from_secs(60), interrupt)
}

/// The one image name that ends in the program's name and a tag, wherever the manifests use it: the sidecar's is a setting.
pub(crate) fn image_name<'a>(manifests: &'a str, program: &str) -> Result<&'a str> {
    let separators = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '=' | ',');
    let mut names: Vec<&str> = manifests
        .split(separators)
        .filter(|word| {
            let last = word.rsplit('/').next().unwrap_or_default();
            last.strip_prefix(program)
                .is_some_and(|rest| rest.len() > 1 && rest.starts_with(':'))
                && word.contains('/')
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    ensure!(
        names.len() == 1,
        "the manifests should use one image REGISTRY/{program}:TAG, and these are there: {names:?}"
    );
    Ok(names[0])
}

#[cfg(test)]
mod tests {
    use super::image_name;

    #[test]
    fn an_image_is_found_as_a_field_and_as_a_setting() {
        let manifests = "image: ghcr.io/x/ado-agent-webhook:0.1.0\n  SIDECAR_IMAGE: \"ghcr.io/x/ado-agent-sidecar:0.1.0\"\nname: ado-agent-webhook\n";
        assert_eq!(
            image_name(manifests, "ado-agent-webhook").unwrap(),
            "ghcr.io/x/ado-agent-webhook:0.1.0"
        );
        assert_eq!(
            image_name(manifests, "ado-agent-sidecar").unwrap(),
            "ghcr.io/x/ado-agent-sidecar:0.1.0"
        );
    }

    #[test]
    fn two_names_for_one_image_are_an_error_that_shows_both() {
        let error = image_name("a/ado-agent-webhook:1 b/ado-agent-webhook:2", "ado-agent-webhook").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("a/ado-agent-webhook:1") && text.contains("b/ado-agent-webhook:2"),
            "{text}"
        );
    }
}

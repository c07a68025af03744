//! Images of agents as people build them: Debian with what start scripts call, a start script, a private CA in the trust store.

use crate::command::Interrupt;
use crate::debian;
use crate::layout::Layout;
use anyhow::{Context, Result};
use oci_image::{Content, Entry, Image, Layer, archive};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use tests::programs::repository;

/// What the start scripts and the agent's own scripts call, and git, which jobs do.
const PACKAGES: &str = "bash,ca-certificates,curl,git,jq";
/// What a real agent's `config.sh` looks for beside: .NET's libraries.
const DOTNET_PACKAGES: &str = ",libicu72,libkrb5-3,libssl3,zlib1g";
const TRUST_STORE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Owner of the agent's folder in the usual recipe, and the group that random users belong to.
const OWNER: (u64, u64) = (1000, 0);

/// Full name of the image with a start script of `tests/agent/start`.
pub fn name(script: &str) -> String {
    format!("registry.example.com/azp-agent:{script}")
}

/// The image that `manifests/examples` name, with the start script of Microsoft's recipe.
const EXAMPLE: (&str, &str) = ("1", "gen3");

/// Writes an archive with an image for every start script over [`root_file_system`], all of which trust the authority.
pub fn archive(layout: &Layout, root: &Path, authority: &str, report: &dyn Fn(&str)) -> Result<PathBuf> {
    let trust = Entry {
        path: TRUST_STORE.to_owned(),
        owner: (0, 0),
        mode: 0o644,
        content: Content::File([trust_store(root)?.as_slice(), authority.as_bytes()].concat()),
    };
    let folder = repository().join("tests/agent/start");
    let mut images = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let file = entry?.path();
        let Some(script) = file.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        images.push(agent(root, &trust, &name(script), &file)?);
    }
    let (tag, script) = EXAMPLE;
    images.push(agent(root, &trust, &name(tag), &folder.join(format!("{script}.sh")))?);
    let archive = layout.images().join("agents.tar");
    archive::write(&archive, &images)?;
    report(&format!("{} agent images", images.len()));
    Ok(archive)
}

fn agent<'a>(root: &'a Path, trust: &Entry, name: &str, script: &Path) -> Result<Image<'a>> {
    let home = Entry {
        path: "azp".to_owned(),
        owner: OWNER,
        mode: 0o775,
        content: Content::Folder,
    };
    // Its presence saves a real agent seconds: docs/images.md.
    let settings = Entry {
        path: "azp/.config".to_owned(),
        ..home.clone()
    };
    let start = Entry::program("azp/start.sh", script)?;
    Ok(Image {
        name: name.to_owned(),
        entrypoint: vec!["/azp/start.sh".to_owned()],
        user: "1000:0",
        folder: "/azp",
        environment: &["TARGETARCH=linux-x64", "AGENT_ALLOW_RUNASROOT=true", "HOME=/azp"],
        layers: vec![
            Layer::Tar(root),
            Layer::Files(vec![trust.clone()]),
            Layer::Files(vec![home, settings, start]),
        ],
        ..Image::default()
    })
}

/// Debian with what scripts call, and what .NET needs if the agent is a real one, made once. Needs the machine's network, not
/// the node's.
pub fn root_file_system(
    layout: &Layout,
    dotnet: bool,
    interrupt: &Interrupt,
    report: &dyn Fn(&str),
) -> Result<PathBuf> {
    let packages = format!("{PACKAGES}{}", if dotnet { DOTNET_PACKAGES } else { "" });
    debian::root_file_system(layout, &packages, interrupt, report)
}

/// The certificates that Debian trusts.
fn trust_store(root: &Path) -> Result<Vec<u8>> {
    let file = File::open(root).with_context(|| format!("cannot read {}", root.display()))?;
    for entry in tar::Archive::new(file).entries()? {
        let mut entry = entry?;
        if entry
            .path()?
            .strip_prefix("./")
            .is_ok_and(|path| path == Path::new(TRUST_STORE))
        {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    anyhow::bail!("{} has no {TRUST_STORE}", root.display())
}

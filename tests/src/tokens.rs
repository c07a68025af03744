//! What whoever controls an agent container could find in it.

use crate::demo::stage::AGENT;
use crate::kubelet::Pod;
use azure_emulators::world::World;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::HANDOFF_VOLUME;
use serde_json::Value;
use std::path::Path;

/// Folders of a container that hold the machine's programs, and what the kernel makes up.
const PROGRAMS: [&str; 11] = [
    "bin", "dev", "lib", "lib32", "lib64", "libx32", "nix", "proc", "sbin", "sys", "usr",
];

/// Where a token of the pool's identity or of a ServiceAccount is: in a file of the agent container, in the volume that it shares, or in
/// the environment of its processes.
pub fn places_with_tokens(world: &World, pod: &Pod) -> Vec<String> {
    let mut places = Vec::new();
    let mut search = |place: &str, bytes: &[u8]| {
        let is_one = |claims: &Value| {
            let is_of_an_account = claims["sub"]
                .as_str()
                .is_some_and(|subject| subject.starts_with("system:serviceaccount:"));
            claims["oid"] == world.agents.object_id.as_str() || is_of_an_account
        };
        if tokens(bytes).iter().any(is_one) {
            places.push(place.to_owned());
        }
    };
    for entry in std::fs::read_dir(pod.root(AGENT)).into_iter().flatten().flatten() {
        if !PROGRAMS.iter().any(|name| entry.file_name() == *name) {
            walk(&entry.path(), &mut search);
        }
    }
    walk(&pod.volume(HANDOFF_VOLUME), &mut search);
    let process = pod.state().container(AGENT).process.map(|process| process.pid);
    for pid in process.into_iter().flat_map(descendants) {
        // It may have ended in between.
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        search(&format!("the environment of process {pid}"), &environment);
    }
    places
}

fn walk(folder: &Path, search: &mut impl FnMut(&str, &[u8])) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&path, search);
        } else if kind.is_file()
            && let Ok(bytes) = std::fs::read(&path)
        {
            search(&path.display().to_string(), &bytes);
        }
    }
}

/// A process and those that it started, directly or not.
fn descendants(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(
            children
                .split_whitespace()
                .filter_map(|child| child.parse::<u32>().ok()),
        );
    }
    found
}

/// The claims of everything that looks like a JSON Web Token.
fn tokens(bytes: &[u8]) -> Vec<Value> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes
        .split(|byte| !is_part(byte))
        .filter(|word| word.len() > 40)
        .filter_map(|word| {
            let mut parts = word.split(|byte| *byte == b'.');
            let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
        })
        .collect()
}

//! The memory limit of the shipped Deployment.

use std::path::Path;

use anyhow::{Context as _, bail};

/// The memory limit of the shipped Deployment, in bytes.
///
/// # Errors
/// The manifest has none, or in another unit than `Mi`.
pub fn shipped_limit(repository: &Path) -> anyhow::Result<u64> {
    let path = repository.join("manifests/base/deployment.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents = crate::kustomize::parse(&text)?;
    let limit = documents
        .first()
        .and_then(|deployment| {
            let containers = &deployment["spec"]["template"]["spec"]["containers"];
            containers[0]["resources"]["limits"]["memory"].as_str()
        })
        .context("the Deployment has no memory limit")?;
    match limit.strip_suffix("Mi").and_then(|number| number.parse::<u64>().ok()) {
        Some(number) => Ok(number << 20),
        None => bail!("the memory limit is {limit} and not in Mi"),
    }
}

//! The images that kind's project publishes.

use super::docker::Docker;
use crate::command::{Interrupt, tail};
use anyhow::{Context, Result};
use std::time::Duration;

/// Kubernetes, image by digest, release of kind.
const LIST: &str = include_str!("../../kind/images.txt");

/// The image for a version of Kubernetes, pulled; none where there is no engine that can pull it. A version that is not on the list
/// is an error.
pub(super) fn find(
    docker: Option<&Docker>,
    kubernetes: &str,
    interrupt: &Interrupt,
    report: &dyn Fn(&str),
) -> Result<Option<String>> {
    let image = named(kubernetes)?;
    let Some(docker) = docker else {
        report("no Docker Engine answers here: one of our own is started, with a node image of our own");
        return Ok(None);
    };
    if docker.output(&["image", "inspect", image], interrupt).is_ok() {
        return Ok(Some(image.to_owned()));
    }
    report(&format!("pulling {image}"));
    match docker.within(&["pull", "--quiet", image], Duration::from_mins(15), interrupt) {
        Ok(_) => Ok(Some(image.to_owned())),
        Err(error) => {
            interrupt.check()?;
            let reason = tail(&format!("{error:#}"), 1);
            report(&format!(
                "it cannot be pulled ({reason}): a node image of our own is made"
            ));
            Ok(None)
        }
    }
}

fn named(kubernetes: &str) -> Result<&'static str> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    let mut words = lines.map(|line| line.split_whitespace());
    let image = words.find_map(|mut words| (words.next() == Some(kubernetes)).then(|| words.next())?);
    image.with_context(|| format!("tests/cluster/kind/images.txt has no Kubernetes {kubernetes}"))
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_version_has_an_image_by_its_digest() {
        for minor in 29..=37 {
            let image = named(&format!("1.{minor}")).unwrap();
            assert!(
                image.starts_with(&format!("kindest/node:v1.{minor}.")) && image.contains("@sha256:"),
                "{image}"
            );
        }
        assert!(named("1.3").unwrap_err().to_string().contains("images.txt"));
    }
}

//! The images of this project: one static program in each, no shell, no user but a number.

use crate::{Entry, Image, Layer};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The user that they run as, as those of many projects do.
pub const USER: &str = "65532:65532";
/// Where the sources are.
const SOURCE: &str = "https://github.com/ado-agent-injector/ado-agent-injector";

/// A program that is released as an image of its name.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Name of program and image.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// Ports that it listens on.
    pub ports: &'static [&'static str],
}

/// All of them.
pub const PRODUCTS: &[Product] = &[
    Product {
        name: "ado-agent-webhook",
        description: "Admission webhook that adds the ado-agent sidecar to pods of Azure Pipelines agents",
        ports: &["10250/tcp", "8080/tcp"],
    },
    Product {
        name: "ado-agent-sidecar",
        description: "Sidecar that registers and removes an Azure Pipelines agent with workload identity federation",
        ports: &[],
    },
    Product {
        name: "ado-agent",
        description: "Command line for operators of Azure Pipelines agents on Kubernetes, and what runs beside their pods",
        ports: &[],
    },
];

/// Which build an image is of.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// Version of the programs.
    pub version: String,
    /// The commit; empty says nothing.
    pub revision: String,
    /// When the commit was made, as RFC 3339 has it, which images say as their own time, so that they can be made again; empty
    /// says nothing.
    pub created: String,
}

impl Product {
    /// The one of this name.
    ///
    /// # Errors
    /// There is none; the sentence lists what there is.
    pub fn named(name: &str) -> Result<Self> {
        let names: Vec<&str> = PRODUCTS.iter().map(|product| product.name).collect();
        let found = PRODUCTS.iter().find(|product| product.name == name);
        found
            .copied()
            .with_context(|| format!("{name} is no image of this project: {}", names.join(", ")))
    }

    /// Its image, called `reference`, with the program that lies in this file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn image(&self, reference: String, program: &Path, build: &Build) -> Result<Image<'static>> {
        let inside = format!("/{}", self.name);
        Ok(Image {
            name: reference,
            entrypoint: vec![inside.clone()],
            user: USER,
            ports: self.ports,
            labels: self.labels(build),
            created: build.created.clone(),
            layers: vec![Layer::Files(vec![Entry::program(&inside, program)?])],
            ..Image::default()
        })
    }

    /// The keys of the OCI image specification.
    pub(crate) fn labels(&self, build: &Build) -> BTreeMap<&'static str, String> {
        let labels = [
            ("org.opencontainers.image.title", self.name.to_owned()),
            ("org.opencontainers.image.description", self.description.to_owned()),
            ("org.opencontainers.image.source", SOURCE.to_owned()),
            ("org.opencontainers.image.url", SOURCE.to_owned()),
            ("org.opencontainers.image.documentation", format!("{SOURCE}#readme")),
            ("org.opencontainers.image.licenses", "Apache-2.0".to_owned()),
            ("org.opencontainers.image.version", build.version.clone()),
            ("org.opencontainers.image.revision", build.revision.clone()),
            ("org.opencontainers.image.created", build.created.clone()),
        ];
        labels.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

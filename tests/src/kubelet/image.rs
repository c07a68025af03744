//! Container images, as far as processes need them: files, an entry point, an environment, a user.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What stands for an image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Entry point; a container's `command` replaces it.
    pub entrypoint: Vec<String>,
    /// Environment of the image; a container's variables win.
    pub env: Vec<(String, String)>,
    /// User and group of the image; `securityContext` wins.
    pub user: (u32, u32),
    /// Working directory.
    pub directory: String,
    /// Files and folders of the host that are copied to these paths, again at each start of a container.
    pub copies: Vec<(PathBuf, String)>,
    /// Files of the host that are shown at these paths, read-only: programs, which would be long to copy.
    pub programs: Vec<(PathBuf, String)>,
    /// Whether the container's root may write to the folders that are shown of the host, as it may in an image: what it
    /// writes goes to a layer of its own. Without, they are read-only.
    pub is_layered: bool,
}

/// Images by name. An unknown name is answered like a registry does: not found.
#[derive(Debug, Clone, Default)]
pub struct Images(BTreeMap<String, Image>);

impl Images {
    /// Adds an image.
    #[must_use]
    pub fn with(mut self, name: &str, image: Image) -> Self {
        self.0.insert(name.to_owned(), image);
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Image> {
        self.0.get(name)
    }
}

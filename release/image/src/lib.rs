//! Container images from files: no Docker, no registry, and the same files give the same bytes.
//!
//! An [`Image`] is [`Layer`]s and a configuration. [`layout::write`] makes what a registry takes, for several platforms;
//! [`archive::write`] what `docker load` and `ctr images import` take. [`product`] says what this project's own images are.

pub mod archive;
mod image;
mod layer;
pub mod layout;
pub mod product;

pub use image::{Image, Platform};
pub use layer::{Content, Entry, Layer};

use ring::digest::{SHA256, digest};

/// SHA-256 in lower-case hexadecimal.
fn hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

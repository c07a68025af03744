//! Manifests as people keep them: YAML streams and JSON, in files, in folders, or on stdin.
//!
//! What is not changed is written as it was, byte for byte. A document that is changed is written anew: with its keys in their
//! order, and without the comments within.

mod node;
pub mod source;
mod stream;
pub mod workload;

pub use node::Node;
pub use stream::{Broken, Document, Format, documents, joined};

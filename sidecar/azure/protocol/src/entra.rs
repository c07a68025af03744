//! Entra: errors of the token endpoint, and what they mean.

mod error;
mod explain;

pub use error::{EntraError, EntraErrorKind};
pub use explain::EntraContext;

//! Entra: the token endpoint's responses, errors, and what they mean.

mod claims;
mod error;
mod explain;
mod refusal;
mod token;

pub use claims::{BINDING_AUDIENCE, Claims};
pub use error::{EntraError, EntraErrorKind};
pub use explain::EntraContext;
pub use refusal::Refusal;
pub use token::{AccessToken, TokenReader, TokenServer};

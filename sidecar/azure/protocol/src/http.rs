//! Responses that arrive piece by piece, of which only what was asked for is kept.

mod response;
mod sieve;

pub use response::{Flow, Response};
pub(crate) use response::{Reader, Wanted, excerpt};
pub use sieve::{Keep, Malformed, Sieve};

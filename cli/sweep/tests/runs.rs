//! Single runs.

mod bounds;
mod rules;
mod scene;
mod strangers;

//! The gateway's judgment.

mod passing;
mod pod;
mod property;
mod table;

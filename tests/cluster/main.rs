//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p tests --test cluster [PART OF A NAME]`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end.

mod scaling;
mod suite;

use suite::{Suite, Test, test};

/// All tests, in the order in which they run.
const TESTS: &[Test] = &[test!(
    scaling::a_deployment_registers_and_scales_from_one_to_five_to_none
)];

fn main() -> std::process::ExitCode {
    Suite::main(TESTS)
}

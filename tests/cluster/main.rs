//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p tests --test cluster -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod case;
mod deaths;
mod ending;
mod life;
mod scaling;
mod suite;
mod termination;
mod workload;

use suite::{Suite, Test, test};

/// All tests. Those that may run beside others start in this order.
const TESTS: &[Test] = &[
    test!(Beside scaling::a_deployment_scales_from_one_to_five_to_none),
    test!(Beside scaling::the_example_deployment_registers_unchanged),
    test!(Beside deaths::agents_that_are_started_again),
    test!(Beside deaths::deleted_evicted_or_done),
    test!(Beside deaths::agents_that_are_not_started_again),
    test!(Alone termination::everybody_is_told_in_time),
];

fn main() -> std::process::ExitCode {
    Suite::main(TESTS)
}

//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p tests --test cluster -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod case;
mod keda;
mod scaling;
mod suite;
mod workload;

use suite::{Suite, Test, test};

/// All tests. Those that may run beside others start in this order.
const TESTS: &[Test] = &[
    test!(Beside keda::a_scaled_job_makes_an_agent_for_each_of_ten_jobs_and_none_is_left),
    test!(Beside keda::ten_thousand_finished_jobs_do_not_keep_keda_from_counting),
    test!(Beside keda::a_scaled_object_scales_the_example_deployment_and_loses_no_job),
    test!(Beside keda::a_scaled_job_that_is_changed_and_deleted_loses_no_job),
    test!(Beside scaling::a_deployment_scales_from_one_to_five_to_none),
    test!(Beside scaling::the_example_deployment_registers_unchanged),
];

fn main() -> std::process::ExitCode {
    Suite::main(TESTS)
}

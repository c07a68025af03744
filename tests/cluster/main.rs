//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p tests --test cluster -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod case;
mod deaths;
mod ending;
mod kubelet;
mod life;
mod recovery;
mod rollouts;
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
    test!(Beside recovery::a_sidecar_that_dies_leaves_a_token_and_takes_the_agent_up_again),
    test!(Beside recovery::a_new_image_of_the_sidecar_costs_no_job),
    test!(Beside recovery::a_full_volume_keeps_the_old_token),
    test!(Beside recovery::the_agent_of_a_successor_stays),
    test!(Beside recovery::an_agent_waits_for_entra_and_starts_by_itself),
    test!(Beside rollouts::a_rolling_update_replaces_the_agents_and_loses_no_job),
    test!(Beside rollouts::scaling_down_waits_for_the_job),
    test!(Alone rollouts::a_node_can_be_drained_of_its_agents),
    test!(Alone termination::everybody_is_told_in_time),
    test!(Alone kubelet::a_kubelet_that_comes_back_starts_the_grace_over),
];

fn main() -> std::process::ExitCode {
    Suite::main(TESTS)
}

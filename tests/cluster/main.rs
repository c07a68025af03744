//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p tests --test cluster -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod azwi;
mod case;
mod scaling;
mod start_time;
mod suite;
mod workload;

use suite::{Suite, Test, test};

/// All tests. Those that may run beside others start in this order.
const TESTS: &[Test] = &[
    test!(Beside scaling::a_deployment_scales_from_one_to_five_to_none),
    test!(Beside scaling::the_example_deployment_registers_unchanged),
    test!(Beside azwi::with_hide_the_agents_container_holds_no_federated_token),
    test!(Beside azwi::with_keep_a_script_exchanges_the_token_itself),
    test!(Beside azwi::without_a_choice_the_pod_is_denied),
    test!(Beside azwi::without_the_label_azwi_does_nothing),
    test!(Beside azwi::with_identity_binding_azwi_provides_the_identity),
    test!(Beside azwi::where_azwi_is_called_first_hide_takes_the_token_out_again),
    test!(Alone azwi::the_order_of_installation_does_not_matter),
    test!(Alone start_time::an_agent_is_online_soon_after_its_pod_is_created),
];

fn main() -> std::process::ExitCode {
    Suite::main(TESTS)
}

//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p tests --test cluster -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod burst;
mod calls;
mod case;
mod jobs;
mod usual;
mod limits;
mod mesh;
mod metrics;
mod policies;
mod scaling;
mod scripts;
mod shapes;
mod suite;
mod workload;

use suite::{Suite, Test, test};

/// All tests. Those that may run beside others start in this order.
const TESTS: &[Test] = &[
    test!(Beside scaling::a_deployment_scales_from_one_to_five_to_none),
    test!(Beside jobs::every_attempt_of_a_job_and_a_cron_job_is_removed),
    test!(Beside jobs::once_jobs_in_a_row_leave_no_stale_agent),
    test!(Beside scripts::gen0_execs_the_agent_and_never_removes_it),
    test!(Beside scripts::gen0b_deletes_the_token_file_and_never_removes_the_agent),
    test!(Beside scripts::gen2_has_traps_and_an_endless_loop),
    test!(Beside scripts::gen3_has_a_user_of_its_own),
    test!(Beside scripts::gen4_checks_the_token_file),
    test!(Beside scripts::foreground_ignores_sigterm),
    test!(Beside scripts::read_once_keeps_its_first_token),
    test!(Beside scripts::own_exchange_with_a_token_of_the_pods_own),
    test!(Beside shapes::one_container_of_several_is_the_agent),
    test!(Beside shapes::init_containers_stay_as_they_are_and_ours_is_last),
    test!(Beside shapes::shared_namespaces_and_every_restart_policy),
    test!(Beside shapes::guaranteed_pods_pods_of_one_node_and_grace_periods),
    test!(Beside shapes::a_stateful_set_pod_comes_back_under_its_name),
    test!(Beside shapes::what_the_webhook_says_reaches_the_person),
    test!(Beside shapes::a_sidecar_that_cannot_be_pulled_holds_the_agent_back),
    test!(Beside mesh::a_proxy_that_is_first_carries_the_removal),
    test!(Beside limits::a_quota_without_a_limit_range_admits_and_counts_the_sidecar),
    test!(Beside limits::a_limit_range_below_the_sidecar_is_said_and_cured),
    test!(Beside policies::restricted_namespaces_admit_agents_and_the_webhook),
    test!(Beside policies::every_manifest_is_valid_to_the_api_server),
    test!(Beside scaling::the_example_deployment_registers_unchanged),
    test!(Alone jobs::a_job_completes_within_three_seconds_of_its_agents_end),
    test!(Alone calls::nobody_calls_without_both_labels),
    test!(Alone calls::whoever_is_asked_again_adds_nothing),
    test!(Alone policies::a_forgotten_label_is_denied_by_the_component),
    test!(Alone policies::without_a_webhook_the_component_denies_instead_of_the_call),
    test!(Alone burst::twelve_agents_of_a_job_take_one_job_each),
    // Last: the controllers need a while to be rid of its pods.
    test!(Alone burst::a_thousand_pods_are_admitted_without_a_failed_call),
];

fn main() -> std::process::ExitCode {
    Suite::main(TESTS)
}

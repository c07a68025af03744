//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p tests --test cluster -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod availability;
mod azwi;
mod case;
mod certificates;
mod deaths;
mod ending;
mod install;
mod ipv6;
mod issuer;
mod keda;
mod kubelet;
mod life;
mod load;
mod recovery;
mod rollouts;
mod scaling;
mod start_time;
mod suite;
mod termination;
mod thousand;
mod webhook;
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
    test!(Beside azwi::with_hide_the_agents_container_holds_no_federated_token),
    test!(Beside azwi::with_keep_a_script_exchanges_the_token_itself),
    test!(Beside azwi::without_a_choice_the_pod_is_denied),
    test!(Beside azwi::without_the_label_azwi_does_nothing),
    test!(Beside azwi::with_identity_binding_azwi_provides_the_identity),
    test!(Beside azwi::where_azwi_is_called_first_hide_takes_the_token_out_again),
    test!(Reinstalls azwi::the_order_of_installation_does_not_matter),
    test!(Alone start_time::an_agent_is_online_soon_after_its_pod_is_created),
    test!(Beside install::a_dry_run_shows_the_pod_that_would_be_made),
    test!(Alone certificates::the_leaf_is_renewed_every_few_seconds_under_load),
    test!(Alone certificates::a_new_root_then_the_leaf_under_load),
    test!(Alone certificates::a_broken_pair_is_ignored_and_an_expired_one_makes_not_ready),
    test!(Alone availability::a_webhook_that_dies_is_missed_for_moments_only),
    test!(Alone availability::an_outage_of_the_api_server_restarts_nothing),
    test!(Alone issuer::the_signing_key_is_rotated_while_agents_run),
    test!(Alone issuer::an_issuer_that_is_published_elsewhere),
    test!(Alone thousand::a_job_of_a_thousand_pods_is_admitted_as_a_whole),
    test!(Reinstalls availability::a_rolling_update_and_evictions_lose_no_call),
    test!(Reinstalls ipv6::the_api_server_calls_over_ipv6),
    test!(Reinstalls install::upgraded_and_rolled_back_under_running_agents),
    test!(Reinstalls install::from_nothing_with_cert_manager_late_then_again),
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

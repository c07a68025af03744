//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p cluster --test suite -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod availability;
mod azwi;
mod burst;
mod calls;
mod case;
mod certificates;
mod deaths;
mod ending;
mod goldens;
mod install;
mod ipv6;
mod issuer;
mod jobs;
mod keda;
mod kubelet;
mod leaving;
mod life;
mod limits;
mod load;
mod mesh;
mod metrics;
mod policies;
mod pressure;
mod recovery;
mod rollouts;
mod scaling;
mod scripts;
mod shapes;
mod start_time;
mod suite;
mod termination;
mod usual;
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
    test!(Beside jobs::every_attempt_of_a_job_and_a_cron_job_is_removed),
    test!(Beside jobs::once_jobs_in_a_row_leave_no_stale_agent),
    test!(Beside scripts::gen0_execs_the_agent_and_never_removes_it),
    test!(Beside scripts::gen0b_deletes_the_token_file_and_never_removes_the_agent),
    test!(Beside scripts::gen1_tries_the_removal_once),
    test!(Beside scripts::gen2_has_traps_and_an_endless_loop),
    test!(Beside scripts::gen3_has_a_user_of_its_own),
    test!(Beside scripts::gen4_checks_the_token_file),
    test!(Beside scripts::foreground_ignores_sigterm),
    test!(Beside scripts::read_once_keeps_its_first_token),
    test!(Beside scripts::own_exchange_with_a_token_of_the_pods_own),
    test!(Beside goldens::the_api_server_accepts_every_patched_pod_whose_original_it_accepts),
    test!(Beside shapes::one_container_of_several_is_the_agent),
    test!(Beside shapes::init_containers_stay_as_they_are_and_ours_is_last),
    test!(Beside shapes::shared_namespaces_and_every_restart_policy),
    test!(Beside shapes::a_stateful_set_pod_comes_back_under_its_name),
    test!(Beside shapes::what_the_webhook_says_reaches_the_person),
    test!(Beside shapes::a_sidecar_that_cannot_be_pulled_holds_the_agent_back),
    test!(Beside mesh::a_proxy_that_is_first_carries_the_removal),
    test!(Beside limits::a_quota_without_a_limit_range_admits_and_counts_the_sidecar),
    test!(Beside limits::a_limit_range_below_the_sidecar_is_said_and_cured),
    test!(Beside policies::restricted_namespaces_admit_agents_and_the_webhook),
    test!(Beside policies::every_manifest_is_valid_to_the_api_server),
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
    test!(Beside leaving::a_job_outlives_the_deletion_of_its_pod),
    test!(Beside leaving::a_job_outlives_the_eviction_of_its_pod),
    test!(Beside leaving::a_job_outlives_scaling_in),
    test!(Alone leaving::a_job_outlives_the_drain_of_its_node),
    test!(Alone termination::everybody_is_told_in_time),
    test!(Alone kubelet::a_kubelet_that_comes_back_starts_the_grace_over),
    test!(Alone pressure::an_agent_that_is_evicted_softly_is_removed),
    // A pod that names its node is refused where others have its room.
    test!(Alone shapes::guaranteed_pods_pods_of_one_node_and_grace_periods),
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

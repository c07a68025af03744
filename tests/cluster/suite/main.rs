//! The suite on a real Kubernetes: only Azure is imitated. `cargo test -p cluster --test suite -- [PART OF A NAME]...`.
//!
//! Uses the node that is up, or starts one and takes it down again. Prints a table at the end. docs/cluster.md.

mod availability;
mod azwi;
mod burst;
mod calls;
mod case;
mod certificates;
mod chart;
mod check;
mod deaths;
mod ending;
mod gateway;
mod gitops;
mod goldens;
mod install;
mod ipv6;
mod issuer;
mod jobs;
mod keda;
mod keep;
mod kubelet;
mod leaving;
mod life;
mod limits;
mod load;
mod manual;
mod mesh;
mod metrics;
mod plug;
mod policies;
mod pressure;
mod quick_start;
mod recovery;
mod rollouts;
mod scaling;
mod scripts;
mod shapes;
mod start_time;
mod status;
mod suite;
mod termination;
mod test;
mod usual;
mod webhook;
mod workload;

use suite::Suite;
use test::{Test, test};

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
    test!(Beside gateway::a_job_that_searches_everything_finds_no_token_and_removes_no_other_agent),
    test!(Beside gateway::agents_are_ready_while_online_and_no_job_is_lost_with_their_pods),
    test!(Beside gateway::an_agent_of_one_job_is_gone_with_it),
    test!(Beside goldens::the_api_server_accepts_every_patched_pod_whose_original_it_accepts),
    test!(Beside shapes::one_container_of_several_is_the_agent),
    test!(Beside shapes::init_containers_stay_as_they_are_and_ours_is_last),
    test!(Beside shapes::shared_namespaces_and_every_restart_policy),
    test!(Beside shapes::a_stateful_set_pod_comes_back_under_its_name),
    test!(Beside shapes::warnings_and_denials_reach_the_user),
    test!(Beside shapes::a_sidecar_that_cannot_be_pulled_holds_the_agent_back),
    test!(Beside mesh::a_proxy_that_is_first_carries_the_removal),
    test!(Beside limits::a_quota_without_a_limit_range_admits_and_counts_the_sidecar),
    test!(Beside limits::a_limit_range_below_the_sidecar_is_reported_and_worked_around),
    test!(Beside policies::restricted_namespaces_admit_agents_and_the_webhook),
    test!(Beside policies::every_manifest_is_valid_to_the_api_server),
    test!(Beside scaling::the_example_deployment_registers_unchanged),
    test!(Beside manual::a_manually_injected_deployment_registers_and_is_removed),
    test!(Beside azwi::with_hide_the_agents_container_holds_no_federated_token),
    test!(Beside azwi::with_keep_a_script_exchanges_the_token_itself),
    test!(Beside azwi::with_hide_and_own_exchange_a_script_gets_nothing_of_azwi_and_registers),
    test!(Beside azwi::without_a_choice_the_pod_is_denied),
    test!(Beside azwi::without_the_label_azwi_does_nothing),
    test!(Beside azwi::with_identity_binding_azwi_provides_the_identity),
    test!(Beside azwi::where_azwi_is_called_first_hide_takes_the_token_out_again),
    test!(Beside check::all_is_well_after_the_installation_and_before_it),
    test!(Beside check::broken_parts_are_reported),
    test!(Beside status::the_status_of_each_sidecar_is_shown),
    test!(Reinstalls azwi::the_order_of_installation_does_not_matter),
    test!(Alone start_time::an_agent_is_online_soon_after_its_pod_is_created),
    test!(Beside install::a_dry_run_shows_the_pod_that_would_be_made),
    test!(Alone certificates::the_leaf_is_renewed_every_few_seconds_under_load),
    test!(Alone certificates::a_new_root_then_the_leaf_under_load),
    test!(Alone certificates::a_broken_pair_is_ignored_and_an_expired_one_makes_not_ready),
    test!(Alone availability::a_webhook_pod_that_dies_causes_a_short_outage_only),
    test!(Alone availability::an_outage_of_the_api_server_restarts_nothing),
    test!(Alone check::a_webhook_without_pods_is_named),
    test!(Alone issuer::the_signing_key_is_rotated_while_agents_run),
    test!(Alone issuer::an_issuer_whose_documents_are_published_elsewhere),
    test!(Reinstalls availability::a_rolling_update_and_evictions_lose_no_call),
    test!(Reinstalls ipv6::the_bare_nodes_api_server_calls_over_ipv6, bare node: "kind's API server calls Services, whose addresses are IPv4 there"),
    test!(Reinstalls install::upgrade_and_rollback_under_running_agents),
    test!(Reinstalls chart::helm_installs_upgrades_and_uninstalls_under_running_agents),
    test!(Reinstalls chart::a_certificate_that_helm_made_is_kept_over_upgrades),
    test!(Reinstalls install::install_before_cert_manager_then_uninstall_and_install_again),
    test!(Reinstalls quick_start::every_command_is_executed_as_typed),
    test!(Reinstalls gitops::applied_manifests_read_back_unchanged),
    test!(Beside deaths::agents_whose_container_restarts),
    test!(Beside deaths::pods_that_are_deleted_evicted_or_completed),
    test!(Beside deaths::agents_whose_container_does_not_restart),
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
    test!(Alone termination::hooks_and_signals_arrive_in_time),
    test!(Alone kubelet::a_restarted_kubelet_starts_the_grace_period_over),
    test!(Alone pressure::an_agent_that_is_evicted_softly_is_removed),
    // A pod that names its node is refused where others have its room.
    test!(Alone shapes::guaranteed_pods_pods_of_one_node_and_grace_periods),
    test!(Alone jobs::a_job_completes_within_three_seconds_of_its_agents_end),
    test!(Alone calls::the_webhook_is_not_called_without_both_labels),
    test!(Alone calls::a_second_call_changes_nothing),
    test!(Alone policies::a_forgotten_label_is_denied_by_the_component),
    test!(Alone policies::without_a_webhook_the_component_denies_instead_of_the_call),
    test!(Alone burst::twelve_agents_of_a_job_take_one_job_each),
    test!(Alone keep::an_agent_that_is_left_behind_is_removed_counted_and_told),
    test!(Alone plug::a_fixed_seed_leaves_no_agent_behind),
    test!(Alone plug::a_random_seed_leaves_no_agent_behind),
    test!(Alone plug::losses::fewer_agents_and_jobs_are_lost_with_the_sidecar),
    // Last: the controllers need a while to be rid of its pods.
    test!(Alone burst::a_thousand_pods_are_admitted_without_a_failed_call),
];

fn main() -> std::process::ExitCode {
    Suite::main(TESTS)
}

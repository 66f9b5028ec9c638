//! What every region log must do, whatever database is under it.
//!
//! Cases take a [`Ground`] and know nothing of the database. [`conformance_tests`] turns each into a test of its own name.
//! What only one database can show (locks of files, a full disk) is tested beside that database.

pub mod appends;
pub mod author;
pub mod credentials;
pub mod crowds;
pub mod deliveries;
pub mod devices;
pub mod fences;
pub mod inboxes;
pub mod lookups;
pub mod messages;
pub mod outcomes;
pub mod readers;
pub mod retained_proofs;
pub mod retention;
pub mod searches;
pub mod sending;

use std::sync::Arc;

use async_trait::async_trait;

use super::RegionLog;

/// Where a log under test keeps its data. Empty at first; each test has one of its own.
#[async_trait]
pub trait Ground: Send + Sync {
    /// Opens the log. Every call opens one more instance on the same data.
    async fn open(&self) -> Arc<dyn RegionLog>;
}

/// Makes a test of each case. `$ground` is an expression for a fresh [`Ground`].
macro_rules! conformance_tests {
    ($ground:expr) => {
        $crate::log::conformance::conformance_tests! { @each $ground;
            appends {
                an_event_comes_back_byte_for_byte,
                texts_of_any_characters_come_back_and_are_found,
                an_empty_log_has_no_head_and_no_events,
                an_append_on_a_stale_head_fails_and_names_the_true_one,
                an_append_with_a_hole_or_a_repeated_position_fails,
                a_failing_part_leaves_the_others_alone,
                appends_of_one_tenant_chain_within_a_commit,
                after_a_failed_part_later_parts_of_its_tenant_fail_too,
                of_two_writers_on_one_head_one_wins,
                a_seq_that_is_taken_fails_the_part_and_no_other,
                a_commit_without_parts_is_nothing,
                large_batches_of_any_size_are_written_whole,
                what_was_committed_is_there_after_reopening,
            }
            crowds {
                concurrent_commits_of_many_tenants_leave_no_hole_and_no_fork,
                a_commit_that_is_given_up_midway_leaves_the_log_whole,
            }
            lookups {
                dedup_ids_are_found_within_their_day_only,
                the_newest_dedup_ids_come_first,
                an_idempotent_answer_is_kept_until_it_expires,
                a_taken_idempotency_key_fails_its_part_only,
                an_expired_idempotency_key_can_be_taken_again,
                chain_ends_and_leaves_are_kept_by_workspace,
                tree_nodes_come_back_in_order,
                a_position_is_found_by_time,
            }
            searches {
                events_are_read_in_order_after_a_cursor,
                reading_stops_at_its_limits,
                each_filter_finds_its_events_in_both_orders,
                pages_go_on_where_the_last_one_ended,
                a_page_looks_at_no_more_than_it_may,
                bounds_by_position_and_time_hold_together,
            }
            deliveries {
                attempts_are_listed_by_event_with_the_newest_first,
                a_delivery_shows_all_its_attempts,
                an_attempt_logged_twice_is_one_attempt,
                deliveries_are_filtered_by_state,
                settled_positions_above_a_cursor_are_known,
                retrying_deliveries_come_soonest_first,
                dead_letters_are_paged_over_all_webhooks,
                a_cleared_exception_is_gone,
                standings_tell_the_worst_over_all_webhooks,
            }
            outcomes {
                a_dispatch_mark_never_goes_back,
                waking_never_moves_a_cursor_back,
                a_rested_webhook_has_no_work_until_it_is_woken,
                within_a_commit_the_order_of_parts_decides,
                tenants_with_work_are_known_at_the_start,
                one_webhook_stands_where_the_list_says,
                a_forgotten_webhook_leaves_nothing,
                replays_are_replaced_as_a_whole,
            }
            fences {
                a_lower_fence_is_refused_and_the_held_one_named,
                equal_and_higher_fences_pass,
                an_append_needs_no_fence,
                a_fenced_part_takes_nothing_of_others_with_it,
                every_part_but_an_append_is_fenced,
                a_raised_fence_holds_for_the_parts_after_it,
                fences_survive_reopening,
            }
            devices {
                an_open_session_shuts_out_the_older_ones,
                a_session_is_opened_under_a_higher_fence_or_the_same,
                fences_are_each_device_s_and_each_tenant_s_own,
                fences_of_devices_survive_reopening,
                a_device_s_part_carries_no_fence_of_its_tenant,
                the_head_is_looked_at_before_the_sessions,
                a_fenced_append_takes_nothing_of_other_tenants_with_it,
                a_session_opened_within_a_commit_holds_for_the_appends_after_it,
                a_session_whose_opening_was_given_up_midway_is_open_or_not,
                appends_of_many_devices_are_written_together,
            }
            sending {
                a_replaced_session_says_nothing_about_messages,
                nobody_sends_through_a_device_that_somebody_deletes_meanwhile,
            }
            credentials {
                credentials_are_kept_under_the_present_fence_only,
                large_credentials_come_back_byte_for_byte,
                a_device_that_is_deleted_leaves_its_fence_only,
            }
            messages {
                a_message_is_called_by_the_event_that_told_of_it,
                an_edit_a_deletion_or_a_receipt_may_come_first,
                steps_in_any_order_give_the_same_row,
                a_step_that_is_taken_again_changes_nothing,
                a_message_of_ours_goes_from_pending_to_read,
                an_event_that_was_faster_than_the_outcome_is_joined,
                a_message_that_failed_says_why_until_it_was_sent_after_all,
                an_outcome_of_what_is_not_there_is_nothing,
                a_name_is_given_to_one_message_of_ours_only,
            }
            inboxes {
                messages_are_listed_page_by_page_newest_first,
                messages_are_filtered_by_chat_direction_and_state,
                a_page_of_messages_looks_at_no_more_than_it_may,
                a_foreign_tenant_sees_no_message,
                parts_of_one_commit_about_a_message_come_together,
                an_append_that_fails_leaves_no_trace_in_messages,
                a_deleted_device_leaves_no_message,
                messages_of_a_deleted_device_go_in_bounded_portions,
                many_messages_are_written_in_one_commit,
            }
            retention {
                what_has_outlived_its_time_goes_and_nothing_else,
                an_event_waits_for_those_before_it,
                a_log_whose_events_are_all_gone_goes_on_where_it_ended,
                a_workspace_that_rests_keeps_the_end_of_its_chain,
                another_tenant_loses_nothing,
                pieces_are_bounded_and_leave_a_whole_log_behind,
                appends_go_through_while_events_go,
                tenants_with_something_to_lose_are_found_page_by_page,
                searches_begin_with_what_is_kept,
            }
            retained_proofs {
                proofs_of_what_is_kept_hold_wherever_a_log_was_cut,
                trees_of_any_size_go_on_when_all_their_events_are_gone,
                deliveries_of_removed_events_go_too,
                messages_of_removed_events_go_too,
                whoever_is_interrupted_finds_the_rest_again,
            }
            readers {
                a_consumer_stands_where_it_acknowledged,
                a_foreign_tenant_sees_nothing,
                a_foreign_tenant_changes_nothing,
                a_sweep_takes_what_is_out_of_date_only,
                the_probe_and_the_counts_answer,
                a_closed_log_refuses_to_write,
            }
        }
    };
    (@each $ground:expr; $($module:ident { $($case:ident),* $(,)? })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::log::conformance::$module::$case(&$ground).await;
            }
        )*)*
    };
}
pub(crate) use conformance_tests;

//! The conformance suite itself: a driver that keeps all promises passes, and each broken promise is caught.

#![allow(clippy::unwrap_used, reason = "a fixture that fails ends the test")]

mod fixture;
mod notes;
mod source;
mod staging;

mod a_driver_that_keeps_all_promises {
    use crate::fixture::Notes;

    dumprestore_testkit::conformance!(Notes<0>);
}

macro_rules! caught {
    ($($number:literal $test:ident: $breaks:literal => $trial:ident;)*) => {
        /// What the fixture of each number breaks.
        pub(crate) const BREAKS: &[(usize, &str)] = &[$(($number, $breaks)),*];

        $(#[test]
        fn $test() {
            let kit = dumprestore_testkit::Kit::of::<fixture::Notes<$number>>();
            let caught = dumprestore_testkit::try_in_test(kit, stringify!($trial), stringify!($test));
            assert!(caught.is_err(), "a driver that `{}` passes `{}`", $breaks, stringify!($trial));
        })*
    };
}

caught! {
    1 another_kind_is_caught: "another kind" => the_options_are_documented_and_strict;
    2 an_unreadable_format_is_caught: "cannot read its own" => every_format_that_is_read_is_read_and_another_is_refused_by_name;
    3 a_denied_link_is_caught: "denies its keys" => the_fixture_can_fail;
    4 a_told_password_is_caught: "tells its password" => secrets_appear_nowhere;
    5 careless_keys_are_caught: "takes any keys" => what_is_not_linked_is_refused;
    6 a_writing_inspection_is_caught: "inspect writes" => inspect_changes_nothing;
    7 a_blind_inspection_is_caught: "sees no problem" => a_removed_source_is_not_dumped_as_an_empty_one;
    8 wrong_counts_are_caught: "counts nothing" => changes_are_counted_and_none_is_made;
    9 ignored_extras_are_caught: "ignores extras" => extras_stop_the_restore_or_stay_or_go;
    10 an_early_creation_is_caught: "stage creates" => staging_creates_nothing_before_begin;
    11 a_previous_state_for_ever_is_caught: "never discards" => the_previous_state_can_be_dropped;
    12 an_unheld_pin_is_caught: "pins nothing" => a_pinned_source_does_not_see_later_changes;
    13 live_keys_are_caught: "live keys" => references_are_those_of_the_cut;
    14 an_old_pin_is_caught: "pins once" => a_second_cut_sees_the_present;
    15 scratch_files_are_caught: "leaves scratch" => a_cancelled_dump_leaves_nothing;
    16 a_lost_byte_is_caught: "loses a byte" => a_round_trip_gives_the_same_state_back;
    17 a_lost_empty_thing_is_caught: "drops an empty note" => hostile_names_round_trip;
    18 a_swallowed_write_error_is_caught: "swallows the writer's error" => an_error_of_the_writer_is_passed_on;
    19 a_rewritten_write_error_is_caught: "rewrites the writer's error" => an_error_of_the_writer_is_passed_on;
    20 a_writing_release_is_caught: "release writes" => a_cancelled_dump_leaves_nothing;
    21 a_forgotten_run_is_caught: "forgets its run" => a_crash_at_each_step_can_be_rolled_back;
    22 a_restore_in_place_is_caught: "loads in place" => load_leaves_the_live_data_alone;
    23 a_reader_that_is_not_read_to_its_end_is_caught: "stops at the size" => damaged_content_is_refused;
    24 an_ignored_reader_is_caught: "ignores the reader's error" => damaged_content_is_refused;
    25 a_second_commit_that_fails_is_caught: "commits twice" => committing_twice_is_once;
    26 a_slow_swap_is_caught: "swaps slowly" => a_kill_inside_a_step_can_be_rolled_back;
    27 a_rollback_that_trusts_its_memory_is_caught: "undoes only what it knows of" => a_crash_at_each_step_can_be_rolled_back;
    28 a_left_staging_is_caught: "leaves the staging" => rollback_before_commit_restores_everything;
    29 a_left_staging_is_caught_after_a_failure: "leaves the staging" => a_failure_anywhere_rolls_back;
    30 an_answer_for_the_live_data_is_caught: "answers for the live" => staged_data_answer_for_themselves;
    31 a_commit_that_does_nothing_is_caught: "commits nothing" => a_crash_after_prepare_can_be_committed;
    32 a_rollback_that_does_nothing_is_caught: "cannot undo, and says nothing" => rollback_after_commit_restores_the_old_state;
    33 a_second_rollback_that_fails_is_caught: "rolls back once" => rolling_back_twice_is_once;
    34 a_second_finish_that_fails_is_caught: "finishes once" => finishing_twice_is_once;
    35 a_left_old_state_is_caught: "leaves the old state" => a_large_source_round_trips;
    36 references_that_always_resolve_are_caught: "finds everything" => resolve_tells_what_is_missing;
    37 ignored_digests_are_caught: "ignores digests" => resolve_tells_what_is_missing;
    38 an_empty_dump_of_a_source_that_is_gone_is_caught: "empty when gone" => a_removed_source_is_not_dumped_as_an_empty_one;
    39 an_unheld_pin_is_caught_by_its_links: "pins nothing" => what_resolved_at_the_cut_is_in_the_dump;
    40 a_swap_in_one_go_is_not_enough_after_a_finish: "finishes once" => a_kill_inside_commit_or_finish_can_be_finished;
    41 a_cancelled_restore_that_leaves_its_staging_is_caught: "leaves the staging" => a_cancelled_restore_rolls_back;
    43 an_older_format_that_is_misread_is_caught: "misreads the older format" => every_format_that_is_read_is_read_and_another_is_refused_by_name;
    44 a_kept_state_that_a_crash_loses_is_caught: "drops the old state first" => a_kill_inside_finish_keeps_the_old_state;
    45 a_previous_state_that_a_crash_loses_is_caught: "takes the previous state apart" => a_crash_while_the_previous_state_is_put_back_loses_neither;
    46 a_killed_dump_that_leaves_something_is_caught: "marks the source" => a_killed_dump_leaves_the_source_alone;
    47 a_left_staging_is_caught_in_place: "leaves the staging" => an_in_place_restore_rolls_back_before_its_commit;
    48 a_forgotten_effect_is_caught: "forgets its effect" => a_kill_anywhere_in_an_in_place_restore_leaves_old_or_new;
    49 a_dropped_rest_is_caught: "drops the rest" => a_partial_restore_leaves_the_rest_alone;
    50 a_rest_that_is_overwritten_is_caught: "loads everything" => a_partial_restore_leaves_the_rest_alone;
    51 a_selection_of_nothing_is_caught: "selects nothing" => what_is_not_archived_cannot_be_selected;
    52 a_commit_in_place_that_does_nothing_is_caught: "commits nothing" => an_in_place_restore_gives_the_same_state;
    42 a_previous_state_that_is_not_put_back_is_caught: "commits nothing" => the_previous_state_is_kept_and_put_back;
}

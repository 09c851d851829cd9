//! What proves a dumprestore driver: the conformance suite, fault injection, and throw-away surroundings.
//!
//! # From the top
//!
//! - [`conformance!`] makes a test of each promise of the contract, named by the promise. It needs a [`Fixture`]: a
//!   throw-away source that can be filled, changed and compared.
//! - The suite calls a driver as the engine does: [`Dumping`] is one dump, [`Restoring`] one restore, step by step.
//!   Both are of use to a driver's own tests as well, by way of [`World`].
//! - [`Faulty`] counts the moments of a run, and lets a [`Fault`] happen at one of them: a failure, a Ctrl-C, or a
//!   real `kill -9` of a process that runs the restore.
//! - A [`StoredNode`] stands for the archive: parts as files, hashed on the way in and checked on the way out.
//!
//! - [`Process`] is a process that does not outlive its test, and can be killed at a line that it prints: servers,
//!   and our own binary. [`free_port`] and [`TempDir`] give them room.
//! - A [`Keeper`] ends a real server when its test is gone, however that came about. With the feature `postgres`,
//!   `PostgresServer` starts one of several major versions; with `mysql`, `MysqlServer` one of MariaDB or MySQL; with
//!   `redis`, `RedisServer` one of Redis or Valkey; with `s3`, `S3Server` one of two stores of objects, and an
//!   `S3Bucket` looks into them with none of our code.
//! - With `s3`, `Trouble` stands between a client and a server, and has requests fail, break, hang or crawl.
//!
//! A test file in full:
//!
//! ```text
//! struct Ledger { file: PathBuf }
//! impl Fixture for Ledger { ... }
//! dumprestore_testkit::conformance!(Ledger);
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this library is tests: what it can't go on without ends the test"
)]

mod child;
mod dumping;
mod fixture;
mod lanes;
mod moments;
mod process;
mod restoring;
mod servers;
#[cfg(feature = "spoilt")]
mod spoilt;
mod stored;
mod trial;
mod trials;
#[cfg(feature = "s3")]
mod trouble;
mod world;

pub use dumping::Dumping;
pub use fixture::{Fixture, ReferentSample, ReferrerSample, Seed, entries};
pub use moments::{Fault, Faulty, INJECTED, spread};
pub use process::{Process, free_port, soon};
pub use restoring::{Restoring, Step};
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
pub use servers::Authority;
pub use servers::{Account, Keeper, Programs};
#[cfg(feature = "mysql")]
pub use servers::{MysqlFamily, MysqlOptions, MysqlServer, MysqlVersion};
#[cfg(feature = "postgres")]
pub use servers::{PostgresOptions, PostgresServer, PostgresVersion};
#[cfg(feature = "redis")]
pub use servers::{RedisCluster, RedisOptions, RedisServer, RedisVersion};
#[cfg(feature = "s3")]
pub use servers::{S3Answer, S3Bucket, S3Kind, S3Object, S3Server, S3Upload, S3Version};
#[cfg(feature = "spoilt")]
pub use spoilt::{Change, changed, changes};
pub use stored::{DAMAGED, Damage, StoredNode};
pub use trial::{Broken, Needs, TRIALS, Trial, check_the_list, run_as_test, try_in_test};
#[cfg(feature = "s3")]
pub use trouble::{Mishap, Requests, Trouble};
pub use world::{Kit, State, World};

pub use async_trait::async_trait;
pub use tempfile::TempDir;

/// Makes a test of each promise of the contract, for the driver of a [`Fixture`].
///
/// Trials that the driver's capabilities rule out pass at once; `the_list_of_trials` shows which (run it with
/// `--nocapture`). Call it once per module.
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::conformance! { @tests $fixture;
            the_fixture_can_fail
            the_options_are_documented_and_strict
            every_format_that_is_read_is_read_and_another_is_refused_by_name
            inspect_changes_nothing
            secrets_appear_nowhere
            a_round_trip_gives_the_same_state_back
            an_empty_source_round_trips
            hostile_names_round_trip
            a_large_source_round_trips
            a_restore_elsewhere_gives_the_same_state
            a_removed_source_is_restored
            a_removed_source_is_not_dumped_as_an_empty_one
            a_pinned_source_does_not_see_later_changes
            a_second_cut_sees_the_present
            writers_go_on_after_a_locked_cut
            lanes_agree_with_one_lane
            parts_load_in_any_order
            an_error_of_the_writer_is_passed_on
            a_cancelled_dump_leaves_nothing
            staging_creates_nothing_before_begin
            changes_are_counted_and_none_is_made
            load_leaves_the_live_data_alone
            committing_twice_is_once
            finishing_twice_is_once
            extras_stop_the_restore_or_stay_or_go
            damaged_content_is_refused
            rollback_before_commit_restores_everything
            rollback_after_commit_restores_the_old_state
            rolling_back_twice_is_once
            a_failure_anywhere_rolls_back
            a_cancelled_restore_rolls_back
            a_driver_that_cannot_undo_says_so
            the_previous_state_is_kept_and_put_back
            the_previous_state_can_be_dropped
            a_crash_at_each_step_can_be_rolled_back
            a_crash_after_prepare_can_be_committed
            a_kill_inside_a_step_can_be_rolled_back
            a_kill_inside_commit_or_finish_can_be_finished
            a_kill_inside_finish_keeps_the_old_state
            a_crash_while_the_previous_state_is_put_back_loses_neither
            a_killed_dump_leaves_the_source_alone
            an_in_place_restore_gives_the_same_state
            an_in_place_restore_rolls_back_before_its_commit
            a_failed_or_cancelled_in_place_restore_rolls_back
            a_kill_anywhere_in_an_in_place_restore_leaves_old_or_new
            a_partial_restore_leaves_the_rest_alone
            what_is_not_archived_cannot_be_selected
            references_are_those_of_the_cut
            resolve_tells_what_is_missing
            what_resolved_at_the_cut_is_in_the_dump
            staged_data_answer_for_themselves
            what_is_not_linked_is_refused
        }
    };
    (@tests $fixture:ty; $($trial:ident)*) => {
        $(
            #[test]
            fn $trial() {
                let path = concat!(module_path!(), "::", stringify!($trial));
                let test = path.split_once("::").map_or(path, |(_, test)| test);
                $crate::run_as_test($crate::Kit::of::<$fixture>(), stringify!($trial), test);
            }
        )*

        #[test]
        fn the_list_of_trials() {
            $crate::check_the_list($crate::Kit::of::<$fixture>(), &[$(stringify!($trial)),*]);
        }
    };
}

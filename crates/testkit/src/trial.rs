//! The table of trials, and how one is run.

use std::fmt;

use dumprestore_driver::{Capabilities, Error, InPlace, Lanes, Partial, Undo, View};
use futures_util::future::LocalBoxFuture;

use crate::trials::{contract, crash, dump, links, partial, place, restore, undo};
use crate::{Kit, World, child};

/// A promise of the contract, and how it is tried.
#[derive(Clone, Copy)]
pub struct Trial {
    /// The behaviour, as a sentence.
    pub name: &'static str,
    /// Where the contract promises it.
    pub promise: &'static str,
    /// Which drivers it is for.
    pub needs: Needs,
    run: Run,
}

type Run = for<'a> fn(&'a World) -> LocalBoxFuture<'a, Result<(), Broken>>;

/// Which drivers a trial is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// All.
    Nothing,
    /// Those that pin: what changes later is not seen.
    Pinned,
    /// Those that pin or capture.
    Cut,
    /// Those that deal with several parts at once.
    Lanes,
    /// Those that can undo at least until the commit.
    Undo,
    /// Those that can undo a commit.
    UndoCommit,
    /// Those that can't undo.
    NoUndo,
    /// Those that keep the old state when asked.
    Previous,
    /// Those that refer to others.
    Referrer,
    /// Those that others refer to.
    Referent,
    /// Those that restore in place.
    InPlace,
    /// Those that restore in place, and can undo that until the commit at least.
    InPlaceUndo,
    /// Those that restore some things without the others.
    Partial,
}

impl Needs {
    /// Whether a driver of these capabilities, and its fixture, have it.
    pub fn met(self, can: Capabilities, keeps_previous: bool) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::Pinned => matches!(can.view, View::Pinned | View::Once),
            Needs::Cut => can.view != View::Streamed,
            Needs::Lanes => can.lanes == Lanes::Many,
            Needs::Undo => can.undo != Undo::Never,
            Needs::UndoCommit => can.undo == Undo::AfterCommit,
            Needs::NoUndo => can.undo == Undo::Never,
            Needs::Previous => can.undo == Undo::AfterCommit && keeps_previous,
            Needs::Referrer => can.linked.referrer,
            Needs::Referent => can.linked.referent,
            Needs::InPlace => can.in_place != InPlace::No,
            Needs::InPlaceUndo => place::can_undo(can.in_place),
            Needs::Partial => can.partial != Partial::Whole,
        }
    }
}

/// A promise that was not kept: what was seen instead.
pub struct Broken(String);

impl Broken {
    /// What was seen.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// What was seen, and the error that came of it.
    pub fn because(what: impl fmt::Display, error: Error) -> Self {
        Self(format!("{what}: {error:?}"))
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(format!("it failed: {error:?}"))
    }
}

macro_rules! table {
    ($($module:ident::$name:ident, $needs:ident, $promise:literal;)*) => {
        /// All trials.
        pub const TRIALS: &[Trial] = &[$(Trial {
            name: stringify!($name),
            promise: $promise,
            needs: Needs::$needs,
            run: |world| Box::pin($module::$name(world)),
        }),*];
    };
}

table! {
    contract::the_fixture_can_fail, Nothing, "`Fixture`: a test that can't fail proves nothing";
    contract::the_options_are_documented_and_strict, Nothing, "`DriverConfig`: a documented struct that denies unknown fields";
    contract::every_format_that_is_read_is_read_and_another_is_refused_by_name, Nothing, "`Driver::formats`: which formats this driver writes and reads";
    contract::inspect_changes_nothing, Nothing, "`Driver::inspect`: looks, and never touches";
    contract::secrets_appear_nowhere, Nothing, "`Secret`: reaches neither argv, nor logs, errors, manifests or `Debug`";
    dump::a_round_trip_gives_the_same_state_back, Nothing, "`Source` and `Staging`: what was dumped is what is restored";
    dump::an_empty_source_round_trips, Nothing, "`Source` and `Staging`: what was dumped is what is restored";
    dump::hostile_names_round_trip, Nothing, "`Source` and `Staging`: what was dumped is what is restored";
    dump::a_large_source_round_trips, Nothing, "`Source` and `Staging`: what was dumped is what is restored";
    dump::a_restore_elsewhere_gives_the_same_state, Nothing, "`Driver::stage`: restores into the target of the configuration, not of the dump";
    dump::a_removed_source_is_restored, Nothing, "`Driver::stage`: the target need not be there";
    dump::a_removed_source_is_not_dumped_as_an_empty_one, Nothing, "`Driver::inspect`: what would make a dump fail is a problem";
    dump::a_pinned_source_does_not_see_later_changes, Pinned, "`Source::pin`: later changes to the source are not seen";
    dump::a_second_cut_sees_the_present, Cut, "`Source::unpin`: lets the view go, to pin again later";
    dump::writers_go_on_after_a_locked_cut, Pinned, "`Source::unlock`: lets writers go on; the view stays";
    dump::lanes_agree_with_one_lane, Lanes, "`Lanes::Many`: as many as the engine likes";
    dump::parts_load_in_any_order, Lanes, "`Lanes::Many`: in any order";
    dump::an_error_of_the_writer_is_passed_on, Nothing, "`Source::dump`: an error of the writer is passed on as it is";
    dump::a_cancelled_dump_leaves_nothing, Nothing, "`Source::release`: lets everything go, after success and after failure";
    restore::staging_creates_nothing_before_begin, Nothing, "`Driver::stage`: creates nothing yet";
    restore::changes_are_counted_and_none_is_made, Nothing, "`Driver::changes`: looks only";
    restore::load_leaves_the_live_data_alone, Undo, "`Staging::load`: the live data stay as they are";
    restore::committing_twice_is_once, Nothing, "`Staging::commit`: committing what is committed does nothing";
    restore::finishing_twice_is_once, Nothing, "`Staging::finish`: idempotent";
    restore::extras_stop_the_restore_or_stay_or_go, Nothing, "`Extras`: what becomes of things that the target has and the archive does not";
    restore::damaged_content_is_refused, Nothing, "`PartReader`: fails, at the end at the latest, if the content is not what was dumped";
    undo::rollback_before_commit_restores_everything, Undo, "`Staging::rollback`: puts everything back to how it was before `begin`";
    undo::rollback_after_commit_restores_the_old_state, UndoCommit, "`Undo::AfterCommit`: until `finish`";
    undo::rolling_back_twice_is_once, Undo, "`Staging::rollback`: idempotent";
    undo::a_failure_anywhere_rolls_back, Nothing, "`Staging::rollback`: legal at any moment before `finish`";
    undo::a_cancelled_restore_rolls_back, Nothing, "`StageContext::cancel`: a rollback does not heed it";
    undo::a_driver_that_cannot_undo_says_so, NoUndo, "`Staging::rollback`: `Stuck` if the old state can't be had back, with a hint";
    undo::the_previous_state_is_kept_and_put_back, Previous, "`Driver::stage_previous`: puts back the state that an earlier `finish` kept";
    undo::the_previous_state_can_be_dropped, Previous, "`Driver::discard_previous`: drops the state that an earlier `finish` kept";
    crash::a_crash_at_each_step_can_be_rolled_back, Nothing, "`Driver::resume`: rolling it back must work from there";
    crash::a_crash_after_prepare_can_be_committed, Nothing, "`Driver::resume`: committing and finishing it must work from there";
    crash::a_kill_inside_a_step_can_be_rolled_back, Nothing, "`Driver::resume`: possibly halfway through a step later than the token tells of";
    crash::a_kill_inside_commit_or_finish_can_be_finished, Nothing, "`Driver::resume`: possibly halfway through a step later than the token tells of";
    crash::a_kill_inside_finish_keeps_the_old_state, Previous, "`Staging::finish`: with `OldState::Keep`, `stage_previous` can put it back";
    crash::a_crash_while_the_previous_state_is_put_back_loses_neither, Previous, "`Driver::stage_previous`: its methods are as ever";
    crash::a_killed_dump_leaves_the_source_alone, Nothing, "`Source`: a dump changes nothing, and nothing is needed after it";
    place::an_in_place_restore_gives_the_same_state, InPlace, "`Placement::InPlace`: in the target itself";
    place::an_in_place_restore_rolls_back_before_its_commit, InPlaceUndo, "`Driver::stage`: `rollback` before the commit leaves no trace";
    place::a_failed_or_cancelled_in_place_restore_rolls_back, InPlaceUndo, "`Driver::stage`: `rollback` before the commit leaves no trace";
    place::a_kill_anywhere_in_an_in_place_restore_leaves_old_or_new, InPlaceUndo, "`Staging::took_effect`: whether a commit that a crash cut off took effect";
    partial::a_partial_restore_leaves_the_rest_alone, Partial, "`Driver::stage`: what the selection does not mean is left alone";
    partial::what_is_not_archived_cannot_be_selected, Partial, "`Driver::changes`: `Config` if a thing that is selected is not in the archive";
    links::references_are_those_of_the_cut, Referrer, "`Links::references`: all keys of an edge, from the pinned data";
    links::resolve_tells_what_is_missing, Referent, "`Links::resolve`: which of the references do not resolve";
    links::what_resolved_at_the_cut_is_in_the_dump, Referent, "`Links::resolve`: what resolves at the cut stands in the archive as it was";
    links::staged_data_answer_for_themselves, Nothing, "`Links`: a prepared staging answers for what is about to be swapped in";
    links::what_is_not_linked_is_refused, Nothing, "`Driver::check_keys`, `check_within`: refuse what this driver does not understand";
}

impl Trial {
    /// The trial of that name.
    pub fn named(name: &str) -> Option<&'static Trial> {
        TRIALS.iter().find(|trial| trial.name == name)
    }

    /// Tries a driver, unless the trial is not for it.
    pub fn run(&self, kit: Kit, test: &'static str) -> Result<(), Broken> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Broken::new(format!("no runtime: {error}")))?;
        runtime.block_on(async {
            let world = World::new(kit, test).await?;
            if self.needs.met(world.driver.capabilities(), world.fixture.keeps_previous()) {
                (self.run)(&world).await
            } else {
                Ok(())
            }
        })
    }
}

/// Runs a trial as a test: panics if the promise is broken. `test` is the path of the test function.
///
/// # Panics
/// If the promise is broken, or there is no such trial.
pub fn run_as_test(kit: Kit, name: &str, test: &'static str) {
    if let Err(broken) = try_in_test(kit, name, test) {
        let promise = Trial::named(name).map_or("", |trial| trial.promise);
        panic!("broken promise\n  {promise}\n  {broken:?}");
    }
}

/// Runs a trial inside a test function, whose path is `test`: trials with `kill -9` run that function again, in
/// another process.
///
/// # Errors
/// If the promise is broken.
///
/// # Panics
/// If there is no such trial.
pub fn try_in_test(kit: Kit, name: &str, test: &'static str) -> Result<(), Broken> {
    if let Some(order) = child::order() {
        child::play(kit, &order);
    }
    Trial::named(name).expect("the macro knows the trials of the table").run(kit, test)
}

/// Checks that `listed`, the tests that the macro makes, are all trials, and shows which of them a driver has.
///
/// # Panics
/// If one is missing.
pub fn check_the_list(kit: Kit, listed: &[&str]) {
    let table: Vec<&str> = TRIALS.iter().map(|trial| trial.name).collect();
    assert_eq!(listed, table, "the macro and the table list different trials");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new(kit, "").await.expect("a fixture");
        let can = world.driver.capabilities();
        let keeps = world.fixture.keeps_previous();
        let has = |trial: &&Trial| trial.needs.met(can, keeps);
        println!("`{}`: {can:?}", kit.kind);
        TRIALS.iter().filter(has).for_each(|trial| println!("tried: {}", trial.name));
        TRIALS
            .iter()
            .filter(|t| !has(t))
            .for_each(|t| println!("not tried: {}, which is for {:?}", t.name, t.needs));
    });
}

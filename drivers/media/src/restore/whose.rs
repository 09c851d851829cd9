//! Whose a live object is while a restore is under way: the old one, ours, or somebody else's.

use super::identity::Identity;
use super::plan::Step;

/// What stands under a key of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Nothing.
    Nobodys,
    /// What was there before, untouched.
    Old,
    /// What the restore has put there.
    Ours,
    /// Neither: the application has written it since.
    Theirs,
    /// It is not the old one, and can't be told from ours.
    Unsure,
}

/// Tells whose it is. `copies_keep_etags` says that a copy has the ETag of what it is a copy of.
pub(super) fn whose(step: &Step, live: Option<&Identity>, copies_keep_etags: bool) -> Whose {
    let Some(live) = live else { return Whose::Nobodys };
    let old = step.old.as_ref().map(|old| &old.was);
    if old.is_some_and(|old| old.tells() && live.is(old)) {
        // Of objects that differ in their headers alone, the ETag is the same.
        let may_be_ours = live.etag.is_some() && step.new.as_ref().is_some_and(|new| live.is(&new.is));
        return if may_be_ours { Whose::Unsure } else { Whose::Old };
    }
    // What a version is copied from may have been written in another way than copies are.
    let copies_keep_etags = copies_keep_etags && step.new.as_ref().is_none_or(|new| new.version.is_none());
    let Some(new) = step.new.as_ref().map(|new| &new.is) else {
        // It was to go, and is another one.
        return if old.is_some_and(Identity::tells) { Whose::Theirs } else { Whose::Unsure };
    };
    if live.size != new.size {
        // Of stores that tell no more than sizes, it may still be the old one.
        let may_be_old = old.is_some_and(|old| !old.tells() && live.is(old));
        return if may_be_old { Whose::Unsure } else { Whose::Theirs };
    }
    match (&live.etag, &new.etag) {
        (Some(one), Some(two)) if one == two => Whose::Ours,
        (Some(_), Some(_)) if copies_keep_etags && new.is_of_one_part() => Whose::Theirs,
        _ => Whose::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{New, Old};
    use super::*;

    fn identity(size: u64, etag: &str) -> Identity {
        Identity::staged(size, Some(etag).filter(|etag| !etag.is_empty()))
    }

    fn step(old: Option<Identity>, new: Option<Identity>) -> Step {
        Step {
            key: "a".to_owned(),
            new: new.map(|is| New { from: "new/1".to_owned(), version: None, is }),
            old: old.map(|was| Old { was }),
            name: "1".to_owned(),
        }
    }

    #[test]
    fn with_etags_each_object_is_told_from_the_others() {
        let step = step(Some(identity(3, "old")), Some(identity(3, "new")));
        let whose = |live: Option<Identity>| whose(&step, live.as_ref(), true);
        assert_eq!(whose(None), Whose::Nobodys);
        assert_eq!(whose(Some(identity(3, "old"))), Whose::Old);
        assert_eq!(whose(Some(identity(3, "new"))), Whose::Ours);
        assert_eq!(whose(Some(identity(3, "other"))), Whose::Theirs);
        assert_eq!(whose(Some(identity(4, "new"))), Whose::Theirs);
    }

    #[test]
    fn where_copies_get_another_etag_what_may_be_ours_is_not_called_theirs() {
        let plain = step(Some(identity(3, "old")), Some(identity(3, "new")));
        assert_eq!(whose(&plain, Some(&identity(3, "copy")), false), Whose::Unsure);
        let of_parts = step(Some(identity(3, "old")), Some(identity(3, "new-2")));
        assert_eq!(whose(&of_parts, Some(&identity(3, "copy")), true), Whose::Unsure);
        assert_eq!(whose(&of_parts, Some(&identity(5, "copy")), true), Whose::Theirs);
        assert_eq!(whose(&of_parts, Some(&identity(3, "old")), true), Whose::Old);
    }

    #[test]
    fn what_was_copied_from_a_version_may_have_got_another_etag() {
        let mut step = step(Some(identity(3, "old")), Some(identity(3, "of the version")));
        step.new.as_mut().unwrap().version = Some("v1".to_owned());
        assert_eq!(whose(&step, Some(&identity(3, "copy")), true), Whose::Unsure);
        assert_eq!(whose(&step, Some(&identity(4, "other")), true), Whose::Theirs);
        assert_eq!(whose(&step, Some(&identity(3, "of the version")), true), Whose::Ours);
    }

    #[test]
    fn where_only_headers_change_the_old_object_is_not_called_untouched() {
        let step = step(Some(identity(3, "same")), Some(identity(3, "same")));
        assert_eq!(whose(&step, Some(&identity(3, "same")), true), Whose::Unsure);
        assert_eq!(whose(&step, Some(&identity(3, "other")), true), Whose::Theirs);
    }

    #[test]
    fn what_was_to_go_is_the_old_one_or_theirs() {
        let step = step(Some(identity(3, "old")), None);
        assert_eq!(whose(&step, Some(&identity(3, "old")), false), Whose::Old);
        assert_eq!(whose(&step, Some(&identity(3, "other")), false), Whose::Theirs);
        assert_eq!(whose(&step, None, true), Whose::Nobodys);
    }

    #[test]
    fn where_a_store_tells_sizes_only_nothing_is_untouched_for_sure() {
        let step = step(Some(identity(3, "")), Some(identity(5, "")));
        assert_eq!(whose(&step, Some(&identity(3, "")), false), Whose::Unsure);
        assert_eq!(whose(&step, Some(&identity(5, "")), false), Whose::Unsure);
        assert_eq!(whose(&step, Some(&identity(4, "")), false), Whose::Theirs);
    }
}

//! Names of what a restore writes beside the data.

use crate::ours::OURS;

/// Where the restore that is under way says so.
pub(super) const MARK: &str = ".dumprestore/restore.json";

/// The places of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    run: String,
}

impl Place {
    pub(super) fn of(run: &str) -> Self {
        Self { run: run.to_owned() }
    }

    /// The run.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// Everything of it, but for the mark.
    pub(super) fn all(&self) -> String {
        format!("{OURS}/{}/", self.run)
    }

    pub(super) fn state(&self) -> String {
        self.all() + "state.json"
    }

    pub(super) fn plan(&self) -> String {
        self.all() + "plan.jsonl"
    }

    /// All that is staged.
    pub(super) fn new_objects(&self) -> String {
        self.all() + "new/"
    }

    /// All that somebody wrote between `prepare` and `commit`.
    pub(super) fn late_objects(&self) -> String {
        self.all() + "late/"
    }

    /// The new object of that line of the archive.
    pub(super) fn new_object(&self, line: u64) -> String {
        format!("{}{line:012}", self.new_objects())
    }

    /// The number of a line in the name of a new object.
    pub(super) fn line_of(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.new_objects())?.parse().ok()
    }

    /// All that was there.
    pub(super) fn old_objects(&self) -> String {
        self.all() + "old/"
    }

    /// The old object that has that name in the plan.
    pub(super) fn old(&self, name: &str) -> String {
        self.old_objects() + name
    }

    /// What somebody wrote in its place.
    pub(super) fn late(&self, name: &str) -> String {
        format!("{}{name}", self.late_objects())
    }

    /// A key for something that is made there and renamed.
    pub(super) fn aside(&self, number: u64) -> String {
        format!("{}aside/{number}", self.all())
    }

    pub(super) fn trial(&self, number: u32) -> String {
        format!("{}trial-{number}", self.all())
    }
}

/// The name of an old object: after that many lines of the archive come so many that it does not have.
pub(super) fn name_of(lines: u64, extras: u64) -> String {
    match extras {
        0 => format!("{lines:012}"),
        extras => format!("{lines:012}-{extras:012}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_the_listing_does() {
        let names =
            [name_of(0, 1), name_of(0, 12), name_of(1, 0), name_of(1, 1), name_of(2, 0), name_of(11, 0)];
        assert!(names.is_sorted());
        let place = Place::of("run");
        assert_eq!(place.line_of(&place.new_object(17)), Some(17));
        assert_eq!(place.line_of("elsewhere/17"), None);
    }
}

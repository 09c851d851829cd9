//! What a restore calls its databases.

use sha2::{Digest, Sha256};

use super::entry::Staged;

/// The longest name of a database, in bytes. A server cuts off what is longer.
pub(crate) const LONGEST: usize = 63;

/// The names that a restore of one database in one run uses. The same for the same run, so that they are found again
/// after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The database that applications use.
    pub(crate) live: String,
    /// What is loaded, until it takes the name of the live one.
    pub(crate) staged: String,
    /// The live one of before, once it is swapped out.
    pub(crate) aside: String,
    /// What is kept of it as `:previous`. The same in every run: a newer one takes the place of an older one.
    pub(crate) kept: String,
    /// `application_name` of all our sessions: a later process ends those that a killed one has left.
    pub(crate) sessions: String,
    /// `CONNECTION LIMIT` of the staged database while it is made. It stands there from the instant at which the
    /// database exists, and so tells ours from any other of that name.
    pub(crate) mark: i32,
}

impl Names {
    pub(crate) fn new(live: &str, run: &str) -> Self {
        let live = clipped(live, LONGEST);
        let digest = Sha256::new().chain_update(live).chain_update([0]).chain_update(run).finalize();
        let id = hex::encode(&digest[..8]);
        let number = digest[8..12].iter().fold(0_i32, |number, byte| (number << 7) | i32::from(byte & 0x7f));
        Self {
            staged: suffixed(live, &format!(".dumprestore-{id}-new")),
            aside: suffixed(live, &format!(".dumprestore-{id}-old")),
            kept: kept(live),
            sessions: format!("dumprestore restore {id}"),
            // More than any server has connections.
            mark: 1_000_000_000 + number,
            live: live.to_owned(),
        }
    }

    /// What the database that is swapped in is called before.
    pub(crate) fn resting(&self, staged: Staged) -> &str {
        match staged {
            Staged::Kept { .. } => &self.kept,
            Staged::Made { .. } | Staged::Nothing => &self.staged,
        }
    }
}

fn kept(live: &str) -> String {
    const SUFFIX: &str = ".dumprestore-previous";
    if live.len() + SUFFIX.len() <= LONGEST {
        return format!("{live}{SUFFIX}");
    }
    suffixed(live, &format!("~{}{SUFFIX}", hex::encode(&Sha256::digest(live)[..6])))
}

fn suffixed(name: &str, suffix: &str) -> String {
    format!("{}{suffix}", clipped(name, LONGEST - suffix.len()))
}

/// As much of a name as fits, in whole characters.
fn clipped(name: &str, length: usize) -> &str {
    let end = (0..=length.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name.get(..end.unwrap_or(0)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(names: &Names) -> [&str; 3] {
        [&names.staged, &names.aside, &names.kept]
    }

    #[test]
    fn names_fit_however_long_the_live_one_is() {
        for live in ["a", "shop", &"x".repeat(41), &"x".repeat(63), &"ü".repeat(40), &"\u{1F980}".repeat(20)]
        {
            let names = Names::new(live, "20260101T000000Z-0a0b0c0d");
            for name in all(&names) {
                assert!(name.len() <= LONGEST, "{name}");
                assert_ne!(name, names.live);
            }
            assert!(names.live.len() <= LONGEST);
            assert!(names.mark > 262_143);
        }
    }

    #[test]
    fn databases_with_a_long_beginning_in_common_have_names_of_their_own() {
        let beginning = "x".repeat(60);
        let (one, two) =
            (Names::new(&format!("{beginning}1"), "r"), Names::new(&format!("{beginning}2"), "r"));
        for (one, two) in all(&one).iter().zip(all(&two)) {
            assert_ne!(*one, two);
        }
    }

    #[test]
    fn another_run_has_other_names_but_keeps_under_the_same() {
        let (one, two) = (Names::new("shop", "r1"), Names::new("shop", "r2"));
        assert_ne!(one.staged, two.staged);
        assert_ne!(one.aside, two.aside);
        assert_ne!(one.sessions, two.sessions);
        assert_eq!(one.kept, two.kept);
        assert_eq!(one, Names::new("shop", "r1"));
    }
}

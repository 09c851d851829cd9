//! What the check of an edge found, in bounded memory.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use dumprestore_driver::{Reference, Unresolved, Why};

/// So many bytes of unresolved references that a late capture may mend are kept, of all edges together: some 12,000 of
/// ordinary length. More of them have to wait until these are captured.
const MENDABLE: usize = 4 << 20;
/// So many bytes of all others are kept; what is beyond them is counted.
const OTHERS: usize = 4 << 20;

/// What the check of one edge on one cut found.
#[derive(Debug, Default)]
pub(crate) struct EdgeCheck {
    /// References that were read.
    pub(crate) read: u64,
    /// Those that do not resolve, up to a bound.
    pub(crate) unresolved: Vec<Unresolved>,
    /// More that do not resolve.
    pub(crate) beyond: Beyond,
}

/// Unresolved references that there was no room for.
#[derive(Debug, Default)]
pub(crate) struct Beyond {
    /// How many there are.
    pub(crate) count: u64,
    /// How many of them may be another thing the next time: nobody can say that they are the same from cut to cut.
    unsure: u64,
    /// Of all others together, in whatever order they came.
    print: u64,
}

impl EdgeCheck {
    /// What was found, all of it.
    #[cfg(test)]
    pub(crate) fn found(read: u64, unresolved: Vec<Unresolved>) -> Self {
        Self { read, unresolved, beyond: Beyond::default() }
    }

    pub(crate) fn dangling(&self) -> u64 {
        self.unresolved.len() as u64 + self.beyond.count
    }

    /// Keeps what does not resolve, or counts it if there is no room.
    pub(crate) fn add(&mut self, bad: Unresolved, room: &mut Room) {
        if room.take(&bad) {
            self.unresolved.push(bad);
            return;
        }
        self.beyond.count += 1;
        // What a late capture may mend was not looked at yet.
        match room.prints.of(&bad).filter(|_| bad.part.is_none()) {
            Some(print) => self.beyond.print = self.beyond.print.wrapping_add(print),
            None => self.beyond.unsure += 1,
        }
    }

    /// Takes out what is to be asked about once more: not what no referent can mend.
    pub(crate) fn take(&mut self, room: &mut Room) -> Vec<Reference> {
        let taken = std::mem::take(&mut self.unresolved);
        let (stays, taken): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|bad| matches!(bad.why, Why::Malformed(_)));
        self.unresolved = stays;
        taken.iter().for_each(|bad| room.give_back(bad));
        taken.into_iter().map(|bad| bad.reference).collect()
    }

    /// Puts the answers in the place of what was taken out.
    pub(crate) fn put_back(&mut self, again: Vec<Unresolved>, room: &mut Room) {
        again.into_iter().for_each(|bad| self.add(bad, room));
    }

    /// Prints of what does not resolve, to be compared from cut to cut: none for what may be another thing each time.
    /// One for each if all of them were kept, else one for all together, so that it does not matter which were kept.
    pub(crate) fn prints(&self, prints: &Prints) -> Vec<Option<u64>> {
        let kept = self.unresolved.iter().map(|bad| prints.of(bad));
        if self.beyond.count == 0 {
            return kept.collect();
        }
        let (mut sure, mut unsure, mut all) =
            (self.beyond.count - self.beyond.unsure, self.beyond.unsure, self.beyond.print);
        for print in kept {
            match print {
                Some(print) => (sure, all) = (sure + 1, all.wrapping_add(print)),
                None => unsure += 1,
            }
        }
        let together = (sure > 0).then(|| Some(prints.0.hash_one((sure, all))));
        together.into_iter().chain((unsure > 0).then_some(None)).collect()
    }
}

/// Tells unresolved references from each other. Only prints of one and the same can be compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prints(RandomState);

impl Prints {
    /// None for a target that is changing: it is not the same from cut to cut.
    fn of(&self, bad: &Unresolved) -> Option<u64> {
        let why = match &bad.why {
            Why::Unsettled => return None,
            Why::Missing => (0, None, None),
            Why::Differs(found) => (1, Some(*found), None),
            Why::Unreadable(why) => (2, None, Some(why.as_str())),
            Why::Malformed(why) => (3, None, Some(why.as_str())),
        };
        Some(self.0.hash_one((&bad.reference, why)))
    }
}

/// Room in memory for unresolved references, in bytes.
#[derive(Debug)]
pub(crate) struct Room {
    mendable: usize,
    others: usize,
    /// Of the room for others, what is kept for edges that are still to be checked.
    reserved: usize,
    prints: Prints,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(Prints::default())
    }
}

impl Room {
    /// All of it.
    pub(crate) fn new(prints: Prints) -> Self {
        Self { mendable: MENDABLE, others: OTHERS, reserved: 0, prints }
    }

    /// Keeps the share of `edges` that are still to be checked: no edge takes it all.
    pub(crate) fn reserve_for(&mut self, edges: usize) {
        self.reserved = self.others / (edges + 1) * edges;
    }

    /// Whether there is none for something that a late capture may mend.
    pub(crate) fn is_full_for(&self, bad: &Unresolved) -> bool {
        bad.part.is_some() && self.mendable < weight(bad)
    }

    /// Whether a good deal of what may be mended was mended.
    pub(crate) fn is_worth_going_on(&self) -> bool {
        self.mendable >= MENDABLE / 2
    }

    fn take(&mut self, bad: &Unresolved) -> bool {
        let (room, reserved) = self.of(bad);
        let left = room.checked_sub(weight(bad)).filter(|left| *left >= reserved);
        *room = left.unwrap_or(*room);
        left.is_some()
    }

    fn give_back(&mut self, bad: &Unresolved) {
        *self.of(bad).0 += weight(bad);
    }

    fn of(&mut self, bad: &Unresolved) -> (&mut usize, usize) {
        match bad.part {
            Some(_) => (&mut self.mendable, 0),
            None => (&mut self.others, self.reserved),
        }
    }
}

/// About as many bytes as it takes in memory.
pub(crate) fn weight(bad: &Unresolved) -> usize {
    let text = match &bad.why {
        Why::Unreadable(text) | Why::Malformed(text) => text.len(),
        Why::Missing | Why::Differs(_) | Why::Unsettled => 0,
    };
    let part = bad.part.as_ref().map_or(0, |part| part.name.as_str().len());
    size_of::<Unresolved>() + bad.reference.key.as_bytes().len() + text + part
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::{Part, PartName};

    use super::*;

    fn gone(at: usize, length: usize) -> Unresolved {
        Unresolved::new(Reference::to(format!("{at:0length$}")), Why::Missing)
    }

    fn late(at: usize, length: usize) -> Unresolved {
        let part = Part::new(PartName::new(format!("files/{at:0length$}")).unwrap());
        gone(at, length).with_part(part)
    }

    fn add(check: &mut EdgeCheck, room: &mut Room, all: impl IntoIterator<Item = Unresolved>) {
        all.into_iter().for_each(|bad| check.add(bad, room));
    }

    #[test]
    fn as_many_unresolved_references_are_kept_as_there_is_room_for_and_all_are_counted() {
        for length in [10, 1000] {
            let (mut room, mut checks) = (Room::default(), [EdgeCheck::default(), EdgeCheck::default()]);
            for at in 0..60_000 {
                let bad = if at % 4 < 2 { gone(at, length) } else { late(at, length) };
                checks[at % 2].add(bad, &mut room);
            }
            let held: usize = checks.iter().flat_map(|check| &check.unresolved).map(weight).sum();
            let most = MENDABLE + OTHERS;
            assert!(held <= most && held + 6 * length > most * 9 / 10, "{held}");
            assert_eq!(checks.iter().map(EdgeCheck::dangling).sum::<u64>(), 60_000);
            assert!(checks.iter().all(|check| check.beyond.count > 0));
        }
    }

    #[test]
    fn no_edge_takes_the_room_of_another() {
        let mut room = Room::default();
        for rest in (0..4).rev() {
            room.reserve_for(rest);
            let mut check = EdgeCheck::default();
            add(&mut check, &mut room, (0..30_000).map(|at| gone(at, 10)));
            let held: usize = check.unresolved.iter().map(weight).sum();
            assert!(held > OTHERS / 4 * 9 / 10 && held <= OTHERS / 4 + 200, "{held}");
        }
    }

    #[test]
    fn what_resolves_when_asked_once_more_makes_room() {
        let (mut room, mut check) = (Room::default(), EdgeCheck::default());
        add(&mut check, &mut room, (0..60_000).map(|at| late(at, 10)));
        let (kept, beyond) = (check.unresolved.len(), check.beyond.count);
        assert!(room.is_full_for(&late(0, 1000)) && !room.is_worth_going_on());
        assert_eq!(check.take(&mut room).len(), kept);
        assert_eq!((room.mendable, room.others), (MENDABLE, OTHERS));
        check.put_back(vec![late(0, 10)], &mut room);
        assert_eq!(check.dangling(), 1 + beyond);
    }

    #[test]
    fn what_no_referent_can_mend_is_not_asked_about_again() {
        let (mut room, mut check) = (Room::default(), EdgeCheck::default());
        let malformed = Unresolved::new(Reference::to("a"), Why::Malformed("no sha256".into()));
        add(&mut check, &mut room, [malformed, gone(0, 10)]);
        assert_eq!(check.take(&mut room).len(), 1);
        check.put_back(Vec::new(), &mut room);
        assert_eq!(check.dangling(), 1);
    }

    #[test]
    fn too_many_to_be_kept_have_one_print_whatever_their_order_and_which_were_kept() {
        let prints = Prints::default();
        let of = |all: Vec<Unresolved>, edges: usize| {
            let (mut room, mut check) = (Room::new(prints.clone()), EdgeCheck::default());
            room.reserve_for(edges);
            add(&mut check, &mut room, all);
            assert!(check.beyond.count > 0);
            check.prints(&prints)
        };
        let all = || (0..60_000).map(|at| gone(at, 10));
        let same = of(all().collect(), 0);
        assert!(matches!(same[..], [Some(_)]));
        assert_eq!(of(all().rev().collect(), 3), same);
        // As many, and another one among them, however far behind.
        assert_ne!(of((1..60_001).map(|at| gone(at, 10)).collect(), 0), same);
    }

    #[test]
    fn what_was_not_looked_at_or_is_changing_has_no_print() {
        let prints = Prints::default();
        let unsettled = Unresolved::new(Reference::to("a"), Why::Unsettled);
        let part = Part::new(PartName::new("files/a").unwrap());
        let too_long = Unresolved::new(Reference::to("a".repeat(MENDABLE)), Why::Missing).with_part(part);
        for last in [unsettled, too_long] {
            let (mut room, mut check) = (Room::new(prints.clone()), EdgeCheck::default());
            add(&mut check, &mut room, (0..60_000).map(|at| gone(at, 10)));
            let same = check.prints(&prints);
            check.add(last, &mut room);
            assert_eq!(check.prints(&prints), [same[0], None]);
        }
    }
}

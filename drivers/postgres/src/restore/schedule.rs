//! In which order definitions are made on several sessions at once: what needs another comes after it, and no two at
//! once where one needs a lock on a table that the other deals with, so that no deadlock arises.
//!
//! That is the rule of `pg_restore`: an index shares its table with other indexes; everything else after the rows
//! wants its tables for itself.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::archived::{Item, Section, Table};

/// A table that definitions deal with, by a number.
type TableId = usize;

#[derive(Debug, Default)]
struct Task {
    /// How many tasks it still waits for.
    waits_for: usize,
    /// Those that wait for it.
    holds_up: Vec<usize>,
    touches: Vec<TableId>,
    /// Whether it needs a lock on what it touches that an index being built does not let it have.
    locks: bool,
    weight: u64,
}

/// What is still to be made.
pub(crate) struct Schedule {
    tasks: Vec<Task>,
    ready: BTreeSet<(Reverse<u64>, usize)>,
    waiting: BTreeSet<usize>,
    /// For each table that a task under way deals with: how many do, and whether one of them has it locked.
    in_use: HashMap<TableId, (usize, bool)>,
    running: usize,
}

impl Schedule {
    /// A schedule of these items, known from then on by their places in `items`. All others are made already.
    pub(crate) fn new(items: &[&Item], all: &[Item], tables: &[Table]) -> Self {
        let places: HashMap<i32, usize> = items.iter().enumerate().map(|(at, item)| (item.id, at)).collect();
        let relations = Relations::of(all, tables);
        let mut tasks: Vec<Task> = items.iter().map(|item| relations.task(item)).collect();
        for (at, item) in items.iter().enumerate() {
            let needs: BTreeSet<usize> = item.needs.iter().filter_map(|id| places.get(id).copied()).collect();
            for need in needs.into_iter().filter(|need| *need != at) {
                tasks[need].holds_up.push(at);
                tasks[at].waits_for += 1;
            }
        }
        let mut schedule = Self {
            ready: BTreeSet::new(),
            waiting: (0..tasks.len()).collect(),
            in_use: HashMap::new(),
            running: 0,
            tasks,
        };
        for at in 0..schedule.tasks.len() {
            schedule.promote(at);
        }
        schedule
    }

    /// What can be begun now: of what is ready, that which takes longest. `None` if something has to end before, or
    /// everything is begun.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.ready.is_empty() && self.running == 0 {
            // Things that need each other can't have been dumped. If they were, the order of the dump decides.
            let first = self.waiting.first().copied()?;
            self.tasks[first].waits_for = 0;
            self.promote(first);
        }
        let found = self.ready.iter().find(|(_, at)| self.is_free(*at)).copied()?;
        self.ready.remove(&found);
        let (_, at) = found;
        let Self { tasks, in_use, .. } = self;
        for table in &tasks[at].touches {
            let (count, locked) = in_use.entry(*table).or_default();
            *count += 1;
            *locked |= tasks[at].locks;
        }
        self.running += 1;
        Some(at)
    }

    /// What `next` gave has been made.
    pub(crate) fn done(&mut self, at: usize) {
        self.running -= 1;
        for table in &self.tasks[at].touches {
            if let Some((count, locked)) = self.in_use.get_mut(table) {
                *count -= 1;
                *locked = false;
                if *count == 0 {
                    self.in_use.remove(table);
                }
            }
        }
        for held_up in std::mem::take(&mut self.tasks[at].holds_up) {
            let waits_for = &mut self.tasks[held_up].waits_for;
            *waits_for = waits_for.saturating_sub(1);
            self.promote(held_up);
        }
    }

    fn promote(&mut self, at: usize) {
        if self.tasks[at].waits_for == 0 && self.waiting.remove(&at) {
            self.ready.insert((Reverse(self.tasks[at].weight), at));
        }
    }

    fn is_free(&self, at: usize) -> bool {
        let task = &self.tasks[at];
        task.touches
            .iter()
            .filter_map(|table| self.in_use.get(table))
            .all(|(_, locked)| !locked && !task.locks)
    }
}

/// The tables, by the ids of their items and by name.
struct Relations<'a> {
    by_item: HashMap<i32, TableId>,
    by_name: HashMap<(&'a str, &'a str), TableId>,
    bytes: HashMap<(&'a str, &'a str), u64>,
}

impl<'a> Relations<'a> {
    fn of(all: &'a [Item], tables: &'a [Table]) -> Self {
        let relations = all.iter().enumerate().filter(|(_, item)| {
            item.section == Section::PreData
                && matches!(item.kind.as_str(), "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE")
        });
        let (mut by_item, mut by_name) = (HashMap::new(), HashMap::new());
        for (id, item) in relations {
            by_item.insert(item.id, id);
            by_name.insert((item.schema.as_str(), item.name.as_str()), id);
        }
        let mut bytes = HashMap::new();
        for table in tables {
            *bytes.entry((table.schema.as_str(), table.name.as_str())).or_default() += table.bytes;
        }
        Self { by_item, by_name, bytes }
    }

    fn task(&self, item: &Item) -> Task {
        let table = item.table.as_ref().map(|(schema, name)| (schema.as_str(), name.as_str()));
        let by_name = table.and_then(|table| self.by_name.get(&table).copied());
        let by_id = item.needs.iter().filter_map(|id| self.by_item.get(id).copied());
        let touches: BTreeSet<TableId> = by_id.chain(by_name).collect();
        Task {
            touches: touches.into_iter().collect(),
            locks: item.kind != "INDEX",
            weight: table.and_then(|table| self.bytes.get(&table).copied()).unwrap_or(0),
            ..Task::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(id: i32, kind: &str, section: Section, needs: Vec<i32>) -> Item {
        Item {
            id,
            section,
            kind: kind.to_owned(),
            schema: "s".to_owned(),
            name: format!("i{id}"),
            table: None,
            owner: String::new(),
            owned: None,
            tablespace: String::new(),
            access_method: String::new(),
            partitioned: false,
            sql: String::new(),
            drop: String::new(),
            needs,
        }
    }

    const TABLES: i32 = 4;

    /// Some tables, then definitions that need some of the tables, and some of the definitions before them.
    fn items() -> impl Strategy<Value = Vec<Item>> {
        let one =
            (any::<bool>(), prop::collection::vec(0..TABLES, 0..3), prop::collection::vec(any::<u8>(), 0..3));
        prop::collection::vec(one, 0..20).prop_map(|definitions| {
            let tables = (0..TABLES).map(|id| item(id, "TABLE", Section::PreData, Vec::new()));
            let made = definitions.into_iter().enumerate().map(|(at, (index, tables, others))| {
                let others = others.into_iter().filter(|_| at > 0).map(|o| TABLES + i32::from(o) % at as i32);
                let kind = if index { "INDEX" } else { "FK CONSTRAINT" };
                item(TABLES + at as i32, kind, Section::PostData, tables.into_iter().chain(others).collect())
            });
            tables.chain(made).collect()
        })
    }

    proptest! {
        #[test]
        fn everything_is_made_once_after_what_it_needs_and_not_beside_what_it_excludes(
            all in items(), lanes in 1_usize..5, ends in prop::collection::vec(any::<prop::sample::Index>(), 64),
        ) {
            let after: Vec<&Item> = all.iter().filter(|item| item.section == Section::PostData).collect();
            let mut schedule = Schedule::new(&after, &all, &[]);
            let (mut running, mut made) = (Vec::<usize>::new(), Vec::<i32>::new());
            let mut ends = ends.into_iter().cycle();
            while made.len() < after.len() {
                while running.len() < lanes && let Some(at) = schedule.next() {
                    let needs = after[at].needs.iter().filter(|id| **id >= TABLES);
                    prop_assert!(needs.into_iter().all(|id| made.contains(id)));
                    for other in &running {
                        let both_indexes = after[at].kind == "INDEX" && after[*other].kind == "INDEX";
                        let share = after[at].needs.iter().any(|id| *id < TABLES && after[*other].needs.contains(id));
                        prop_assert!(both_indexes || !share);
                    }
                    running.push(at);
                }
                prop_assert!(!running.is_empty(), "nothing is under way, and something is left");
                let ended = running.swap_remove(ends.next().unwrap().index(running.len()));
                made.push(after[ended].id);
                schedule.done(ended);
            }
            prop_assert!(schedule.next().is_none());
        }
    }

    #[test]
    fn large_tables_come_first_and_what_needs_itself_is_made_all_the_same() {
        let mut all = vec![
            item(0, "TABLE", Section::PreData, Vec::new()),
            item(1, "INDEX", Section::PostData, vec![0]),
            item(2, "INDEX", Section::PostData, vec![3]),
            item(3, "INDEX", Section::PostData, vec![2]),
            item(4, "INDEX", Section::PostData, vec![]),
        ];
        all[4].table = Some(("s".to_owned(), "big".to_owned()));
        let big = Table {
            schema: "s".to_owned(),
            name: "big".to_owned(),
            columns: Vec::new(),
            load_through: None,
            encoding: None,
            without_data: false,
            of_extension: false,
            bytes: 7,
            parts: Vec::new(),
        };
        let after: Vec<&Item> = all[1..].iter().collect();
        let mut schedule = Schedule::new(&after, &all, &[big]);
        let mut order = Vec::new();
        while let Some(at) = schedule.next() {
            order.push(after[at].id);
            schedule.done(at);
        }
        assert_eq!(order, [4, 1, 2, 3]);
    }
}

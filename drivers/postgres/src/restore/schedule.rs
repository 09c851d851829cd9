//! In which order definitions are made on several sessions at once: what needs another comes after it, and no two at
//! once where one needs a lock on a table that the other deals with, so that no deadlock arises.
//!
//! That is the rule of `pg_restore`: an index shares its table with other indexes; everything else after the rows
//! wants its tables for itself.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::effort;
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
    /// About how long it takes.
    weight: u64,
    /// About how many bytes of rows it is made from.
    bytes: u64,
    /// The place among the tables of the one whose rows are all that it waits for.
    rows_of: Option<usize>,
    /// Whether it waits for rows.
    gated: bool,
}

/// What is still to be made.
pub(crate) struct Schedule {
    tasks: Vec<Task>,
    ready: BTreeSet<(Reverse<u64>, usize)>,
    waiting: BTreeSet<usize>,
    /// For each table that a task under way deals with: how many do, and whether one of them has it locked.
    in_use: HashMap<TableId, (usize, bool)>,
    running: usize,
    /// Whether all rows are in.
    all_loaded: bool,
}

impl Schedule {
    /// A schedule of these items, known from then on by their places in `items`. All others are made already. They wait
    /// for rows.
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
        for task in &mut tasks {
            // What needs another definition may need anything.
            task.rows_of = task.rows_of.filter(|_| task.waits_for == 0 && task.touches.len() == 1);
            task.waits_for += 1;
            task.gated = true;
        }
        Self {
            ready: BTreeSet::new(),
            waiting: (0..tasks.len()).collect(),
            in_use: HashMap::new(),
            running: 0,
            all_loaded: false,
            tasks,
        }
    }

    /// All rows of the table at this place are in, and others are still loaded.
    pub(crate) fn loaded(&mut self, table: usize) {
        for at in 0..self.tasks.len() {
            if self.tasks[at].rows_of == Some(table) {
                self.open(at);
            }
        }
    }

    /// All rows of all tables are in.
    pub(crate) fn all_loaded(&mut self) {
        self.all_loaded = true;
        (0..self.tasks.len()).for_each(|at| self.open(at));
    }

    fn open(&mut self, at: usize) {
        if std::mem::take(&mut self.tasks[at].gated) {
            self.tasks[at].waits_for -= 1;
            self.promote(at);
        }
    }

    /// What can be begun now: of what is ready, that which takes longest. `None` if something has to end before, or
    /// everything is begun.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.ready.is_empty() && self.running == 0 && self.all_loaded {
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

    /// About how many bytes of rows it is made from, as the server keeps them.
    pub(crate) fn bytes(&self, at: usize) -> u64 {
        self.tasks[at].bytes
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
    /// Tables that are loaded by themselves, by their places.
    loaded: HashMap<(&'a str, &'a str), usize>,
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
        let by_themselves = tables.iter().enumerate().filter(|(_, table)| table.load_through.is_none());
        let loaded = by_themselves.map(|(at, table)| ((table.schema.as_str(), table.name.as_str()), at));
        Self { by_item, by_name, bytes, loaded: loaded.collect() }
    }

    fn task(&self, item: &Item) -> Task {
        let table = item.table.as_ref().map(|(schema, name)| (schema.as_str(), name.as_str()));
        let by_name = table.and_then(|table| self.by_name.get(&table).copied());
        let by_id = item.needs.iter().filter_map(|id| self.by_item.get(id).copied());
        let touches: BTreeSet<TableId> = by_id.chain(by_name).collect();
        let bytes = table.and_then(|table| self.bytes.get(&table).copied()).unwrap_or(0);
        Task {
            touches: touches.into_iter().collect(),
            locks: item.kind != "INDEX",
            weight: bytes.saturating_mul(effort::of(item)),
            bytes,
            rows_of: table.filter(|_| is_of_columns(item)).and_then(|table| self.loaded.get(&table).copied()),
            ..Task::default()
        }
    }
}

/// Whether it is an index of columns and nothing else. What calls a function may read other tables in it, which have to be
/// there.
fn is_of_columns(item: &Item) -> bool {
    matches!(item.kind.as_str(), "INDEX" | "CONSTRAINT")
        && item.sql.matches('(').count() == 1
        && !item.sql.contains(" WHERE ")
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
            prop_assert!(schedule.next().is_none());
            schedule.all_loaded();
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
        let after: Vec<&Item> = all[1..].iter().collect();
        let mut schedule = Schedule::new(&after, &all, &[table("big", 7)]);
        schedule.all_loaded();
        assert_eq!(order(&mut schedule, &after), [4, 1, 2, 3]);
    }

    fn table(name: &str, bytes: u64) -> Table {
        Table {
            schema: "s".to_owned(),
            name: name.to_owned(),
            columns: Vec::new(),
            load_through: None,
            encoding: None,
            without_data: false,
            of_extension: false,
            bytes,
            parts: Vec::new(),
        }
    }

    fn order(schedule: &mut Schedule, items: &[&Item]) -> Vec<i32> {
        let mut order = Vec::new();
        while let Some(at) = schedule.next() {
            order.push(items[at].id);
            schedule.done(at);
        }
        order
    }

    #[test]
    fn an_index_of_columns_waits_for_the_rows_of_its_table_and_everything_else_for_all_rows() {
        let of = |mut item: Item, table: &str, sql: &str| {
            item.table = Some(("s".to_owned(), table.to_owned()));
            item.sql = sql.to_owned();
            item
        };
        let post = |id, kind, needs| item(id, kind, Section::PostData, needs);
        let mut all: Vec<Item> = ["one", "two", "through"]
            .into_iter()
            .enumerate()
            .map(|(id, name)| Item {
                name: name.to_owned(),
                ..item(id as i32, "TABLE", Section::PreData, Vec::new())
            })
            .collect();
        all.extend([
            of(post(3, "INDEX", vec![0]), "one", "CREATE INDEX i ON s.one USING btree (a)"),
            of(post(4, "INDEX", vec![0]), "one", "CREATE INDEX j ON s.one USING \"gin\" (a)"),
            of(post(5, "INDEX", vec![0]), "one", "CREATE INDEX k ON s.one USING btree (lower(a))"),
            of(post(6, "INDEX", vec![0]), "one", "CREATE INDEX l ON s.one USING btree (a) WHERE b"),
            of(post(7, "CONSTRAINT", vec![0]), "one", "ALTER TABLE s.one ADD CONSTRAINT c PRIMARY KEY (a)"),
            of(
                post(8, "FK CONSTRAINT", vec![0, 1, 7]),
                "one",
                "ALTER TABLE s.one ADD FOREIGN KEY (a) REFERENCES s.two",
            ),
            of(post(9, "INDEX", vec![1]), "two", "CREATE INDEX m ON s.two USING btree (a)"),
            of(post(10, "INDEX", vec![2]), "through", "CREATE INDEX n ON s.through USING btree (a)"),
        ]);
        let mut through = table("through", 5);
        through.load_through = Some(("s".to_owned(), "one".to_owned()));
        let tables = [table("two", 900), table("one", 5), through];
        let after: Vec<&Item> = all[3..].iter().collect();
        let mut schedule = Schedule::new(&after, &all, &tables);
        assert_eq!(order(&mut schedule, &after), [0; 0]);
        schedule.loaded(1);
        assert_eq!(order(&mut schedule, &after), [4, 3, 7]);
        schedule.loaded(2);
        assert_eq!(order(&mut schedule, &after), [0; 0]);
        schedule.all_loaded();
        assert_eq!(order(&mut schedule, &after), [9, 5, 6, 8, 10]);
    }
}

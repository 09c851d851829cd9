//! Parts of tables: ranges of the first column of their primary key.

use std::sync::Arc;

use dumprestore_driver::Result;

use super::reading::Reading;
use crate::catalog::{Column, Relation};
use crate::connect::Session;
use crate::quote;

/// About how many bytes a part has, as the server keeps them.
const PART: u64 = 32 << 20;
/// A table that can only be cut by going along its key is cut if it is larger than that: to go along is about a fourth of
/// the work of reading it.
const WORTH_A_WALK: u64 = 4 * PART;
/// A table has no more parts than that, however large.
const MOST_PARTS: u64 = 20_000;
const WHOLE_NUMBERS: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];
const STRINGS: [&str; 4] = ["char", "varchar", "binary", "varbinary"];

/// What is read for one part.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) table: Arc<str>,
    pub(super) reading: Arc<Reading>,
    pub(super) range: Range,
    /// Whether its rows are kept as they were by a lock.
    pub(super) held: bool,
}

impl Piece {
    pub(super) fn sql(&self) -> String {
        match self.range.condition() {
            None => self.reading.whole(),
            Some(condition) => self.reading.range(&condition),
        }
    }
}

/// Some of a table's rows. Each row is in just one of a table's ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    /// Of the primary key; quoted.
    column: Arc<str>,
    /// What it begins with; quoted.
    from: Option<Arc<str>>,
    /// What comes behind it; quoted.
    below: Option<Arc<str>>,
}

impl Range {
    fn condition(&self) -> Option<String> {
        let from = self.from.as_ref().map(|from| format!("{} >= {from}", self.column));
        let below = self.below.as_ref().map(|below| format!("{} < {below}", self.column));
        match (from, below) {
            (Some(from), Some(below)) => Some(format!("{from} AND {below}")),
            (from, below) => from.or(below),
        }
    }
}

/// Cuts a table into ranges. The first and the last are open, so that nothing lies beside them.
///
/// `leading`: the first column of its primary key.
pub(super) async fn ranges(
    session: &mut Session,
    table: &Relation,
    leading: Option<&Column>,
) -> Result<Vec<Range>> {
    let parts = table.bytes.div_ceil(PART).clamp(1, MOST_PARTS);
    // Elsewhere rows do not lie in the order of the key.
    let ordered =
        table.engine.as_deref() == Some("InnoDB") && !matches!(table.kind, crate::catalog::Kind::Versioned);
    let cuts = match leading {
        Some(column) if ordered && parts > 1 => cuts(session, table, column, parts).await?,
        _ => Vec::new(),
    };
    let column: Arc<str> = leading.map(|column| quote::name(&column.name)).unwrap_or_default().into();
    Ok(between(&column, cuts))
}

fn between(column: &Arc<str>, cuts: Vec<String>) -> Vec<Range> {
    let mut ranges = Vec::with_capacity(cuts.len() + 1);
    let mut from = None;
    for cut in cuts {
        let cut: Arc<str> = cut.into();
        ranges.push(Range { column: column.clone(), from: from.replace(cut.clone()), below: Some(cut) });
    }
    ranges.push(Range { column: column.clone(), from, below: None });
    ranges
}

/// Values to cut at, in order and each once; none, if the column's values are not of a kind that can be cut.
async fn cuts(session: &mut Session, table: &Relation, column: &Column, parts: u64) -> Result<Vec<String>> {
    let data_type = column.data_type.as_str();
    if WHOLE_NUMBERS.contains(&data_type) {
        return numbers(session, table, column, parts).await;
    }
    if STRINGS.contains(&data_type) && table.bytes > WORTH_A_WALK {
        return walk(session, table, column, parts).await;
    }
    Ok(Vec::new())
}

/// Numbers to cut at. Where rows lie close, or far between, the server's estimates tell.
async fn numbers(
    session: &mut Session,
    table: &Relation,
    column: &Column,
    parts: u64,
) -> Result<Vec<String>> {
    let (name, key) = (quote::name(&table.name), quote::name(&column.name));
    let sql = format!("SELECT MIN({key}), MAX({key}) FROM {name} FORCE INDEX (PRIMARY)");
    let rows = session.rows(&sql).await?;
    let Some(row) = rows.first().filter(|row| row.bytes(0).is_some()) else { return Ok(Vec::new()) };
    let (least, most): (i128, i128) = (row.parse(0)?, row.parse(1)?);
    // Told to use an index, MySQL does not look how many rows there are; nor is each of its formats a table.
    let (explain, hint, rows_column) = match session.server().is_mariadb() {
        true => ("EXPLAIN", "FORCE", 8),
        false => ("EXPLAIN FORMAT=TRADITIONAL", "USE", 9),
    };
    let mut balance = Balance::new(evenly(least, most, parts), least, most + 1, table.rows, parts);
    while let Some((from, below)) = balance.next() {
        let sql = format!(
            "{explain} SELECT {key} FROM {name} {hint} INDEX (PRIMARY) WHERE {key} >= {from} AND {key} < {below}"
        );
        let plan = session.rows(&sql).await?;
        // Where there is nothing, there is no estimate.
        let estimate = plan.first().and_then(|row| row.number_or_null(rows_column).ok().flatten());
        balance.weigh(estimate.unwrap_or(0));
    }
    Ok(balance.cuts.iter().map(i128::to_string).collect())
}

/// Goes over ranges from the first to the last. What holds too many rows is halved, and what holds few is joined.
struct Balance {
    /// What is still to be weighed, the next one last.
    ranges: Vec<(i128, i128)>,
    cuts: Vec<i128>,
    /// How many rows a part should have.
    wanted: u64,
    /// How many there are since the last cut.
    filled: u64,
    /// How many ranges may still be halved.
    halvings: u64,
}

impl Balance {
    fn new(cuts: Vec<i128>, least: i128, end: i128, rows: u64, parts: u64) -> Self {
        let from = std::iter::once(least).chain(cuts.iter().copied());
        let below = cuts.iter().copied().chain([end]);
        let mut ranges: Vec<_> = from.zip(below).collect();
        ranges.reverse();
        Self {
            ranges,
            cuts: Vec::new(),
            wanted: rows.div_ceil(parts).max(1),
            filled: 0,
            halvings: parts * 4 + 64,
        }
    }

    /// The range to weigh: its first number, and the one behind its last.
    fn next(&self) -> Option<(i128, i128)> {
        self.ranges.last().copied()
    }

    /// It has about that many rows.
    fn weigh(&mut self, rows: u64) {
        let Some((from, below)) = self.ranges.pop() else { return };
        if rows > self.wanted * 2 && below - from > 1 && self.halvings > 0 {
            let middle = from + (below - from) / 2;
            self.ranges.extend([(middle, below), (from, middle)]);
            self.halvings -= 1;
            return;
        }
        if self.filled > 0 && self.filled + rows > self.wanted + self.wanted / 2 {
            self.cuts.push(from);
            self.filled = 0;
        }
        self.filled += rows;
    }
}

/// Numbers between both, at the same distance.
fn evenly(least: i128, most: i128, parts: u64) -> Vec<i128> {
    let width = most - least + 1;
    let parts = i128::from(parts).min(width);
    (1..parts).map(|part| least + width * part / parts).collect()
}

/// Goes along the key, so and so many rows at a time.
async fn walk(session: &mut Session, table: &Relation, column: &Column, parts: u64) -> Result<Vec<String>> {
    let step = table.rows.div_ceil(parts).max(1);
    let (name, key) = (quote::name(&table.name), quote::name(&column.name));
    let mut cuts = Vec::new();
    let mut beyond = String::new();
    while (cuts.len() as u64) < parts {
        let sql =
            format!("SELECT {key} FROM {name} FORCE INDEX (PRIMARY){beyond} ORDER BY {key} LIMIT {step}, 1");
        let rows = session.rows(&sql).await?;
        let Some(value) = rows.first().and_then(|row| row.bytes(0)) else { break };
        // What is no text in its own character set can't be said to the server again.
        let is_mariadb = session.server().is_mariadb();
        let Some(literal) = literal(column, value, is_mariadb) else { return Ok(Vec::new()) };
        beyond = format!(" WHERE {key} > {literal}");
        cuts.push(literal);
    }
    Ok(cuts)
}

/// A value of the column, as it is stored, so that it is compared as the column's own values are.
///
/// MySQL warns of `_utf8mb3`, and a warning could be of rows that are missed. What is UTF-8 of three bytes at the most is
/// the same in `utf8mb4`, and the column's collation compares it.
fn literal(column: &Column, value: &[u8], is_mariadb: bool) -> Option<String> {
    match column.charset.as_deref() {
        None => Some(quote::binary(value)),
        Some("ascii" | "utf8" | "utf8mb3" | "utf8mb4") if std::str::from_utf8(value).is_err() => None,
        Some("utf8" | "utf8mb3") if !is_mariadb => Some(format!("_utf8mb4 {}", quote::hex(value))),
        Some("ascii" | "latin1" | "utf8" | "utf8mb3" | "utf8mb4") => {
            Some(format!("_{} {}", column.charset.as_deref()?, quote::hex(value)))
        }
        // Of others it is not known what of them is valid.
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges_at(cuts: &[i128]) -> Vec<Range> {
        between(&"`n`".into(), cuts.iter().map(i128::to_string).collect())
    }

    #[test]
    fn ranges_are_open_at_both_ends() {
        let conditions: Vec<_> = ranges_at(&[3, 7]).iter().map(Range::condition).collect();
        let wanted = ["`n` < 3", "`n` >= 3 AND `n` < 7", "`n` >= 7"].map(|text| Some(text.to_owned()));
        assert_eq!(conditions, wanted);
        assert_eq!(ranges_at(&[])[0].condition(), None);
    }

    #[test]
    fn a_text_is_said_in_its_own_character_set_or_not_at_all() {
        let mut column = Column {
            name: "k".to_owned(),
            data_type: "varchar".to_owned(),
            column_type: String::new(),
            charset: Some("utf8mb4".to_owned()),
            collation: None,
            generated: false,
            of_period: false,
        };
        let literal = |column: &Column, value: &[u8]| literal(column, value, true);
        assert_eq!(literal(&column, "é".as_bytes()).unwrap(), "_utf8mb4 x'c3a9'");
        assert_eq!(literal(&column, b"\xff"), None);
        column.charset = Some("utf8mb3".to_owned());
        assert_eq!(literal(&column, b"a").unwrap(), "_utf8mb3 x'61'");
        assert_eq!(super::literal(&column, b"a", false).unwrap(), "_utf8mb4 x'61'");
        column.charset = Some("big5".to_owned());
        assert_eq!(literal(&column, b"a"), None);
        column.charset = None;
        assert_eq!(literal(&column, b"\xff").unwrap(), "_binary x'ff'");
    }

    /// Cuts numbers as [`numbers`] does, with estimates that are exact.
    fn balanced(numbers: &[i64], parts: u64) -> Vec<i128> {
        let (least, most) = (i128::from(numbers[0]), i128::from(numbers[numbers.len() - 1]));
        let rows = numbers.len() as u64;
        let mut balance = Balance::new(evenly(least, most, parts), least, most + 1, rows, parts);
        while let Some((from, below)) = balance.next() {
            let within = numbers.iter().filter(|n| (from..below).contains(&i128::from(**n)));
            balance.weigh(within.count() as u64);
        }
        balance.cuts
    }

    #[test]
    fn one_far_off_row_does_not_put_all_others_into_one_part() {
        let mut numbers: Vec<i64> = (1..=10_000).collect();
        numbers.push(i64::MAX);
        let cuts = balanced(&numbers, 10);
        assert!((5..=20).contains(&cuts.len()), "{cuts:?}");
        let mut last = 0;
        for cut in &cuts {
            assert!(cut - last <= 2_500, "{cuts:?}");
            last = *cut;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn cuts_go_up_and_parts_are_of_a_size(numbers in proptest::collection::btree_set(any::<i64>(), 1..300), parts in 1_u64..20) {
            let numbers: Vec<i64> = numbers.into_iter().collect();
            let cuts = balanced(&numbers, parts);
            prop_assert!(cuts.is_sorted_by(|one, other| one < other));
            prop_assert!(cuts.len() as u64 <= parts * 4, "{} cuts for {parts} parts", cuts.len());
        }

        #[test]
        fn each_number_is_in_one_range(least in any::<i64>(), most in any::<u64>(), parts in 1_u64..50, n in any::<i64>()) {
            let least = i128::from(least);
            let most = i128::from(most).max(least);
            let cuts = evenly(least, most, parts);
            prop_assert!(cuts.is_sorted_by(|one, other| one < other));
            prop_assert!(cuts.iter().all(|cut| *cut > least && *cut <= most));
            let number = |text: &Arc<str>| text.parse::<i128>().unwrap();
            let is_in = |range: &&Range| {
                range.from.as_ref().is_none_or(|from| i128::from(n) >= number(from))
                    && range.below.as_ref().is_none_or(|below| i128::from(n) < number(below))
            };
            prop_assert_eq!(ranges_at(&cuts).iter().filter(is_in).count(), 1);
        }
    }
}

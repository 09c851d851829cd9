//! The parts of a dump, and what each of them reads.

use dumprestore_driver::{PartName, Result};

use crate::catalog::{Relation, TableDetail};
use crate::quote;

/// About as many bytes of a table, as the server keeps them, go into one part.
const PART_BYTES: u64 = 32 << 20;
/// A table has no more parts than this: of a very large one they are larger.
const MOST_PARTS: u64 = 2_000;
/// As the server is built, unless somebody built it otherwise: then ranges are larger or smaller, and still meet.
const PAGE_BYTES: u64 = 8192;

/// The name of the part with all definitions.
pub(crate) const CONTENTS: &str = "contents.json";

/// What one part of rows, or of large objects, reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Rows of the table of that name.
    Rows {
        /// Quoted, with its schema.
        table: String,
        /// The statement.
        copy: String,
    },
    /// Large objects from the first number to the last, both included.
    LargeObjects { first: u32, last: u32 },
}

/// The parts of a table: name, about how many bytes, and what is read. In their order.
pub(crate) fn pieces_of_table(
    relation: &Relation,
    detail: &TableDetail,
    by_range: bool,
) -> Result<Vec<(PartName, u64, Piece)>> {
    let ranges = match (detail.is_heap, by_range) {
        // Without a page now it had none at the pin: since then our lock has kept it from being cut.
        (true, _) if detail.heap_bytes == 0 => return Ok(Vec::new()),
        // A condition of an extension ends as it likes: nothing can be added to it.
        (true, true) if detail.condition.is_empty() => ranges(detail),
        _ => vec![Range::default()],
    };
    let bytes = detail.bytes / ranges.len() as u64;
    let table = quote::qualified(&relation.schema, &relation.name);
    let piece = |(at, range): (usize, &Range)| {
        let name = part_name(&relation.schema, &relation.name, at + 1)?;
        let copy = copy_statement(&table, detail, *range);
        Ok((name, bytes, Piece::Rows { table: table.clone(), copy }))
    };
    ranges.iter().enumerate().map(piece).collect()
}

/// The name of a part with large objects.
pub(crate) fn large_objects_name(number: usize) -> Result<PartName> {
    PartName::new(format!("large_objects/{number:04}"))
}

fn part_name(schema: &str, table: &str, number: usize) -> Result<PartName> {
    let (schema, table) = (schema.as_bytes(), table.as_bytes());
    let (schema, table) = (PartName::escape_component(schema)?, PartName::escape_component(table)?);
    PartName::new(format!("data/{schema}/{table}/{number:04}"))
}

/// Pages from the first on, up to and without the last; open where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Range {
    from: Option<u64>,
    to: Option<u64>,
}

/// Cuts a table so that each part has about as much. What is kept outside of the pages counts too, as if all rows had
/// as much of it.
fn ranges(detail: &TableDetail) -> Vec<Range> {
    let pages = detail.heap_bytes / PAGE_BYTES;
    let count = detail.bytes.div_ceil(PART_BYTES).clamp(1, MOST_PARTS).min(pages.max(1));
    let bound = |at: u64| (at > 0 && at < count).then(|| pages * at / count);
    (0..count).map(|at| Range { from: bound(at), to: bound(at + 1) }).collect()
}

fn copy_statement(table: &str, detail: &TableDetail, range: Range) -> String {
    let columns = detail.columns.iter().map(|name| quote::name(name)).collect::<Vec<_>>().join(", ");
    let filter = match (range.from, range.to) {
        (None, None) => detail.condition.clone(),
        (from, to) => {
            let from = from.map(|page| format!("ctid >= '({page},0)'"));
            let to = to.map(|page| format!("ctid < '({page},0)'"));
            let bounds = [from, to].into_iter().flatten().collect::<Vec<_>>().join(" AND ");
            format!("WHERE {bounds}")
        }
    };
    let options =
        detail.encoding.as_ref().map(|encoding| format!(" WITH (ENCODING {})", quote::literal(encoding)));
    let options = options.unwrap_or_default();
    if filter.is_empty() && !columns.is_empty() {
        return format!("COPY {table} ({columns}) TO STDOUT{options}");
    }
    format!("COPY (SELECT {columns} FROM ONLY {table} {filter}) TO STDOUT{options}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ranges_leave_no_page_out_and_have_none_twice(heap in 0_u64..1 << 50, more in 0_u64..1 << 50) {
            let detail = TableDetail { heap_bytes: heap, bytes: heap + more, is_heap: true, ..TableDetail::default() };
            let ranges = ranges(&detail);
            prop_assert!(ranges.len() as u64 <= MOST_PARTS);
            prop_assert_eq!(ranges.first().unwrap().from, None);
            prop_assert_eq!(ranges.last().unwrap().to, None);
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
                prop_assert!(pair[0].to.is_some());
                prop_assert!(pair[0].from.unwrap_or(0) < pair[0].to.unwrap());
            }
        }

        #[test]
        fn tables_of_different_names_have_parts_of_different_names(
            one in ("[a./%]{1,6}", "[a./%]{1,6}"), other in ("[a./%]{1,6}", "[a./%]{1,6}"),
        ) {
            let of = |(schema, table): &(String, String)| part_name(schema, table, 1).unwrap();
            prop_assert_eq!(of(&one) == of(&other), one == other);
        }

        #[test]
        fn every_name_makes_a_name_of_a_part(schema in "[^\0]{1,20}", table in "[^\0]{1,20}") {
            part_name(&schema, &table, 1).unwrap();
        }
    }

    #[test]
    fn a_table_of_which_only_some_rows_are_the_users_is_one_part_however_large_it_is() {
        let detail = TableDetail {
            heap_bytes: 10 * PART_BYTES,
            bytes: 10 * PART_BYTES,
            is_heap: true,
            columns: vec!["a".to_owned()],
            condition: "WHERE NOT b OR c".to_owned(),
            ..TableDetail::default()
        };
        let relation = Relation {
            oid: 1,
            schema: "s".to_owned(),
            name: "t".to_owned(),
            kind: 'r',
            persistence: 'p',
            of_extension: true,
            populated: true,
            partition_of: None,
        };
        let read = |detail: &TableDetail| {
            let pieces = pieces_of_table(&relation, detail, true).unwrap();
            let copies = pieces.into_iter().map(|(_, _, piece)| match piece {
                Piece::Rows { copy, .. } => copy,
                Piece::LargeObjects { .. } => panic!("a table has rows"),
            });
            copies.collect::<Vec<_>>()
        };
        let copy = r#"COPY (SELECT "a" FROM ONLY "s"."t" WHERE NOT b OR c) TO STDOUT"#;
        assert_eq!(read(&detail), [copy]);
        assert_eq!(read(&TableDetail { condition: String::new(), ..detail }).len(), 10);
    }

    #[test]
    fn a_table_without_columns_is_read_as_well() {
        let copy = copy_statement("\"s\".\"t\"", &TableDetail::default(), Range::default());
        assert_eq!(copy, "COPY (SELECT  FROM ONLY \"s\".\"t\" ) TO STDOUT");
    }
}

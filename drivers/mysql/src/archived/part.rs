//! Names of parts.

use dumprestore_driver::{PartName, Result};

/// The name of the part with all definitions.
pub(crate) const CONTENTS: &str = "contents.json";

/// The name of a table's part, counted from 1.
///
/// # Errors
/// If the table has no name.
pub(crate) fn part_name(table: &str, number: usize) -> Result<PartName> {
    PartName::new(format!("data/{}/{number:04}", PartName::escape_component(table.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn tables_of_different_names_have_parts_of_different_names(one in "[aB./%]{1,6}", other in "[aB./%]{1,6}") {
            prop_assert_eq!(part_name(&one, 1).unwrap() == part_name(&other, 1).unwrap(), one == other);
        }

        #[test]
        fn every_name_makes_a_name_of_a_part(table in "[^\0]{1,20}") {
            part_name(&table, 1).unwrap();
        }
    }
}

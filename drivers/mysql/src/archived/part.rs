//! Names of parts.

use dumprestore_driver::{PartName, Result};

/// The name of the part with all definitions.
pub(crate) const CONTENTS: &str = "contents.json";

/// The name of a table's part, counted from 1.
///
/// # Errors
/// If the table has no name.
pub(crate) fn part_name(table: &str, number: usize) -> Result<PartName> {
    PartName::new(format!("data/{}/{number:04}", component(table)?))
}

/// A name as one component of a path.
fn component(name: &str) -> Result<String> {
    // A slash at either end, or two together, would be a component of no characters.
    let components = name.split('/').map(|piece| match piece {
        "" | "." | ".." => Ok(piece.replace('.', "%2E")),
        piece => PartName::escape(piece.as_bytes()).map(|name| name.as_str().to_owned()),
    });
    Ok(components.collect::<Result<Vec<_>>>()?.join("%2F"))
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

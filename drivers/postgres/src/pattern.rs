//! Patterns for names of tables, which lie in schemas.

use dumprestore_driver::Pattern;

/// Whether that table is meant: by its name, or with its schema.
pub(crate) fn fits_table(pattern: &Pattern, schema: &str, name: &str) -> bool {
    pattern.fits(name) || pattern.fits(&format!("{schema}.{name}"))
}

//! Materialized views, filled again.

use dumprestore_driver::Result;

use super::meant::Meant;
use super::script::Script;
use crate::archived::Database;
use crate::quote;
use crate::restore::{AS_APPLICATION, application_path, settings_of_values};

/// Fills those that are meant, on a session that is as one of the application's, as a restore does.
pub(super) fn write(script: &mut Script<'_>, meant: &Meant<'_>, database: &Database) -> Result<()> {
    if meant.matviews.is_empty() {
        return Ok(());
    }
    script.remark("Materialized views, as the application would fill them")?;
    script.statements(&format!("{AS_APPLICATION};"))?;
    settings_of_values(database).try_for_each(|statement| script.statement(&statement))?;
    let path = application_path(database);
    for matview in &meant.matviews {
        let refresh =
            format!("REFRESH MATERIALIZED VIEW {}", quote::qualified(&matview.schema, &matview.name));
        // A function may find what it names by the application's path alone.
        let not_found = "undefined_function OR undefined_object OR undefined_table OR invalid_schema_name";
        let body = format!(
            "\nBEGIN\n  {refresh};\nEXCEPTION WHEN {not_found} THEN\n  SET LOCAL {path};\n  {refresh};\nEND\n"
        );
        script.statement(&format!("DO {}", quote::in_dollars(&body)))?;
    }
    script.statement("SELECT pg_catalog.set_config('search_path', '', false)")
}

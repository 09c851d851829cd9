//! What belongs to the database as a whole: owner, privileges, comment, settings.

use dumprestore_driver::Result;

use super::script::Script;
use crate::archived::Database;
use crate::quote;
use crate::restore::{OF_DATABASE, of_setting, privileges};

/// Stands for the name of the database in which the script is run, which only the server knows. No name has it in it.
const THIS: &str = "\0";

/// Writes them, for whatever database the script is run in.
pub(super) fn write(script: &mut Script<'_>, database: &Database) -> Result<()> {
    let executed: String = statements(database)?
        .iter()
        .map(|statement| {
            let format = quote::literal(&statement.replace('%', "%%").replace(THIS, "%I"));
            format!("  EXECUTE pg_catalog.format({format}, pg_catalog.current_database());\n")
        })
        .collect();
    script.remark("The database itself")?;
    script.statement(&format!("DO {}", quote::in_dollars(&format!("\nBEGIN\n{executed}END\n"))))
}

fn statements(database: &Database) -> Result<Vec<String>> {
    let what = format!("DATABASE {THIS}");
    let mut statements = vec![format!("ALTER {what} OWNER TO {}", quote::name(&database.owner))];
    if let Some(acl) = &database.acl {
        statements.extend(privileges(acl, &what, &database.owner, OF_DATABASE)?);
    }
    if let Some(comment) = &database.comment {
        statements.push(format!("COMMENT ON {what} IS {}", quote::literal(comment)));
    }
    for (provider, label) in &database.security_labels {
        let (provider, label) = (quote::name(provider), quote::literal(label));
        statements.push(format!("SECURITY LABEL FOR {provider} ON {what} IS {label}"));
    }
    statements.extend(database.settings.iter().map(|setting| of_setting(setting, THIS)));
    if database.connection_limit != -1 {
        statements.push(format!("ALTER {what} CONNECTION LIMIT {}", database.connection_limit));
    }
    if database.is_template {
        statements.push(format!("ALTER {what} IS_TEMPLATE true"));
    }
    Ok(statements)
}

//! What `ALTER DEFAULT PRIVILEGES` gives to tables that are made in a database where it holds already.

use dumprestore_driver::Result;

use super::meant::Meant;
use super::script::Script;
use crate::quote;

/// Takes it away again: what the tables had when they were dumped is granted after it.
pub(super) fn forget(script: &mut Script<'_>, meant: &Meant<'_>) -> Result<()> {
    let made = meant.before.iter().filter(|item| matches!(item.kind.as_str(), "TABLE" | "SEQUENCE"));
    let made: Vec<String> =
        made.map(|item| quote::literal(&quote::qualified(&item.schema, &item.name))).collect();
    if meant.things.is_empty() || made.is_empty() {
        return Ok(());
    }
    script.remark("Nothing that is granted to every new table")?;
    let body = format!(
        "
DECLARE
  statement text;
BEGIN
  FOR statement IN
    SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s %s FROM %s',
      CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::pg_catalog.regclass,
      coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC'))
    FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE a.grantee <> c.relowner AND c.oid = ANY (ARRAY[{}]::pg_catalog.regclass[])
  LOOP
    EXECUTE statement;
  END LOOP;
END
",
        made.join(", ")
    );
    script.statement(&format!("DO {}", quote::in_dollars(&body)))
}

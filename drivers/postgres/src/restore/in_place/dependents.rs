//! What hangs on tables that are to be dropped, and would go with them, or keep them.

use dumprestore_driver::Result;

use super::super::needs::{Obstacle, listed};
use crate::archived::{Contents, Item};
use crate::connect::Connection;
use crate::quote;

/// As many as a message names.
const NAMED: usize = 10;

/// What belongs to the tables goes with them. All that needs them and is none of it is named: foreign keys of other
/// tables, views, functions, rules, tables that inherit from them.
const DEPENDENTS: &str = "
    WITH RECURSIVE member (classid, objid) AS (
        SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, t.oid FROM pg_catalog.unnest($1::oid[]) AS t (oid)
        UNION SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
            JOIN member m ON m.classid = d.refclassid AND m.objid = d.refobjid
            WHERE d.deptype IN ('a', 'i', 'P', 'S')
    )
    SELECT DISTINCT CASE
        WHEN c.relkind IN ('v', 'm') THEN
            pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class, 0)
        ELSE pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) END
    FROM member m
    JOIN pg_catalog.pg_depend d ON d.refclassid = m.classid AND d.refobjid = m.objid AND d.deptype IN ('n', 'e')
    LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
    LEFT JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    WHERE NOT EXISTS (SELECT FROM member o WHERE o.classid = d.classid AND o.objid = d.objid)
    UNION SELECT 'publication ' || p.pubname FROM pg_catalog.pg_publication_rel l
        JOIN pg_catalog.pg_publication p ON p.oid = l.prpubid
        JOIN pg_catalog.pg_class c ON c.oid = l.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE l.prrelid = ANY ($1)
        AND pg_catalog.concat_ws(pg_catalog.chr(31), p.pubname, n.nspname, c.relname) <> ALL ($2)
    UNION SELECT 'subscription, which fills ' || l.srrelid::pg_catalog.regclass::text
        FROM pg_catalog.pg_subscription_rel l WHERE l.srrelid = ANY ($1)
    ORDER BY 1";

/// They stand in the way, but tables that the archive adds to a publication again, which are `published`.
pub(super) async fn dependents(
    session: &Connection,
    tables: &[u32],
    published: &[String],
) -> Result<Option<Obstacle>> {
    let rows = session.query(DEPENDENTS, &[&tables, &published]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't see what depends on the tables"))?;
    let found: Vec<String> = rows.iter().filter_map(|row| row.get(0)).collect();
    Ok((!found.is_empty()).then(|| {
        Obstacle::new(
            format!("others need the tables that are to be replaced: {}", listed(&found, NAMED)),
            "choose these tables as well; drop what needs them, and make it again afterwards; or restore the rows \
             alone with `--data-only`",
        )
    }))
}

/// The publications of the live database.
pub(super) struct Published(Vec<String>);

impl Published {
    pub(super) async fn look(session: &Connection) -> Result<Self> {
        let rows = session.query("SELECT pubname::text FROM pg_catalog.pg_publication", &[]).await;
        let rows = rows.map_err(|error| session.fault(error, "can't list publications"))?;
        Ok(Self(rows.iter().map(|row| row.get(0)).collect()))
    }

    /// The one that a definition adds a table to.
    pub(super) fn of(&self, item: &Item) -> Option<&str> {
        let adds = |name: &&String| {
            [name.to_string(), quote::name(name)]
                .iter()
                .any(|said| item.sql.starts_with(&format!("ALTER PUBLICATION {said} ADD TABLE ")))
        };
        self.0.iter().find(adds).map(String::as_str)
    }

    /// Publication, schema and table, for each table that `contents` adds to one that is there.
    pub(super) fn by(&self, contents: &Contents) -> Vec<String> {
        let items = contents.items.iter().filter(|item| item.kind == "PUBLICATION TABLE");
        let said = items.filter_map(|item| {
            let publication = self.of(item)?;
            let table = item.name.strip_prefix(publication)?.strip_prefix(' ')?;
            Some(format!("{publication}\u{1f}{}\u{1f}{table}", item.schema))
        });
        said.collect()
    }
}

//! Tables that stay while those go that their foreign keys lead to.

use std::collections::BTreeMap;

use dumprestore_driver::{LedgerEntry, Result};

use crate::connect::{Session, code};
use crate::quote;
use crate::restore::Restore;
use crate::restore::choice::Choice;

/// As many rows that lead nowhere are counted; more are `more than`.
const MOST_COUNTED: u64 = 1000;

/// A foreign key of a table that stays.
#[derive(Debug, Default)]
struct Child {
    to_table: String,
    /// Each with the one that it leads to.
    columns: Vec<(String, String)>,
}

impl Restore {
    /// Tells of rows that stay, and that will lead to nothing once the staged tables are live: the server does not look when
    /// their foreign keys are made anew.
    pub(in crate::restore) async fn verify_children(&self, choice: &Choice) -> Result<()> {
        let mut lane = self.lanes.take().await?;
        for ((database, table, name), child) in self.children(&mut lane, choice).await? {
            let what = format!("foreign key {name} of {table}");
            match lane.rows(self.leading_nowhere(&database, &table, &child)).await {
                Ok(rows) => {
                    let bad = rows.first().map_or(Ok(0), |row| row.number(0))?;
                    let more = if bad > MOST_COUNTED { "more than " } else { "" };
                    if bad > 0 {
                        let why = format!(
                            "rows that stay, and lead to nothing in {} as it is restored: {more}{}",
                            child.to_table,
                            bad.min(MOST_COUNTED)
                        );
                        self.tell(LedgerEntry::degrading(what, why));
                    }
                }
                Err(error) if code(&error).is_some() && !lane.is_gone() => {
                    let why = format!("its table stays, and can't be looked at: {error}");
                    self.tell(LedgerEntry::degrading(what, why));
                }
                Err(error) => return Err(error),
            }
        }
        self.lanes.give_back(lane);
        Ok(())
    }

    fn leading_nowhere(&self, database: &str, table: &str, child: &Child) -> String {
        let names = child.columns.iter().map(|(column, to)| (quote::name(column), quote::name(to)));
        let (mut on, mut known, mut missing) = (Vec::new(), Vec::new(), String::new());
        for (column, to) in names {
            on.push(format!("p.{to} = c.{column}"));
            known.push(format!("c.{column} IS NOT NULL"));
            missing = format!("p.{to} IS NULL");
        }
        format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} c LEFT JOIN {} p ON {} WHERE {} AND {missing} LIMIT {}) bad",
            quote::qualified(database, table),
            quote::qualified(&self.names.staging, &child.to_table),
            on.join(" AND "),
            known.join(" AND "),
            MOST_COUNTED + 1,
        )
    }

    /// Keys that lead to what is replaced, by database, table and name.
    async fn children(
        &self,
        lane: &mut Session,
        choice: &Choice,
    ) -> Result<BTreeMap<(String, String, String), Child>> {
        let live = &self.names.live;
        let tables = choice.tables();
        let asked = format!(
            "SELECT table_schema, table_name, constraint_name, column_name, referenced_table_name, referenced_column_name \
             FROM information_schema.key_column_usage WHERE referenced_table_schema = {} ORDER BY 1, 2, 3, ordinal_position",
            quote::literal(live)
        );
        let mut children = BTreeMap::<_, Child>::new();
        for row in lane.rows(asked).await? {
            let (database, table, to_table) = (row.text(0)?, row.text(1)?, row.text(4)?);
            let is_here = database == live.as_str();
            let goes = is_here && (choice.covers.tables || tables.iter().any(|name| name == table));
            if goes || !tables.iter().any(|name| name == to_table) {
                continue;
            }
            let key = (database.to_owned(), table.to_owned(), row.text(2)?.to_owned());
            let child = children.entry(key).or_default();
            to_table.clone_into(&mut child.to_table);
            child.columns.push((row.text(3)?.to_owned(), row.text(5)?.to_owned()));
        }
        Ok(children)
    }
}

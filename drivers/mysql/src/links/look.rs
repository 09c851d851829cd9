//! Which of some keys are in a column.

use std::collections::{HashMap, HashSet};

use dumprestore_driver::Result;

use super::charset::converted;
use super::kind::Kind;
use crate::connect::Session;

/// How many keys are looked up by one statement. MariaDB makes a table of lists from 1000 on, and compares in another
/// collation then.
const AT_ONCE: usize = 900;
/// The same, one by one.
const ONE_BY_ONE: usize = 50;
/// So long a key is looked up alone, and a longer statement than that is not made of several.
const LONG: usize = 256 << 10;

/// Where keys are looked for.
pub(super) struct Lookup<'a> {
    /// As a statement has it.
    pub(super) table: String,
    pub(super) column: String,
    pub(super) kind: &'a Kind,
}

/// Keys in their canonical form, and at which places each was asked for.
type Asked = HashMap<Vec<u8>, Vec<usize>>;

impl Lookup<'_> {
    /// Tells of each key whether a row has it.
    pub(super) async fn found(&self, session: &mut Session, keys: &[&[u8]]) -> Result<Vec<bool>> {
        let mut found = vec![false; keys.len()];
        let longest = session.largest_message() / 8;
        let mut from = 0;
        while from < keys.len() {
            let until = from + batch(keys.get(from..).unwrap_or_default());
            let some = keys.get(from..until).unwrap_or_default();
            let asked = self.asked(session, some, from, longest).await?;
            for place in self.present(session, asked).await? {
                if let Some(seen) = found.get_mut(place) {
                    *seen = true;
                }
            }
            from = until;
        }
        Ok(found)
    }

    /// What can be asked for: a key that can't be a value of the column, no row has. No server takes a longer one either.
    async fn asked(
        &self,
        session: &mut Session,
        keys: &[&[u8]],
        from: usize,
        longest: usize,
    ) -> Result<Asked> {
        let short = |key: &&[u8]| key.len() < longest;
        let canonical: Vec<Option<Vec<u8>>> = match self.kind {
            Kind::Text { charset } => {
                let keys: Vec<&[u8]> =
                    keys.iter().map(|key| if short(key) { *key } else { b"\xff" }).collect();
                converted(session, charset, &keys).await?
            }
            kind => keys.iter().map(|key| kind.canonical(Some(*key).filter(short)?)).collect(),
        };
        let mut asked = Asked::new();
        for (place, key) in (from..).zip(canonical) {
            if let Some(key) = key {
                asked.entry(key).or_default().push(place);
            }
        }
        Ok(asked)
    }

    /// The places of those that are there.
    async fn present(&self, session: &mut Session, mut asked: Asked) -> Result<Vec<usize>> {
        let mut present = Vec::new();
        let there = self.values(session, asked.keys()).await?;
        for value in &there {
            let value =
                if self.kind.is_collated() { Some(value.clone()) } else { self.kind.canonical(value) };
            present.extend(value.and_then(|value| asked.remove(&value)).unwrap_or_default());
        }
        // Rows may be equal to keys in other letters, and one row stand for all that are equal to it.
        if !self.kind.is_collated() || there.is_empty() || asked.is_empty() {
            return Ok(present);
        }
        let rest: Vec<Vec<u8>> = asked.keys().cloned().collect();
        if rest.len() > ONE_BY_ONE && self.values(session, rest.iter()).await?.is_empty() {
            return Ok(present);
        }
        for keys in rest.chunks(ONE_BY_ONE) {
            for nth in self.one_by_one(session, keys).await? {
                present.extend(keys.get(nth).and_then(|key| asked.remove(key)).unwrap_or_default());
            }
        }
        Ok(present)
    }

    /// All values of the column that are equal to one of the keys; of those that are equal to each other, one.
    async fn values(
        &self,
        session: &mut Session,
        keys: impl Iterator<Item = &Vec<u8>>,
    ) -> Result<HashSet<Vec<u8>>> {
        let literals: Vec<String> = keys.map(|key| self.kind.literal(key)).collect();
        if literals.is_empty() {
            return Ok(HashSet::new());
        }
        let (column, told) = (self.kind.of_column(&self.column), self.kind.told("f.v"));
        let sql = format!(
            "SELECT {told} FROM (SELECT DISTINCT {column} AS v FROM {} WHERE {column} IN ({})) AS f",
            self.table,
            literals.join(", ")
        );
        let mut values = HashSet::new();
        session
            .each(sql, |row| {
                values.extend(row.get(0).map(<[u8]>::to_vec));
                Ok(())
            })
            .await?;
        Ok(values)
    }

    /// Which of the keys are equal to a value.
    async fn one_by_one(&self, session: &mut Session, keys: &[Vec<u8>]) -> Result<Vec<usize>> {
        let column = self.kind.of_column(&self.column);
        let asked = keys.iter().enumerate().map(|(nth, key)| {
            let literal = self.kind.literal(key);
            format!(
                "SELECT {nth} FROM DUAL WHERE EXISTS (SELECT 1 FROM {} WHERE {column} = {literal})",
                self.table
            )
        });
        let rows = session.rows(asked.collect::<Vec<_>>().join(" UNION ALL ")).await?;
        rows.iter().map(|row| row.parse(0)).collect()
    }
}

/// How many of the keys one statement takes.
fn batch(keys: &[&[u8]]) -> usize {
    let mut length = 0;
    let fits = |key: &&&[u8]| {
        length += key.len();
        length <= LONG
    };
    keys.iter().take(AT_ONCE).take_while(fits).count().max(1)
}

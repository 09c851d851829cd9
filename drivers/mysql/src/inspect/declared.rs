//! References that were declared: whether they can be checked.

use dumprestore_driver::{Error, Problem, Result};

use super::problem;
use crate::connect::Session;
use crate::dump::Chosen;
use crate::links::{self, Column};

/// What other nodes expect of this one, as far as the engine has asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared {
    keys: Vec<String>,
    within: Vec<String>,
}

impl Declared {
    /// Notes a query of keys. The engine may ask more than once.
    pub(crate) fn note_keys(&mut self, query: &str) {
        if !self.keys.iter().any(|noted| noted == query) {
            self.keys.push(query.to_owned());
        }
    }

    /// Notes a column that keys are of.
    pub(crate) fn note_within(&mut self, within: &str) {
        if !self.within.iter().any(|noted| noted == within) {
            self.within.push(within.to_owned());
        }
    }

    /// Without these references, a dump is still to be had.
    pub(super) async fn problems(
        &self,
        session: &mut Session,
        database: &str,
        chosen: &Chosen,
    ) -> Vec<Problem> {
        let made = |error: &Error| problem(Problem::no_certificate, error);
        // A function that a query calls may run though no row is read.
        if let Err(error) = session.run("START TRANSACTION READ ONLY").await {
            return vec![made(&error)];
        }
        let mut problems = Vec::new();
        for query in &self.keys {
            problems.extend(links::check(session, query).await.err().as_ref().map(made));
        }
        for within in &self.within {
            problems.extend(find(session, database, within, chosen).await.err().as_ref().map(made));
        }
        problems.extend(session.run("ROLLBACK").await.err().as_ref().map(made));
        problems
    }
}

async fn find(session: &mut Session, database: &str, within: &str, chosen: &Chosen) -> Result<()> {
    let column = Column::find(session, database, Some(within)).await?;
    match chosen.has_rows_of(column.table()) {
        true => Ok(()),
        false => Err(links::without_rows(&column)),
    }
}

//! `contents.json`: everything of a database but its rows.

use serde::{Deserialize, Serialize};

use super::Sql;

/// The part of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) origin: Origin,
    pub(crate) database: Database,
    /// Every base table, also those whose rows were left out.
    pub(crate) tables: Vec<Table>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sequences: Vec<Sequence>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) views: Vec<View>,
    /// In the order in which those of one table fire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) triggers: Vec<Trigger>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) routines: Vec<Routine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Event>,
    /// What the dump was asked for.
    pub(crate) held: Held,
}

/// What of the database a dump holds: where it holds nothing of a kind, a restore leaves what there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// All tables and views, or a choice of them.
    pub(crate) all_tables: bool,
    pub(crate) triggers: bool,
    pub(crate) routines: bool,
    pub(crate) events: bool,
}

/// Where it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) family: Family,
    /// Such as `10.11.6`.
    pub(crate) version: String,
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    MariaDb,
    MySql,
}

/// The database as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) charset: String,
    pub(crate) collation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) comment: String,
}

/// A base table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// As `SHOW CREATE TABLE` gives it, without the name of the database.
    pub(crate) create: Sql,
    pub(crate) engine: String,
    /// Whether the engine has transactions: otherwise its rows may be of another instant than all others.
    pub(crate) transactional: bool,
    /// The columns of its parts, in their order. Generated columns are not among them.
    pub(crate) columns: Vec<Column>,
    /// Of the table and its columns, each once: a server that does not know them can't make the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) collations: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// Of a table `WITH SYSTEM VERSIONING`: what becomes of rows of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<History>,
    /// Whether its rows were left out by `exclude_data`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) without_data: bool,
    /// About how many bytes its rows have, as the server keeps them.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// Names of its parts. None, if its rows were left out.
    pub(crate) parts: Vec<String>,
}

/// A column with data of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// How its values stand in the rows.
    #[serde(default, skip_serializing_if = "Form::is_bytes")]
    pub(crate) form: Form,
}

/// How values of a column stand in the rows, and are given to the server again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The bytes that the server keeps, or a number or a date as text: taken as they are.
    #[default]
    Bytes,
    /// UTF-8 text, which the server must be told is text: of JSON in MySQL, of UUID and INET6 in MariaDB.
    Text,
}

impl Form {
    fn is_bytes(&self) -> bool {
        *self == Self::Bytes
    }
}

/// What becomes of the rows of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum History {
    /// They are in the parts, with the columns that say from when and until when they were valid, which are the last two
    /// of [`Table::columns`] if they stand nowhere else.
    Kept,
    /// They are not, since the server can't take them back.
    Lost,
}

/// A foreign key, to be checked by us: while rows are loaded, the server does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForeignKey {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    /// The other database, if it leads into one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to_database: Option<String>,
    pub(crate) to_table: String,
    pub(crate) to_columns: Vec<String>,
}

/// A sequence of MariaDB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    /// As `SHOW CREATE SEQUENCE` gives it.
    pub(crate) create: Sql,
    /// The next value that nobody has taken or kept in a cache, and how often it has gone round.
    pub(crate) next_value: String,
    pub(crate) cycles: String,
}

/// Who and what a stored statement was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// `user@host`, each quoted with backticks; empty: it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) definer: String,
    pub(crate) sql_mode: String,
    pub(crate) character_set_client: String,
    pub(crate) collation_connection: String,
    /// The collation of the database at that time; empty for a view.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) database_collation: String,
    /// Of an event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) time_zone: String,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) name: String,
    /// As `SHOW CREATE VIEW` gives it with its own database as the default one.
    pub(crate) create: Sql,
    pub(crate) made: Made,
    /// It did not work when it was dumped: what it reads is not there, or may not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) broken: bool,
    /// Of a broken one: what it reads is not there. Otherwise it may work for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_nothing: bool,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) create: Sql,
    pub(crate) made: Made,
}

/// A stored procedure, function or package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Routine {
    pub(crate) kind: RoutineKind,
    pub(crate) name: String,
    pub(crate) create: Sql,
    pub(crate) made: Made,
}

/// What a [`Routine`] is, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoutineKind {
    Function,
    Procedure,
    Package,
    PackageBody,
}

impl RoutineKind {
    /// As SQL says it.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
        }
    }
}

/// An event of the scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) create: Sql,
    pub(crate) made: Made,
}

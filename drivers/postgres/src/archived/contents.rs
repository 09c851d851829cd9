//! `contents.json`: everything of a database but its rows.

use serde::{Deserialize, Serialize};

/// The part of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) origin: Origin,
    pub(crate) database: Database,
    /// Roles, if the node has `globals`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<Role>,
    /// Every definition, in an order in which they can be made.
    pub(crate) items: Vec<Item>,
    /// Every table whose rows are dumped, also those that have none, and those whose rows were left out.
    pub(crate) tables: Vec<Table>,
    pub(crate) sequences: Vec<Sequence>,
    /// Materialized views that are populated, in an order in which they can be refreshed.
    pub(crate) matviews: Vec<Matview>,
    /// Schemas that are there; `public` may have been dropped.
    pub(crate) schemas: Vec<String>,
    /// Whether the dump has all of the database, or a selection of it.
    pub(crate) whole: bool,
    /// Whom the large objects name: else it would be known only when they are read.
    #[serde(default)]
    pub(crate) large_object_roles: LargeObjectRoles,
    /// Whether the dump was asked to be without large objects. Older archives don't say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) large_objects_left_out: bool,
    /// Constraints that rows were not checked against, and still are not after a restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unchecked: Vec<Unchecked>,
    /// Foreign keys that are not as they were, since rows that they refer to are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) loose_keys: Vec<LooseKey>,
}

impl Contents {
    /// The tables that are archived without their rows.
    pub(crate) fn without_rows(&self) -> Vec<String> {
        let without = self.tables.iter().filter(|table| table.without_data);
        without.map(|table| format!("{}.{}", table.schema, table.name)).collect()
    }
}

/// Roles of large objects, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LargeObjectRoles {
    pub(crate) owners: Vec<String>,
    /// Those that are granted something, and those that granted it.
    pub(crate) granted: Vec<String>,
}

/// A constraint that is `NOT VALID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Unchecked {
    pub(crate) schema: String,
    /// The table or domain that it is of.
    pub(crate) of: String,
    pub(crate) name: String,
}

/// A foreign key from rows that are dumped to rows that are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LooseKey {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) name: String,
    /// Left out as well. Otherwise it is made `NOT VALID`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) left_out: bool,
}

/// Where it was made, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// `server_version_num`, such as `150018`.
    pub(crate) server_version: u32,
    /// The version of `pg_dump` that wrote the definitions.
    pub(crate) pg_dump: String,
}

/// The database as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) encoding: String,
    pub(crate) collate: String,
    pub(crate) ctype: String,
    /// `libc`, `icu` or `builtin`.
    pub(crate) locale_provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) locale: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) icu_rules: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tablespace: Option<String>,
    /// -1: no limit.
    pub(crate) connection_limit: i32,
    pub(crate) is_template: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// As `aclitem` prints them; `None` is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl: Option<Vec<String>>,
    /// Provider and label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) security_labels: Vec<(String, String)>,
    /// `ALTER DATABASE … SET`, and `ALTER ROLE … IN DATABASE … SET`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) settings: Vec<Setting>,
}

/// One `name=value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// Only for this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A role, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) name: String,
    /// The statements that make it, and its memberships, in order.
    pub(crate) sql: Vec<String>,
}

/// When a definition is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Section {
    /// Before the rows.
    PreData,
    /// After them: indexes, constraints, triggers.
    PostData,
    /// After all that, one by one, in their order: privileges, default privileges, event triggers. Made earlier they
    /// would hold for, or act on, what is still being made.
    Last,
}

/// One definition, as an entry of `pg_dump`'s table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: i32,
    pub(crate) section: Section,
    /// `TABLE`, `INDEX`, `FK CONSTRAINT`, `ACL`, …
    pub(crate) kind: String,
    /// The schema it is in; empty if it is in none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) schema: String,
    /// Its name, as the table of contents gives it: `orders_pkey`, or `orders orders_pkey`.
    pub(crate) name: String,
    /// Schema and name, not quoted, of the relation it belongs to, where the definition is of a part of a table or view:
    /// an index, a constraint, a default, a trigger, a rule, a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<(String, String)>,
    /// Empty: it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) owner: String,
    /// What stands between `ALTER` and `OWNER TO`, such as `FUNCTION public.f(integer)`. `None`: the owner can't be,
    /// or need not be, set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owned: Option<String>,
    /// `SET default_tablespace` to this before the statement. Empty is the default of the database.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) tablespace: String,
    /// `SET default_table_access_method` to this before the statement; of a partitioned table, `ALTER TABLE … SET
    /// ACCESS METHOD` after it (server 17 and newer). Empty: it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) access_method: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) partitioned: bool,
    /// One or more statements, each ended by a semicolon, or a comment only. Sent as one simple query.
    pub(crate) sql: String,
    /// The statement that undoes it. Empty, or a comment: there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) drop: String,
    /// Ids of items that must be there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs: Vec<i32>,
}

/// A table with rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// The columns of its parts, in their order. Generated columns are not among them.
    pub(crate) columns: Vec<String>,
    /// The partitioned table to load it through, where rows may belong to other partitions after a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) load_through: Option<(String, String)>,
    /// The encoding of its rows, which is that of the database: as the server calls it. `None` is UTF-8. `SQL_ASCII` are
    /// bytes that nobody has looked at. Older archives have all others than these in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoding: Option<String>,
    /// Whether its rows were left out by `exclude_data`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) without_data: bool,
    /// Whether it is a configuration table of an extension, which is made by the extension with rows of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_extension: bool,
    /// About how many bytes its rows have, as the server keeps them.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// Names of its parts. None, if it has no rows.
    pub(crate) parts: Vec<String>,
}

/// Where a sequence stood at the pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) last_value: i64,
    pub(crate) is_called: bool,
}

/// A populated materialized view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matview {
    pub(crate) schema: String,
    pub(crate) name: String,
}

/// The head of a large object in a part of `large_objects/`, before its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LargeObject {
    pub(crate) oid: u32,
    pub(crate) owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// Provider and label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) security_labels: Vec<(String, String)>,
}

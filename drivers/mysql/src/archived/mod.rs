//! What a dump of a database looks like in the archive.
//!
//! | part | content |
//! |---|---|
//! | `contents.json` | [`Contents`]: the database itself, and every definition |
//! | `data/TABLE/0001` | rows of a table, as `LOAD DATA` reads them by default: see `rows.rs` |
//!
//! Names are escaped as [`PartName::escape`](dumprestore_driver::PartName::escape) does, and `/` in them as well; which
//! part belongs to which table is told by `contents.json` alone. Large tables have several numbered parts, each
//! loadable by itself, in the order of their primary key.

mod contents;
mod create_table;
mod part;
mod read;
mod rows;
mod sql;
mod validity;

pub(crate) use contents::{
    Column, Contents, Database, Event, Family, ForeignKey, Form, Held, History, Made, Origin, Routine,
    RoutineKind, Sequence, Table, Trigger, View,
};
pub(crate) use create_table::{CreateTable, Element, ElementKind};
pub(crate) use part::{CONTENTS, part_name};
pub(crate) use read::{parse_contents, read_contents};
pub(crate) use rows::{RowReader, write_field, write_null};
pub(crate) use sql::Sql;
pub(crate) use validity::{KNOW_NO_END, NO_END_HERE, is_no_end, with_own_end};

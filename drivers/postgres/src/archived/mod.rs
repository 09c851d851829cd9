//! What a dump of a database looks like in the archive.
//!
//! | part | content |
//! |---|---|
//! | `contents.json` | [`Contents`]: the database itself, and every definition, in an order in which they can be made |
//! | `data/SCHEMA/TABLE/0001` | rows of a table: `COPY` text, of the columns that `contents.json` names |
//! | `large_objects/0001` | [large objects](large_objects), each with its number and its length before it |
//!
//! Names are escaped as [`PartName::escape`](dumprestore_driver::PartName::escape) does, and `/` in them as well; which
//! part belongs to which table is told by `contents.json` alone. Large tables have several numbered parts, each
//! loadable by itself.

mod contents;
mod large_objects;

pub(crate) use contents::{
    Contents, Database, Item, LargeObject, LargeObjectRoles, LooseKey, Matview, Origin, Role, Section,
    Sequence, Setting, Table, Unchecked,
};
pub(crate) use large_objects::{LARGEST_PIECE, LargeObjectReader, write_end, write_head, write_piece};

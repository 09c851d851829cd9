//! Large objects, with the numbers that they had.

use dumprestore_driver::{ArchivedNode, ArchivedPart, Result};

use super::definitions::POLICIES;
use super::script::Script;
use crate::archived::{LargeObject, LargeObjectReader};
use crate::restore::{LARGE_OBJECTS, said_of_large_object};

/// How many bytes become digits at once.
const CHUNK: usize = 16 << 10;

/// Writes all of them.
pub(super) fn write(script: &mut Script<'_>, archived: &dyn ArchivedNode) -> Result<()> {
    let is_of_them = |part: &ArchivedPart| part.name.below(LARGE_OBJECTS).is_some();
    for part in archived.parts().filter(is_of_them) {
        script.remark("Large objects")?;
        let mut reader = LargeObjectReader::new(archived.read(&part.name)?);
        while let Some(head) = reader.next_head()? {
            content(script, &head, &mut reader)?;
            for statement in said_of_large_object(&head, POLICIES)? {
                script.statement(&statement)?;
            }
        }
    }
    Ok(())
}

fn content<R: std::io::Read>(
    script: &mut Script<'_>,
    head: &LargeObject,
    reader: &mut LargeObjectReader<R>,
) -> Result<()> {
    let mut piece = Vec::new();
    reader.next_piece(&mut piece)?;
    call(script, &format!("pg_catalog.lo_from_bytea({}", head.oid), &piece)?;
    let mut at = piece.len() as u64;
    while reader.next_piece(&mut piece)? {
        call(script, &format!("pg_catalog.lo_put({}, {at}", head.oid), &piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// A call with these bytes as its last argument.
fn call(script: &mut Script<'_>, beginning: &str, bytes: &[u8]) -> Result<()> {
    script.bytes(format!("SELECT {beginning}, E'\\\\x").as_bytes())?;
    bytes.chunks(CHUNK).try_for_each(|chunk| script.bytes(hex::encode(chunk).as_bytes()))?;
    script.bytes(b"');\n")
}

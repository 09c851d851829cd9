//! What the fuzz targets call, and who measures.

use std::io::{Read, Write};

use dumprestore_driver::{Error, Result};

use super::{Item, Reader, Writer, elements, payload};

/// Reads an RDB file and writes it anew, value by value. Gives the number of keys.
pub fn rewrite_rdb(file: impl Read, out: impl Write) -> Result<u64> {
    let mut reader = Reader::begin(file)?;
    let mut writer = Writer::begin(out, reader.version())?;
    while let Some(item) = reader.next()? {
        match item {
            Item::Aux { name, value } => writer.aux(&name, &value)?,
            Item::Select(database) => writer.select(database)?,
            Item::Function(code) => writer.function(&code)?,
            Item::Key(entry) => {
                writer.entry(&entry)?;
                reader.copy_value(&mut writer.value())?;
            }
            Item::Other => {}
        }
    }
    writer.finish()
}

/// Looks at every element of every value of an RDB file, on the way and once more in memory. Gives how many there are.
pub fn look_into_rdb(file: impl Read) -> Result<u64> {
    let mut reader = Reader::begin(file)?;
    let mut all = 0;
    while let Some(item) = reader.next()? {
        let Item::Key(entry) = item else { continue };
        let (mut value, mut on_the_way, mut in_memory) = (Vec::new(), 0, 0);
        let copied = reader.copy_elements(&mut value, &mut |_| {
            on_the_way += 1;
            Ok(())
        })?;
        elements(entry.kind, &value, &mut |_| {
            in_memory += 1;
            Ok(())
        })?;
        if copied != value.len() as u64 || on_the_way != in_memory {
            return Err(Error::defect("a value on the way is not what it is in memory"));
        }
        all += in_memory;
    }
    Ok(all)
}

/// Looks at every element of the value in a payload of `DUMP`, if it is one. Gives how many there are.
pub fn look_into_payload(bytes: &[u8]) -> Result<u64> {
    let (kind, value, version) = payload::open(bytes)?;
    let footer = payload::footer(version, kind, value);
    if !bytes.ends_with(&footer) {
        return Err(Error::defect("a payload is not closed as it was"));
    }
    let mut found = 0;
    elements(kind, value, &mut |_| {
        found += 1;
        Ok(())
    })?;
    Ok(found)
}
